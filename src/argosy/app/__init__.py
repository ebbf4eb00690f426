"""Composition roots: one module for each program, and what puts a mesh together on one machine."""
