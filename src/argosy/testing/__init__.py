"""The published test kit: meshes of any size as configuration, and a fake Envoy without I/O."""
