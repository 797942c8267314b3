"""Distillation: training on the predictions and features of trained models."""
