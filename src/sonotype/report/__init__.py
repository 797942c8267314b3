"""A run as one HTML page: scores, mistakes to listen to, suspicious labels, data faults."""
