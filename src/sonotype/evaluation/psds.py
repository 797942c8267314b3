"""Polyphonic sound detection scores: scores of frame scores that need no threshold.

Bilen et al., "A framework for the robust evaluation of sound event detection", 2020; exact over all
thresholds as in Ebbers, Serizel and Haeb-Umbach, "Threshold-independent evaluation of sound event
detection scores", 2022, whose package sed_scores_eval computes them. The two settings are those of
the DCASE challenges of 2021 to 2024, task 4: PSDS1 rewards accurate times, PSDS2 penalises
confusion of classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from sonotype.core.errors import MissingExtraError, OptionsError
from sonotype.core.event_matching import MICROSECONDS, IntArray, merge, microseconds
from sonotype.evaluation.event_records import RecordingDetections, events_of, require_valid

SETTINGS: dict[str, dict[str, float | None]] = {
    "PSDS1": {
        "dtc_threshold": 0.7,
        "gtc_threshold": 0.7,
        "cttc_threshold": None,
        "alpha_ct": 0.0,
        "alpha_st": 1.0,
        "max_efpr": 100.0,
    },
    "PSDS2": {
        "dtc_threshold": 0.1,
        "gtc_threshold": 0.1,
        "cttc_threshold": 0.3,
        "alpha_ct": 0.5,
        "alpha_st": 1.0,
        "max_efpr": 100.0,
    },
}

MAX_FRAMES = 4000
"""Of one span. Time and memory of sed_scores_eval grow with the square of the frames: one class of
random scores took 0.02 s for 600 frames, 1.4 s for 3000, and an hour of 36,000 frames would take
minutes and tens of GB."""


def psds(recordings: Sequence[RecordingDetections], classes: Sequence[str]) -> dict[str, float]:
    """PSDS1 and PSDS2 over the classes with a reference event.

    Each span counts as a recording of its own. Reference events of one class that overlap or touch
    are joined, since the scores do not distinguish them.

    Args:
        recordings: with frame scores.
        classes: the columns of the scores.

    Raises:
        DataError: lists all invalid spans, events and frame scores.
        MissingExtraError: sed_scores_eval is not installed.
        OptionsError: a recording without frame scores or with too many, or no reference events.
    """
    require_valid(recordings, classes)
    intersection_based = require_sed().intersection_based
    if missing := sum(not np.size(one.times) for one in recordings):
        raise OptionsError(f"{missing} of {len(recordings)} recordings have no frame scores")
    tables: dict[str, Any] = {}
    truth: dict[str, list[tuple[float, float, str]]] = {}
    seconds: dict[str, float] = {}
    for one in recordings:
        for span in merge(microseconds(one.spans)):
            name = str(len(tables))
            tables[name] = _table(one, span)
            reference, _ = events_of(one, classes, span[None], 0)
            truth[name] = [
                (float(event[0]) / MICROSECONDS, float(event[1]) / MICROSECONDS, _column(index))
                for index, events in enumerate(reference)
                for event in merge(events)
            ]
            seconds[name] = float(span[1] - span[0]) / MICROSECONDS
    present = sorted({column for events in truth.values() for _, _, column in events})
    if not present:
        raise OptionsError("there are no reference events")
    if (frames := max(map(len, tables.values()))) > MAX_FRAMES:
        raise OptionsError(
            f"a span has {frames} score frames, and the computation takes at most {MAX_FRAMES}: "
            "score shorter recordings or fewer frames per second"
        )
    tables = {name: table[["onset", "offset", *present]] for name, table in tables.items()}
    found = {}
    for name, setting in SETTINGS.items():
        if len(present) == 1:  # there is no other class to trigger
            setting = {**setting, "cttc_threshold": None, "alpha_ct": 0.0}
        found[name] = float(intersection_based.psds(tables, truth, seconds, **setting)[0])
    return found


def require_sed() -> ModuleType:
    """The package sed_scores_eval, or a ``MissingExtraError`` if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in its docstrings
            import sed_scores_eval
    except ImportError:
        raise MissingExtraError("PSDS", "sed") from None
    module: ModuleType = sed_scores_eval
    return module


def _column(index: int) -> str:
    """Name of the column of a class; the package reserves some names and characters."""
    return f"class_{index}"


def _table(recording: RecordingDetections, span: IntArray) -> Any:
    """The frame scores inside a span as the package takes them; -inf if there are no frames."""
    times = np.rint(np.asarray(recording.times) * MICROSECONDS).clip(*span)
    scores = np.asarray(recording.scores, dtype=np.float64)[np.diff(times) > 0]
    times = np.unique(times)
    if not len(scores):
        times, scores = span, np.full((1, np.shape(recording.scores)[1]), -np.inf)
    columns = {_column(index): column for index, column in enumerate(scores.T)}
    onsets, offsets = times[:-1] / MICROSECONDS, times[1:] / MICROSECONDS
    return _table_type()({"onset": onsets, "offset": offsets, **columns})


@cache
def _table_type() -> Any:
    """A data frame that gives arrays that can be written to.

    The compiled functions of sed_scores_eval 0.0.4 refuse the read-only arrays of pandas 3.
    """
    import pandas as pd

    class Table(pd.DataFrame):  # type: ignore[misc]
        @property
        def _constructor(self) -> Any:
            return Table

        def to_numpy(self, *args: Any, **options: Any) -> Any:
            return super().to_numpy(*args, **{**options, "copy": True})

    return Table
