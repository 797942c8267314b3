"""Choose the windows of unlabelled recordings whose labels would help a model most."""
