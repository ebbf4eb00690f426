"""Pilot: from accepted configuration and workloads to Envoy resources, as pure functions with tracked reads.

`mesh.py` says what is known (inputs and indexes), `registry.py` and `policy.py` derive what it means, `build/` turns it
into Envoy's resources, `world.py` puts them together for each class of proxies.
"""
