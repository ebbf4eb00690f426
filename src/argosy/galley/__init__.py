"""Galley: accepts configuration or says why not, and keeps every accepted revision."""
