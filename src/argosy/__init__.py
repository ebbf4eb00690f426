"""Argosy, a service mesh in Python."""
