"""From a model's answers to honest scores: figures with intervals, text reports, plots."""
