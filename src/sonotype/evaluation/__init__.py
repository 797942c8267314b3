"""Evaluation of predictions: metrics with confidence intervals, comparisons, reports, plots."""
