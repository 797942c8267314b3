"""From logits to the probabilities of a prediction.

Each step is one function, in this order:

1. :func:`softmax`: probabilities of each head. The network does this step in its own runtime
   (torch, or the graph of an ONNX file), so engines return probabilities.
2. :func:`average_shifts`: mean over circularly shifted copies of a clip (test-time augmentation).
3. :func:`average_models`: mean over the models of an ensemble.
4. :func:`sonotype.core.hierarchy.read_category`: the category from one head or from both.

A threshold below which a prediction becomes "unknown" would follow step 4, in
``Classifier`` and in :func:`average_models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sonotype.core.hierarchy import CategorySource, read_category
from sonotype.core.types import Labels
from sonotype.inference.engine import Engine, EngineOutput
from sonotype.inference.prediction import Array, Prediction

if TYPE_CHECKING:
    from torch import Tensor

NOT_FINITE = (
    "the output of the network is not finite (NaN or infinite): its weights are damaged, or its "
    "training diverged; use another model, or train again with a lower learning rate"
)
"""Cause of a failure where the sound can be read."""


def softmax(logits: Tensor) -> Tensor:
    """Probabilities ``[batch, classes]`` of a head, in single precision.

    The temperature is 1: calibration divides the weights of the heads instead
    (:func:`sonotype.evaluation.calibration.divide_logits`).
    """
    return logits.float().softmax(1)


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
    step = waveforms.shape[1] / tta_shifts
    rolled = [
        engine(np.roll(waveforms, round(number * step), axis=1)) for number in range(1, tta_shifts)
    ]
    outputs = [output, *rolled]
    events = [shifted.event for shifted in outputs if shifted.event is not None]
    return replace(
        output,
        category=np.mean([shifted.category for shifted in outputs], axis=0),
        event=np.mean(events, axis=0) if events else None,
        tta_shifts=tta_shifts,
    )


def average_models(
    predictions: Sequence[Prediction], labels: Labels, category_source: CategorySource
) -> Prediction:
    """Mean of several models' predictions for one sound, in double precision.

    Embedding and attention are those of the first model.

    Args:
        predictions: their categories are read from the category heads.
        labels: of all models.
        category_source: how to read the category from the means.
    """
    category = np.asarray(
        np.mean([one.category_proba for one in predictions], axis=0, dtype=np.float64)
    )
    events = [one.event_proba for one in predictions if one.event_proba is not None]
    event = np.asarray(np.mean(events, axis=0, dtype=np.float64)) if events else None
    return replace(
        predictions[0],
        category_proba=read_category(category, event, labels, category_source),
        event_proba=event,
    )


def finite_rows(output: EngineOutput) -> npt.NDArray[np.bool_]:
    """``[batch]``: whether all values of a clip are finite."""
    finite = np.ones(len(output.category), dtype=bool)
    for values in (output.category, output.event, output.embedding, *output.attention):
        if values is not None:
            finite &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    return finite
