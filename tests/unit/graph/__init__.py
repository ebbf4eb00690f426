"""Unit tests of `argosy.graph`."""
