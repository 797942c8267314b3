"""An HTTP service around one model: clips, recordings and streams in, JSON out."""
