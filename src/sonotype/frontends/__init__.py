"""Log-mel front ends, one file for each, and the arithmetic they share."""
