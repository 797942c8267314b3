"""What a model file says about detection: how scores over time become events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sonotype.config import EventOptions, from_dict, to_dict

LONGEST_HOP = 60.0
LARGEST_SCALE = 2**31
"""Of a frame head, in frames; a recording is shorter."""


@dataclass(frozen=True)
class Detection:
    """Settings of detection that were fitted to annotated recordings.

    Attributes:
        head: name of the head whose classes are detected.
        events: how to make events, one for each class of the head.
        frame_scales: scales of the frame head, see :class:`sonotype.models.frame_head.FrameHead`;
            empty if the model has none, and windows are scored.
        hop: seconds from one window to the next, where windows are scored; 0 for the default.
        tuned: what the settings were fitted to, and the scores that were reached.
        seen: first digits of the digests of the sounds that ``sonotype tune`` fitted the settings
            to. Those of a training are with the clips that it has seen.
    """

    head: str
    events: tuple[EventOptions, ...]
    frame_scales: tuple[int, ...] = ()
    hop: float = 0.0
    tuned: Mapping[str, Any] = field(default_factory=dict)
    seen: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values; only the options that differ between classes are listed by class."""
        options = [to_dict(one) for one in self.events]
        shared = {name: value for name, value in options[0].items() if _same(options, name)}
        return {
            "head": self.head,
            "shared": shared,
            "events": [
                {name: value for name, value in one.items() if name not in shared}
                for one in options
            ],
            "frame_scales": list(self.frame_scales),
            "hop": self.hop,
            "tuned": dict(self.tuned),
            "seen": list(self.seen),
        }


def detection_of(values: Any, classes: Mapping[str, int]) -> Detection | None:
    """The inverse of :meth:`Detection.to_json`; ``None`` for ``None``.

    Args:
        values: of the model file.
        classes: number of classes of each head.

    Raises:
        KeyError: a missing entry.
        TypeError: an entry of another type.
        ValueError: entries that do not fit the heads.
        OptionsError: invalid options of events.
    """
    if values is None:
        return None
    if not isinstance(values, dict) or not isinstance(values.get("shared"), dict):
        raise TypeError("detection must be an object")
    head, events = values["head"], values["events"]
    if not isinstance(head, str) or head not in classes:
        raise ValueError("the head of detection must be a head of the model")
    if not isinstance(events, list) or len(events) != classes[head]:
        raise ValueError(f"detection must have options of {classes[head]} classes")
    scales, hop = values.get("frame_scales", []), values.get("hop", 0.0)
    if not isinstance(scales, list) or not all(
        type(s) is int and 0 < s < LARGEST_SCALE and s % 2 for s in scales
    ):
        raise ValueError("frame_scales of detection must be odd numbers")
    if type(hop) not in (int, float) or not 0 <= hop <= LONGEST_HOP or math.isnan(hop):
        raise ValueError(f"hop of detection must be from 0 to {LONGEST_HOP:g} s")
    tuned, seen = values.get("tuned", {}), values.get("seen", [])
    if not isinstance(tuned, dict) or not all(isinstance(one, dict) for one in events):
        raise TypeError("tuned and events of detection must be objects")
    if not isinstance(seen, list) or not all(type(one) is str for one in seen):
        raise TypeError("seen of detection must be a list of digests")
    return Detection(
        head,
        tuple(from_dict(EventOptions, {**values["shared"], **one}) for one in events),
        tuple(scales),
        float(hop),
        tuned,
        tuple(seen),
    )


def _same(options: list[dict[str, Any]], name: str) -> bool:
    return all(one[name] == options[0][name] for one in options)
