"""Builders: each a pure function from tracked reads and a key to one Envoy resource (or a part of one)."""
