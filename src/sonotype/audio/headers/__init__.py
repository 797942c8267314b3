"""Structure of sound files: does a header declare exactly what the file contains?

libsndfile trusts headers: it stops at a sample count that is too small, rejects or repairs one that
is too large, and reads only the first stream of concatenated files. The functions here read the
structure of a file, decode nothing, and tell whether libsndfile can be trusted with the file and
whether the end of the file is present.
"""
