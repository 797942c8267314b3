"""From a sound file to a waveform of one length and rate; the only room that opens sound files."""
