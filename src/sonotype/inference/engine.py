"""What a classifier asks of whatever runs its network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sonotype.inference.prediction import Array


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """What a network says of a batch of clips.

    Attributes:
        category: ``[batch, categories]`` softmax of the category head.
        event: ``[batch, events]`` softmax of the event head; ``None`` without one.
        embedding: ``[batch, 128]``, the input of both heads.
        attention: where it listened, ``[batch, time, frequency]`` for each pooled map; none from
            an engine that does not tell.
    """

    category: Array
    event: Array | None
    embedding: Array
    attention: tuple[Array, ...]


NOT_FINITE = (
    "the network's answer is not finite (NaN or infinite): its weights are damaged, or its "
    "training diverged; use another model, or train again with a lower learning rate"
)
"""Why a clip has no prediction although it can be read."""


def finite_rows(output: EngineOutput) -> npt.NDArray[np.bool_]:
    """``[batch]`` whether all that is said of a clip is finite."""
    finite = np.ones(len(output.category), dtype=bool)
    for values in (output.category, output.event, output.embedding, *output.attention):
        if values is not None:
            finite &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    return finite


class Engine(Protocol):
    """Runs a network.

    Attributes:
        side_by_side: whether clips are best answered one by one, in as many threads as there are
            processors, rather than in batches.
    """

    side_by_side: bool

    def __call__(self, waveforms: Array) -> EngineOutput:
        """Answer to clips ``[batch, samples]`` at the network's sample rate."""
        ...

    def windows(
        self, pieces: Iterable[Array], samples: int, hop: float
    ) -> Iterator[tuple[int, EngineOutput]] | None:
        """Answers to overlapping windows of a recording that share their maps.

        Args:
            pieces: the recording, ``[samples]`` each, in a row.
            samples: length of a window.
            hop: samples from window to window.

        Returns:
            the number of the first window and the answers, for some windows at a time; ``None``
            from an engine whose windows cannot share anything.
        """
        ...
