"""From a small folder of labelled sounds to an audio event classifier, by transfer learning."""

__version__ = "0.1.0"
