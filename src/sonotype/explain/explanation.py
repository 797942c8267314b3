"""Explain a class of a sound: the importance of each cell of the log-mel, for each branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sonotype.core.errors import OptionsError
from sonotype.core.text import listed
from sonotype.explain.faithfulness import masks_of, parts_of
from sonotype.explain.geometry import band_frequencies
from sonotype.explain.methods import DEFAULT, FUNCTIONS, METHODS, POWER
from sonotype.explain.network import Network, Target
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import Ensemble
from sonotype.sliding.layout import FRAMES_A_SECOND

__all__ = ["DEFAULT", "METHODS", "BranchMap", "Explanation", "explain"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BranchMap:
    """The importance of the cells of one branch's log-mel.

    Attributes:
        name: ``branch 1`` or ``branch 2``.
        log_mel: ``[time, bands]``, the input of the branch.
        importance: ``[time, bands]``, not negative, with a sum of 1.
        seconds: length of the log-mel.
        band_frequencies: ``[bands]``, the centres of the bands in Hz.
    """

    name: str
    log_mel: Array
    importance: Array
    seconds: float
    band_frequencies: Array

    @property
    def main_seconds(self) -> tuple[float, float]:
        """The shortest interval of time with half of the importance, in seconds."""
        first, end = shortest_half(self.importance.sum(1))
        row = self.seconds / len(self.importance)
        return first * row, end * row

    @property
    def main_frequencies(self) -> tuple[float, float]:
        """The fewest neighbouring bands with half of the importance: the outer centres in Hz."""
        first, end = shortest_half(self.importance.sum(0))
        return float(self.band_frequencies[first]), float(self.band_frequencies[end - 1])


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a sound has a class, as one map for each branch.

    Attributes:
        label: the explained class.
        probability: of the class for the clip, from the head of its level.
        method: how the maps were computed.
        branches: the maps, that of branch 1 first.
        kept_probability: of the class for the part of the clip that the importance marks.
        rest_probability: of the class for the remainder of the clip.
    """

    label: str
    probability: float
    method: str
    branches: tuple[BranchMap, ...]
    kept_probability: float
    rest_probability: float


def explain(
    classifier: Classifier | Ensemble,
    path: Path,
    label: str = "",
    *,
    level: str = "",
    method: str = DEFAULT,
    start: float | None = None,
) -> Explanation:
    """Explain the class of a sound file, or of one window of a recording.

    Args:
        classifier: its network must run in torch; of an ensemble, the first model is explained.
        path: the sound file.
        label: the class; empty for the most probable one.
        level: level of the class; empty for the finest.
        method: a name in :data:`METHODS`.
        start: of the window, in seconds; ``None`` for the clip that the classifier uses.

    Raises:
        AudioError: the file cannot be read.
        OptionsError: an ONNX model; an unknown class, level or method.
    """
    network = Network.of(classifier)
    log_mels = network.log_mels(network.clip(path, start))
    return explain_log_mels(network, log_mels, network.target(log_mels, label, level), method)


def explain_log_mels(
    network: Network, log_mels: Sequence[Tensor], target: Target, method: str = DEFAULT
) -> Explanation:
    """Explain a class of a clip that is given as its log-mels.

    Raises:
        OptionsError: an unknown method; lists those that exist.
    """
    if method not in METHODS:
        raise OptionsError(f"method is {method!r}, must be one of {listed(METHODS)}")
    system = network.system
    front_ends = [system.branch_1.front_end, system.front_end_2]
    found = FUNCTIONS[method](network, log_mels, target)
    branches = tuple(
        BranchMap(
            name=f"branch {number}",
            log_mel=log_mel[0, 0].double().cpu().numpy(),
            importance=normalised(values.double().cpu().numpy()),
            seconds=log_mel.shape[2] / FRAMES_A_SECOND,
            band_frequencies=band_frequencies(front_end),
        )
        for number, (log_mel, values, front_end) in enumerate(
            zip(log_mels, found, front_ends, strict=False), start=1
        )
        if front_end is not None
    )
    masks = masks_of(found, POWER)
    proba = parts_of(network, log_mels, masks, target.head)[:, target.index]
    whole, kept, rest = proba.double().tolist()
    return Explanation(target.label, whole, method, branches, kept, rest)


def normalised(values: Array) -> Array:
    """The values divided by their sum; equal shares if all are 0."""
    values = np.where(np.isfinite(values), values, 0.0).clip(min=0)
    total = values.sum()
    return values / total if total > 0 else np.full(values.shape, 1 / values.size)


def shortest_half(shares: Array) -> tuple[int, int]:
    """First and end of the shortest run of cells whose shares sum to half of the whole, or more.

    Shape:
        ``[cells]``
    """
    sums = np.concatenate([[0.0], np.cumsum(shares)])
    half = sums[-1] / 2 - 1e-12
    ends = np.searchsorted(sums, sums + half)
    firsts = np.flatnonzero(ends < len(sums))
    best = firsts[np.argmin(ends[firsts] - firsts)]
    return int(best), int(ends[best])
