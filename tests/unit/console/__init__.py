"""Unit tests of `argosy.console`."""
