"""Networks: two pretrained backbones, attention pooling, and the paper's four systems."""
