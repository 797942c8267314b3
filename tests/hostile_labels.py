"""Labels with markup, for tests of pages."""

SCRIPT = "<script>alert(1)</script>"
LONG = 'a "quoted" & very long name of a class with spaces'
UNBROKEN = "Ab" * 60 + "c"
HOSTILE = {SCRIPT: 300.0, LONG: 1500.0, "{{ 7 * 7 }}": 3000.0, "é<b>鳥": 5000.0, UNBROKEN: 7000.0}
"""Frequency of the tones of each class."""
