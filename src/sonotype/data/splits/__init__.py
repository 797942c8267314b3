"""Splits of a data set into folds and subsets, with groups kept together."""
