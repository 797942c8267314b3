"""Pretrained networks, one file for each."""
