"""From recordings to events with a start, an end and a score."""
