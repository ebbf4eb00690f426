"""Unit tests of `argosy.mixer`."""
