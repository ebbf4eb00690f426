"""The benchmark of configuration: what Pilot costs, as counts, bytes, CPU seconds and memory, by the size of the mesh.

`python -m bench` runs it, prints a table, writes `bench/results.json` and, with `--docs`, `docs/benchmarks.md`.
Everything is on loopback, over real gRPC with mutual TLS and certificates of an authority made for the run.
"""
