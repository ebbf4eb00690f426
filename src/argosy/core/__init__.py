"""Names, hosts, SPIFFE ids, selectors, protocols, errors: the vocabulary that every other package shares.

Standard library only; no I/O, no clock. Everything here is a value or a pure function.
"""
