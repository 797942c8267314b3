"""The edges: one file for each."""
