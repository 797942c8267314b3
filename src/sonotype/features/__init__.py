"""Feature maps of frozen blocks, cached by the content of a clip."""
