"""Pretrained weights: where they are published, where they lie, how they are read."""
