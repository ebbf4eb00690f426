"""A real Envoy that asks Mixer."""
