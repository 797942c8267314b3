"""The two decoders of sound files, and the choice between them.

libsndfile is exact and fast for well-formed WAV, FLAC and Ogg files and seeks in them;
:mod:`sonotype.audio.headers` tells which files are well-formed. FFmpeg's libraries, which are part
of the wheels of PyAV, decode all other files from the start, since they have no seek that is exact
to the sample in all formats.

A decoder gives mono samples at the file's own rate. Missing or damaged data raise no error: they
are described in :attr:`Decoder.damage`, and the caller decides whether the samples are used.
"""
