"""Studies: many trainings told in one file, run so that they can be stopped, told in one table."""
