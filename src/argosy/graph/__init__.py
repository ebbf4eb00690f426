"""The traffic graph: flow records to nodes and edges, their health, a layout, and the view that a page draws.

Pure and deterministic: the same flows give the same picture, byte for byte.
"""
