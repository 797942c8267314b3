"""Estimators for scikit-learn that train models."""
