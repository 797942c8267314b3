"""What a classifier says about one sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one sound.

    Attributes:
        source: the file, or ``<bytes>`` or ``<array>``.
        category: the most probable coarse class.
        event: the most probable fine class; ``None`` from a model without an event head.
        category_probabilities: by name, in the model's order; they sum to 1.
        event_probabilities: the same for the events; empty without an event head.
        embedding: ``[128]``, the input of both heads.
        attention: where the network listened, ``[time, frequency]`` per pooled map, summing to 1.
        file_seconds: length of the whole recording.
        clip_seconds: how much of it the network hears; what lies beyond was not heard.
        start: where in the recording that begins, in seconds, when it is a window of a recording.
        truncated: what is missing of a file that is cut off, in a few words; the answer is to what
            is there. Empty where nothing is missing.
        tta_shifts: how many shifted versions of the clip were averaged; of an ensemble's first model.
    """

    source: str
    category: str
    event: str | None
    category_probabilities: dict[str, float]
    event_probabilities: dict[str, float]
    embedding: Array
    attention: tuple[Array, ...]
    file_seconds: float
    clip_seconds: float
    start: float = 0.0
    truncated: str = ""
    tta_shifts: int = 1

    @property
    def end(self) -> float:
        """Where in the recording the window ends, in seconds; beyond its end there is silence."""
        return self.start + self.clip_seconds

    @property
    def longer_than_clip(self) -> bool:
        """Whether the recording is longer than what the network hears of it."""
        return self.file_seconds > self.clip_seconds + 0.05

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` most probable events, or categories where there are no events."""
        ranked = self.event_probabilities or self.category_probabilities
        return sorted(ranked.items(), key=lambda entry: -entry[1])[:k]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Plain JSON values, without embedding and attention."""
        return {
            "file": self.source,
            "category": self.category,
            "category_probability": self.category_probabilities[self.category],
            "event": self.event,
            "event_probability": self.event_probabilities[self.event] if self.event else None,
            "top": [{"label": label, "probability": value} for label, value in self.top(k)],
            "file_seconds": round(self.file_seconds, 3),
            "clip_seconds": self.clip_seconds,
            "error": self.truncated or None,
        }


@dataclass(frozen=True)
class Failure:
    """A sound that could not be classified, and why."""

    source: str
    cause: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the keys of :meth:`Prediction.to_dict`."""
        keys = ("category", "category_probability", "event", "event_probability")
        nothing: dict[str, Any] = dict.fromkeys(keys)
        return {
            "file": self.source,
            **nothing,
            "top": [],
            "file_seconds": None,
            "clip_seconds": None,
            "error": self.cause,
        }
