"""From logits to the probabilities of a prediction.

Each step is one function, in this order:

1. :func:`probabilities`: softmax (or sigmoid) of the logits of each head, divided by its
   temperature. The network does this step in its own runtime (torch, or the graph of an ONNX file),
   so engines return probabilities.
2. :func:`average_shifts`: mean over circularly shifted copies of a clip (test-time augmentation).
3. :func:`average_models`: mean over the models of an ensemble.
4. :func:`sonotype.core.hierarchy.read_hierarchy`: coarse levels from one head or from two.

Unknown scores are averaged in steps 2 and 3 as probabilities are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sonotype.audio.clip import view_shift
from sonotype.core.hierarchy import CategorySource, read_hierarchy
from sonotype.core.types import Heads
from sonotype.inference.engine import BATCH_SIZE, Engine, EngineOutput
from sonotype.inference.prediction import Array, Prediction

if TYPE_CHECKING:
    from torch import Tensor

NOT_FINITE = (
    "the output of the network is not finite (NaN or infinite): its weights are damaged, or its "
    "training diverged; use another model, or train again with a lower learning rate"
)
"""Cause of a failure where the sound can be read."""


def probabilities(logits: Mapping[str, Tensor], heads: Heads) -> dict[str, Tensor]:
    """Probabilities of each head, in single precision.

    Shape:
        by name of a head ``[batch, classes] -> [batch, classes]``
    """
    found = {}
    for head in heads:
        value = logits[head.name].float()
        if head.temperature != 1:
            value = value / head.temperature
        found[head.name] = value.softmax(1) if head.problem == "single" else value.sigmoid()
    return found


def average_shifts(engine: Engine, waveforms: Array, tta_shifts: int) -> EngineOutput:
    """Mean probabilities over circular shifts of clips by equal fractions of their length.

    Embedding and attention are those of the clips without a shift.

    Args:
        engine: runs the network.
        waveforms: clips ``[batch, samples]``.
        tta_shifts: number of shifts, the shift by 0 included.
    """
    output = engine(waveforms)
    if tta_shifts == 1:
        return output
    clips, samples = waveforms.shape
    views = [
        np.roll(waveforms, view_shift(view, tta_shifts, samples), axis=1)
        for view in range(1, tta_shifts)
    ]
    if len(views) * clips <= BATCH_SIZE and not engine.side_by_side:
        # Of few clips, all views in one batch cost less than one view after the other.
        together = engine(np.concatenate(views))
        shifted = [
            together.rows(start, start + clips) for start in range(0, clips * len(views), clips)
        ]
    else:
        shifted = [engine(view) for view in views]
    shifted.insert(0, output)
    scores = [one.unknown for one in shifted if one.unknown is not None]
    return replace(
        output,
        proba=mean_proba([one.proba for one in shifted]),
        unknown=np.mean(scores, axis=0) if scores else None,
        tta_shifts=tta_shifts,
    )


def mean_proba(
    members: Sequence[Mapping[str, npt.NDArray[np.floating]]],
    dtype: type[np.floating] | None = None,
) -> dict[str, npt.NDArray[np.floating]]:
    """The mean of the probabilities of each head."""
    return {
        name: np.asarray(np.mean([member[name] for member in members], axis=0, dtype=dtype))
        for name in members[0]
    }


def average_models(
    predictions: Sequence[Prediction], heads: Heads, category_source: CategorySource
) -> Prediction:
    """Mean of several models' predictions for one sound, in double precision.

    Embedding and attention are those of the first model.

    Args:
        predictions: each level is read from its own head.
        heads: of all models.
        category_source: how to read coarse levels from the means.
    """
    proba = mean_proba([prediction.proba for prediction in predictions], np.float64)
    return replace(
        predictions[0],
        heads=heads,
        proba=read_hierarchy(proba, heads, category_source),
        unknown_score=_mean([prediction.unknown_score for prediction in predictions]),
        unknown_threshold=_mean([prediction.unknown_threshold for prediction in predictions]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; ``None`` if a model has no value."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def finite_rows(output: EngineOutput) -> npt.NDArray[np.bool_]:
    """``[batch]``: whether all values of a clip are finite."""
    finite = np.ones(len(output.embedding), dtype=bool)
    unknown = () if output.unknown is None else (output.unknown,)
    for values in (*output.proba.values(), output.embedding, *output.attention, *unknown):
        finite &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    return finite
