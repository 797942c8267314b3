"""A page on which a detector is made from sounds, without a command line."""
