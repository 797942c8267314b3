"""All clips of a run in the order of how unlikely their labels are.

Three quantities, all from other recordings only, make the score of a clip: the held-out probability
p of its label, that of the best other class p', and the share s of the nearest clips that have the
label (p where that was not computed):

    score = ((1 - p) + (1 - s) + w (1 + p' - p)) / (2 + 2 w)

A clip is suspected to be a foreign sound where no class fits: where
the probability of the best other class, times that of a known sound, is small. ``scripts/
label_errors.py`` compares this order with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sonotype.core.errors import OptionsError
from sonotype.core.text import WIDTH, align, listed
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.evaluation.predictions import FloatArray, IntArray, Predictions
from sonotype.evaluation.suspicious import write_labels

FOREIGN = "foreign"
MARGIN_WEIGHT = 0.3
FITTING = 0.3
"""Probability that a sound is known and of the best other class, below which it is foreign."""
COLUMNS = (
    *("rank", "path", "level", "label", "suspected", "suggested", "score"),
    *("probability", "probability_suggested", "agreement", "unknown_score"),
)


@dataclass(frozen=True)
class Suspect:
    """A labelled clip and how unlikely its label is.

    Attributes:
        rank: from 1, the least likely label.
        path: the clip.
        level: name of the head: the finest level on which the clip has a label.
        label: the given label.
        foreign: whether a foreign sound is suspected rather than another class.
        suggested: the most probable other class.
        score: from 0 to 1, the higher the less likely the label.
        probability: of the given label, held out.
        probability_suggested: of the suggested class.
        agreement: share of the nearest clips that have the label; ``None`` if not known.
        unknown_score: held out; ``None`` if not known.
    """

    rank: int
    path: str
    level: str
    label: str
    foreign: bool
    suggested: str
    score: float
    probability: float
    probability_suggested: float
    agreement: float | None
    unknown_score: float | None

    @property
    def suspected(self) -> str:
        """The suggested class, or ``"foreign"``."""
        return FOREIGN if self.foreign else self.suggested


def rank_suspects(predictions: Predictions) -> list[Suspect]:
    """All clips with a label that was scored, the least likely labels first.

    Args:
        predictions: of clips that the models were not trained on.

    Raises:
        OptionsError: clips can have several labels, or no clip has a label that was scored.
    """
    if several := [head.name for head in predictions.heads if head.problem == "multi"]:
        raise OptionsError(
            f"suspects ranks clips with one label each, and these can have any number "
            f"({listed(several)}); the classes of each clip are in predictions.csv"
        )
    predictions.require_finite()
    found: list[Suspect] = []
    taken = np.zeros(len(predictions), dtype=bool)
    for head in reversed(predictions.heads):
        if len(head.classes) > 1:
            clips = np.flatnonzero((predictions.true[head.name] != IGNORE_INDEX) & ~taken)
            taken[clips] = True
            found += _suspects_of(predictions, head, clips)
    if not found:
        raise OptionsError("no clip has a label that other recordings have too: add recordings")
    found.sort(key=lambda one: (-one.score, one.probability - one.probability_suggested))
    return [Suspect(**{**vars(one), "rank": number}) for number, one in enumerate(found, start=1)]


def label_scores(
    proba: FloatArray, true: IntArray, agreement: FloatArray | None = None
) -> FloatArray:
    """How unlikely labels are, from 0 to 1.

    Args:
        proba: ``[clips, classes]`` held-out probabilities.
        true: ``[clips]`` given labels.
        agreement: ``[clips]`` shares of the nearest clips with the same label; NaN if not known.

    Returns:
        ``[clips]``
    """
    rows, proba = np.arange(len(true)), proba.astype(np.float64)
    given, best = proba[rows, true], proba[rows, best_other(proba, true)]
    shares = np.full(len(true), np.nan) if agreement is None else agreement
    doubt = 2 - given - np.where(np.isnan(shares), given, shares)
    return np.asarray((doubt + MARGIN_WEIGHT * (1 + best - given)) / (2 + 2 * MARGIN_WEIGHT))


def best_other(proba: FloatArray, true: IntArray) -> IntArray:
    """The most probable class other than the given label, ``[clips]``."""
    others = proba.copy()
    others[np.arange(len(true)), true] = -1
    return np.asarray(others.argmax(axis=1))


def is_foreign(best: FloatArray, unknown: FloatArray) -> FloatArray:
    """Whether clips are rather foreign sounds than of another class, ``[clips]``.

    Args:
        best: ``[clips]`` probabilities of the best other class.
        unknown: ``[clips]`` unknown scores; NaN if not known, which is never foreign.
    """
    return np.asarray(best * (1 - unknown) < FITTING)


def _suspects_of(predictions: Predictions, head: Head, clips: IntArray) -> list[Suspect]:
    """The suspects among some clips by their labels of a head, in the order of the clips."""
    true, proba = predictions.true[head.name][clips], predictions.proba[head.name][clips]
    nothing = np.full(len(clips), np.nan)
    shares = predictions.agreement.get(head.name)
    agreement = nothing if shares is None else shares[clips]
    unknown = nothing if predictions.unknown is None else predictions.unknown[clips]
    score, other = label_scores(proba, true, agreement), best_other(proba, true)
    rows = np.arange(len(clips))
    foreign = is_foreign(proba[rows, other], unknown)
    return [
        Suspect(
            rank=0,
            path=predictions.paths[clip],
            level=head.name,
            label=head.classes[true[row]],
            foreign=bool(foreign[row]),
            suggested=head.classes[other[row]],
            score=float(score[row]),
            probability=float(proba[row, true[row]]),
            probability_suggested=float(proba[row, other[row]]),
            agreement=_known(agreement[row]),
            unknown_score=_known(unknown[row]),
        )
        for row, clip in enumerate(clips)
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def suspects_table(suspects: Sequence[Suspect]) -> str:
    """Rank, clip, label, suspected class and score in 80 columns."""
    digits = max(4, *(len(str(one.rank)) for one in suspects)) if suspects else 4
    widths = (-digits, 2, WIDTH - digits - 2 - 2 * 20 - 7, 20, 20, -7)
    lines = [align(("rank", "", "clip", "label", "suspected", "score"), *widths)]
    for one in suspects:
        name = one.path.replace("\\", "/").rpartition("/")[2]
        cells = (name, one.label, one.suspected)
        # A space at the end keeps columns apart that are filled to the last character.
        texts = [align((text,), width - 1) for text, width in zip(cells, widths[2:5], strict=True)]
        lines.append(align((str(one.rank), "", *texts, f"{one.score:.3f}"), *widths))
    return "\n".join(lines)


def suspect_values(one: Suspect) -> dict[str, str | int | float | None]:
    """The values of a suspect by column."""
    return {name: getattr(one, name) for name in COLUMNS}


def write_suspects(path: Path, suspects: Sequence[Suspect]) -> None:
    """Write the suspects as CSV.

    Raises:
        OptionsError: the file cannot be written.
    """
    write_labels(path, COLUMNS, (suspect_values(one).values() for one in suspects))
