"""Trained models: files, bytes and arrays in, predictions out."""
