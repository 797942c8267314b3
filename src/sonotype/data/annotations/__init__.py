"""Annotated recordings: label files of several programs, paired with their recordings."""
