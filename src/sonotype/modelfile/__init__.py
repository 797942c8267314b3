"""Model files and pretrained weights: reading, writing, downloads."""
