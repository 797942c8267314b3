"""Shared windows: overlapping windows of a recording computed from one pass."""
