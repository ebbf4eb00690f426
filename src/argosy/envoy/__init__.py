"""The only home of Envoy's resource protobufs: its messages, deterministic packing, small constructors.

Messages are made from the descriptors that the Envoy binary itself carries, so they are exactly its own API
(`docs/decisions/0002-descriptors-from-the-binary.md`). Loading them reads a file once, as an import of code does.
"""
