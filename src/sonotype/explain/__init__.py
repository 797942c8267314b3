"""Explanations: which parts of the log-mel a prediction depends on, and tests of such maps."""
