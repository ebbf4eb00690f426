"""The flow record: who talked to whom, how, with what result. Mixer writes it, metrics and the graph read it.

Values and pure functions; holds no protobuf, no clock, no I/O.
"""
