"""The prediction for one sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.core.types import Labels

Array = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Probabilities, embedding and attention of one sound, or of one window of a recording.

    Attributes:
        source: path of the file, or ``<bytes>`` or ``<array>``.
        labels: names of the classes.
        category_proba: ``[categories]``, in the order of ``labels.categories``; sums to 1.
        event_proba: ``[events]``, in the order of ``labels.events``; ``None`` without an event
            head.
        embedding: ``[128]``, the input of both heads.
        attention: ``[time, frequency]`` weights for each pooled map, summing to 1.
        file_seconds: length of the whole recording.
        clip_seconds: length of the clip that the network gets; sound beyond it is not used.
        start: start of the window in the recording, in seconds.
        truncated: the missing part of a truncated file, in words; the prediction is for the samples
            that exist. Empty for a complete file.
        tta_shifts: number of shifted copies of the clip that the probabilities are averaged over;
            for an ensemble, that of its first model.
    """

    source: str
    labels: Labels
    category_proba: Probabilities
    event_proba: Probabilities | None
    embedding: Array
    attention: tuple[Array, ...]
    file_seconds: float
    clip_seconds: float
    start: float = 0.0
    truncated: str = ""
    tta_shifts: int = 1

    @property
    def category(self) -> str:
        """The most probable category."""
        return self.labels.categories[int(self.category_proba.argmax())]

    @property
    def event(self) -> str | None:
        """The most probable event; ``None`` without an event head."""
        if self.event_proba is None:
            return None
        return self.labels.events[int(self.event_proba.argmax())]

    @property
    def category_probabilities(self) -> dict[str, float]:
        """Probability of each category by name, in the model's order."""
        return dict(zip(self.labels.categories, self.category_proba.tolist(), strict=True))

    @property
    def event_probabilities(self) -> dict[str, float]:
        """Probability of each event by name, in the model's order; empty without an event head."""
        if self.event_proba is None:
            return {}
        return dict(zip(self.labels.events, self.event_proba.tolist(), strict=True))

    @property
    def end(self) -> float:
        """End of the window in seconds; silence follows the end of the recording."""
        return self.start + self.clip_seconds

    @property
    def longer_than_clip(self) -> bool:
        """Whether the recording is longer than the clip; the padding of encoders does not count."""
        return self.file_seconds > self.clip_seconds + 0.05

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` most probable events; categories for a model without an event head."""
        ranked = self.event_probabilities or self.category_probabilities
        return sorted(ranked.items(), key=lambda entry: -entry[1])[:k]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """JSON values, without embedding and attention."""
        event = self.event
        return {
            "file": self.source,
            "category": self.category,
            "category_probability": self.category_probabilities[self.category],
            "event": event,
            "event_probability": self.event_probabilities[event] if event else None,
            "top": [{"label": label, "probability": value} for label, value in self.top(k)],
            "file_seconds": round(self.file_seconds, 3),
            "clip_seconds": self.clip_seconds,
            "error": self.truncated or None,
        }


@dataclass(frozen=True)
class Failure:
    """A sound without a prediction, and the cause."""

    source: str
    cause: str

    def to_dict(self) -> dict[str, Any]:
        """JSON values with the keys of :meth:`Prediction.to_dict`."""
        keys = ("category", "category_probability", "event", "event_probability")
        return {
            "file": self.source,
            **dict.fromkeys(keys),
            "top": [],
            "file_seconds": None,
            "clip_seconds": None,
            "error": self.cause,
        }
