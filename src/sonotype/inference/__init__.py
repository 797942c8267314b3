"""A trained model at work: files, bytes and arrays in, predictions out."""
