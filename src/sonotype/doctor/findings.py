"""What the doctor finds: kinds of faults with their severity and remedy, and the findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the most severe on. An error makes labels or scores wrong, or stops a training."""


@dataclass(frozen=True)
class Place:
    """Where a fault is.

    Attributes:
        where: one file or label, or both files of a pair, relative to the source.
        detail: measured values; empty if there is nothing to add.
    """

    where: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.where} ({self.detail})" if self.detail else self.where


@dataclass(frozen=True)
class Finding:
    """All faults of one kind.

    Attributes:
        kind: a short name for programs, such as ``clipped``.
        severity: of the kind.
        what: the fault in a few words.
        remedy: what to do.
        places: all of them.
    """

    kind: str
    severity: Severity
    what: str
    remedy: str
    places: tuple[Place, ...]


KINDS: dict[str, tuple[Severity, str, str]] = {
    "listing": ("error", "cannot be used for training", "correct each of them as it says"),
    "unreadable": ("error", "unreadable", "replace or remove the file"),
    "truncated": (
        "error",
        "cut off: the end of the file is missing",
        "copy the file again, remove it, or pass --use-truncated",
    ),
    "silent": ("error", "silent", "remove the clip, or label it silence"),
    "cancelled": (
        "error",
        "channels cancel each other when averaged (one is inverted)",
        "invert one channel, or keep one",
    ),
    "not_numbers": ("error", "samples are no numbers (NaN or infinite)", "write the file again"),
    "far_above_full_scale": (
        "error",
        "samples far above full scale",
        "divide by the largest integer of the recorder's format, for 16 bits 32768",
    ),
    "copies_under_two_labels": (
        "error",
        "one sound under two labels",
        "correct one label, or remove one file",
    ),
    "copies_across_folds": (
        "error",
        "one sound in two folds or subsets",
        "keep one copy, else the model is tested on sounds that it has learnt",
    ),
    "near_copies_under_two_labels": (
        "warning",
        "nearly the same sound under two labels",
        "listen to both; correct one label, or remove one file",
    ),
    "near_copies_across_folds": (
        "warning",
        "nearly the same sound in two folds or subsets",
        "listen to both; keep one, or put both into one fold",
    ),
    "near_copies_across_groups": (
        "warning",
        "nearly the same sound in two groups",
        "listen to both; keep one, or give both one group",
    ),
    "copies": (
        "warning",
        "the same sound twice",
        "remove one; train puts both into one group",
    ),
    "near_copies": (
        "warning",
        "nearly the same sound twice",
        "listen to both; keep one, or give both one group (--group-pattern)",
    ),
    "above_full_scale": (
        "warning",
        "samples above full scale",
        "scale the sound into -1 to 1, as the other clips",
    ),
    "quiet": (
        "warning",
        "very quiet: peak below -60 dBFS",
        "check the recorder's gain and the format; scale the sound, or remove it",
    ),
    "nearly_empty": (
        "warning",
        "a short sound in long silence",
        "cut the silence, or train with --trim",
    ),
    "clipped": (
        "warning",
        "clipped: the recorder was overdriven",
        "record with less gain; keep the clip if future sounds are clipped too",
    ),
    "dc_offset": ("warning", "DC offset", "subtract the mean, or high-pass at 20 Hz"),
    "mains_hum": (
        "warning",
        "mains hum",
        "check cables and power supply, or filter; of a machine on the mains, keep it",
    ),
    "dead_channel": (
        "warning",
        "a channel is silent",
        "keep the other channel: averaging with silence halves the level",
    ),
    "inverted_channel": (
        "warning",
        "a channel is inverted",
        "invert one channel, or keep one: averaging cancels most of the sound",
    ),
    "too_short": (
        "warning",
        "shorter than 0.1 s",
        "give a longer part of the recording: the rest of the clip is padding",
    ),
    "low_passed": (
        "warning",
        "nothing above a frequency: upsampled or low-passed",
        "get the original; else make sure that no class stands out by its bandwidth",
    ),
    "wrong_extension": (
        "warning",
        "the content is of another format than the name says",
        "rename the file",
    ),
    "passed_over": (
        "warning",
        "files passed over: not a suffix of sounds",
        "convert sounds to WAV or FLAC, move other files out of the class folders",
    ),
    "mixed_rates": (
        "warning",
        "several sample rates",
        "make sure that no class or fold stands out by its rate",
    ),
    "similar_labels": (
        "warning",
        "labels that are probably one class",
        "give them one name; --fix FILE writes the most frequent one",
    ),
    "small_class": (
        "warning",
        "classes with few clips",
        "add clips, or join classes: scores of small classes say little",
    ),
    "imbalance": (
        "note",
        "classes of very different size",
        "judge by macro-averaged scores; add clips of small classes",
    ),
    "grouping": (
        "warning",
        "names suggest that several clips come from one recording",
        "pass the pattern, so that no recording is in training and test data",
    ),
}
"""By kind: severity, what, and remedy; in the order of the report within a severity."""


def findings_of(places: Iterable[tuple[str, Place]]) -> list[Finding]:
    """Findings from the kind and the place of each fault, the most severe first."""
    by_kind: dict[str, list[Place]] = {}
    for kind, place in places:
        by_kind.setdefault(kind, []).append(place)
    order = list(KINDS)
    kinds = sorted(by_kind, key=lambda kind: (SEVERITIES.index(KINDS[kind][0]), order.index(kind)))
    return [Finding(kind, *KINDS[kind], tuple(by_kind[kind])) for kind in kinds]
