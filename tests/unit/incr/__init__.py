"""Unit tests of the incremental engine."""
