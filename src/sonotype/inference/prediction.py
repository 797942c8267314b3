"""The prediction for one sound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.core.types import LEVELS, Heads

Array = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.floating]


PRESENT_SEPARATOR = ";"
"""Between the present classes in the value of a head whose clips have any number of labels."""
UNKNOWN_KEYS = ("unknown_score", "is_unknown")


def head_keys(names: Iterable[str]) -> list[str]:
    """Names of the JSON values of some heads: ``category``, ``category_probability``, ..."""
    return [key for name in names for key in (name, f"{name}_probability")]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Probabilities, embedding and attention of one sound, or of one window of a recording.

    Attributes:
        source: path of the file, or ``<bytes>`` or ``<array>``.
        heads: names of the classes.
        proba: by name of a head ``[classes]``, in the order of its classes.
        embedding: ``[features]``, the input of all heads.
        attention: ``[time, frequency]`` weights for each pooled map, summing to 1.
        file_seconds: length of the whole recording.
        clip_seconds: length of the clip that the network gets; sound beyond it is not used.
        start: start of the window in the recording, in seconds.
        truncated: the missing part of a truncated file, in words; the prediction is for the samples
            that exist. Empty for a complete file.
        tta_shifts: number of shifted copies of the clip that the probabilities are averaged over;
            for an ensemble, that of its first model.
        unknown_score: from 0 for a known sound to 1 for one of no class; ``None`` if the model does
            not compute it.
        unknown_threshold: score above which the sound counts as unknown; ``None`` likewise.
    """

    source: str
    heads: Heads
    proba: Mapping[str, Probabilities]
    embedding: Array
    attention: tuple[Array, ...]
    file_seconds: float
    clip_seconds: float
    start: float = 0.0
    truncated: str = ""
    tta_shifts: int = 1
    unknown_score: float | None = None
    unknown_threshold: float | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether the sound is probably of no class; ``False`` if the model cannot tell."""
        if self.unknown_score is None or self.unknown_threshold is None:
            return False
        return self.unknown_score > self.unknown_threshold

    @property
    def label(self) -> str:
        """The most probable class of the finest level."""
        return self.top(1)[0][0]

    @property
    def labels(self) -> dict[str, str]:
        """The most probable class of each head, from coarse to fine."""
        return {head.name: head.classes[int(self.proba[head.name].argmax())] for head in self.heads}

    @property
    def present(self) -> dict[str, tuple[str, ...]]:
        """Of each ``"multi"`` head the classes that are present, the most probable first.

        These reach their thresholds, or a probability of 0.5 where the head has none.
        """
        found = {}
        for head in self.heads:
            if head.problem == "multi":
                proba = self.proba[head.name]
                reached = proba >= np.array(head.limits)
                order = np.argsort(-proba, kind="stable")
                found[head.name] = tuple(head.classes[index] for index in order[reached[order]])
        return found

    @property
    def shown(self) -> dict[str, str]:
        """What a table shows for each head: the label, or all classes that are present."""
        present = {name: PRESENT_SEPARATOR.join(names) for name, names in self.present.items()}
        return self.labels | present

    @property
    def probabilities(self) -> dict[str, dict[str, float]]:
        """By name of a head the probability of each class by name, in the model's order."""
        return {
            head.name: dict(zip(head.classes, self.proba[head.name].tolist(), strict=True))
            for head in self.heads
        }

    @property
    def end(self) -> float:
        """End of the window in seconds; silence follows the end of the recording."""
        return self.start + self.clip_seconds

    @property
    def longer_than_clip(self) -> bool:
        """Whether the recording is longer than the clip; the padding of encoders does not count."""
        return self.file_seconds > self.clip_seconds + 0.05

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` most probable classes of the finest level."""
        head = self.heads[-1]
        named = zip(head.classes, self.proba[head.name].tolist(), strict=True)
        return sorted(named, key=lambda entry: -entry[1])[:k]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """JSON values, without embedding and attention."""
        best: dict[str, Any] = dict.fromkeys(head_keys(LEVELS))
        for name, label in self.shown.items():
            best |= zip(head_keys([name]), (label, self.proba[name].max().item()), strict=True)
        return {
            "file": self.source,
            **best,
            "unknown_score": self.unknown_score,
            "is_unknown": None if self.unknown_score is None else self.is_unknown,
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
        return {
            "file": self.source,
            **dict.fromkeys(head_keys(LEVELS)),
            **dict.fromkeys(UNKNOWN_KEYS),
            "top": [],
            "file_seconds": None,
            "clip_seconds": None,
            "error": self.cause,
        }
