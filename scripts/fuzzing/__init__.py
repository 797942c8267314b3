"""Fuzzing of every edge where something comes from outside; run by ``scripts/fuzz.py``."""
