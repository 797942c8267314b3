"""Find faults in a data set before a model learns from it."""
