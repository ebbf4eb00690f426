"""One workload's life, without I/O: capture rules, Envoy's bootstrap, the pod's states, what runs in its namespaces.

Given plain values and the time; gives texts, argument vectors and actions. The edge performs them.
"""
