"""A run as one HTML page: scores, mistakes to listen to, labels to check, findings of the doctor."""
