"""A synthetic set: procedural sounds in the five MSoS categories, for the demo and the tests.

No score on it says anything about quality on recordings.
"""

from __future__ import annotations

from sonotype.data.synth.clip import EVENTS, synthesise_clip
from sonotype.data.synth.folder import synthesise

__all__ = ["EVENTS", "synthesise", "synthesise_clip"]
