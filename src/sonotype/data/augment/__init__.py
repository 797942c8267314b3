"""Augmented copies of waveforms."""
