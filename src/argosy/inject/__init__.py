"""Which pods get a sidecar, and what their annotations ask of it. Pure; works the same on both platforms."""
