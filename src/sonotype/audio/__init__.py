"""From a sound file to a waveform: load, mix to mono, resample, crop or pad to one length.

The only package that opens sound files.
"""
