"""Runs, cross-validation, grids of experiments, learning curves."""
