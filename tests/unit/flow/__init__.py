"""Unit tests of `argosy.flow`."""
