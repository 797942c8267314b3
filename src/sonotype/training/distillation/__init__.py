"""Learning from the outputs of teachers."""
