"""Fit the frame head of a system to annotated recordings, and score their frames by cross-fitting.

A frame has the label of every event that covers half of it, or half of which lies in it. Frames
outside of the parts that were listened to are not used.

The vectors of a frame are large, so a head learns from at most :data:`MOST_FRAMES` frames. The
scores of all frames then take a second pass over the recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from sonotype.audio.stream import stream
from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.progress import track
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.evaluation.calibration import fit_sigmoid_temperature
from sonotype.models.frame_head import FrameHead, frame_reductions
from sonotype.models.statistics import statistic_weights
from sonotype.models.system import System
from sonotype.sliding.frames import SharedFrames, frame_bounds
from sonotype.sliding.system_frames import Vectors, system_frames
from sonotype.training.linear_fit import LinearHeads, fit_linear

MOST_FRAMES = 12_000
"""Largest number of frames that a head learns from."""
FEWEST_FRAMES = 10
"""Frames with a class below which no temperature is fitted."""
HALF = 0.5

Targets = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoredFrames:
    """The frames of a recording, with probabilities from heads that did not learn from it.

    Attributes:
        recording: with its events.
        times: ``[frames + 1]`` boundaries in seconds.
        scores: ``[frames, classes]``.
    """

    recording: AnnotatedRecording
    times: Floats
    scores: npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class FrameFit:
    """A fitted frame head.

    Attributes:
        head: gives calibrated logits.
        held_out: the recordings that other folds scored.
    """

    head: FrameHead
    held_out: tuple[ScoredFrames, ...]


def fit_frame_head(
    system: System,
    samples: int,
    recordings: Sequence[AnnotatedRecording],
    classes: Sequence[str],
    folds: Mapping[str, int],
    *,
    seed: int = 0,
    progress: bool = False,
) -> FrameFit:
    """Fit a frame head to all recordings, and heads of all folds but one that score its recordings.

    Args:
        system: with poolings that have no trained weights; it is not changed.
        samples: of a clip.
        recordings: to learn from.
        classes: of the head; other labels are ignored.
        folds: the fold of each group of recordings; groups in no fold are always learnt.
        seed: of the choice of frames.
        progress: draw progress bars.

    Raises:
        AudioError: a recording cannot be read.
    """
    frames = _Frames(system, samples, tuple(classes), progress)
    targets = [frames.targets(one) for one in recordings]
    chosen = _chosen(targets, seed)
    vectors = frames.vectors(recordings, chosen)
    rows = np.concatenate(vectors)
    target = np.concatenate([one[use] for one, use in zip(targets, chosen, strict=True)])
    fold_of = np.array([folds.get(one.own_group, -1) for one in recordings])
    owner = np.repeat(fold_of, [len(one) for one in vectors])
    fits = {
        fold: frames.fit(rows[owner != fold], target[owner != fold])
        for fold in sorted(set(fold_of.tolist()) - {-1})
    }
    scored = frames.logits(recordings, fold_of, fits, vectors, chosen)
    known = [
        (logits, target) for logits, target in zip(scored, targets, strict=True) if len(logits)
    ]
    temperature = _temperature(known)
    held_out = tuple(
        ScoredFrames(one, frames.bounds(len(logits), one.seconds), expit(logits / temperature))
        for one, logits in zip(recordings, scored, strict=True)
        if len(logits)
    )
    return FrameFit(frames.head(frames.fit(rows, target), temperature), held_out)


class _Frames:
    """The frames of a system.

    Args:
        system: the system.
        samples: of a clip.
        classes: of the head.
        progress: draw progress bars.
    """

    def __init__(
        self, system: System, samples: int, classes: tuple[str, ...], progress: bool
    ) -> None:
        self.system, self.progress = system.eval().channels_last(), progress
        self.shared: SharedFrames[Vectors] = system_frames(self.system, samples, vectors=True)
        self.scales = self.shared.scales
        self.seconds = self.shared.unit / system.sample_rate
        self.name = "frames"
        self.classes = Head(self.name, classes, "multi")
        poolings = [pooling for pooling, _ in frame_reductions(system.pooling.reductions())]
        self.weights = np.tile(statistic_weights(poolings).cpu().numpy(), len(self.scales))

    def count(self, seconds: float) -> int:
        """Number of frames of a recording."""
        return int(np.ceil(seconds / self.seconds + HALF - 1e-9))

    def bounds(self, count: int, seconds: float) -> Floats:
        """Boundaries ``[count + 1]`` of the first frames of a recording."""
        return frame_bounds(0, count, self.seconds, seconds)

    def targets(self, recording: AnnotatedRecording) -> Targets:
        """``[frames, classes]``: 1 for a class that is present, 0 or ``IGNORE_INDEX``."""
        times = self.bounds(self.count(recording.seconds), recording.seconds)
        return frame_targets(recording, times, self.classes)

    def vectors(
        self, recordings: Sequence[AnnotatedRecording], chosen: Sequence[npt.NDArray[np.bool_]]
    ) -> list[Vectors]:
        """``[chosen frames, features]`` of each recording."""
        found = []
        each = list(zip(recordings, chosen, strict=True))
        for one, use in track(each, "frames", len(each), show=self.progress):
            parts = [vectors[use[first : first + len(vectors)]] for first, vectors in self._of(one)]
            found.append(np.concatenate(parts))
        return found

    def logits(
        self,
        recordings: Sequence[AnnotatedRecording],
        fold_of: npt.NDArray[np.int64],
        fits: Mapping[int, LinearHeads],
        vectors: Sequence[Vectors],
        chosen: Sequence[npt.NDArray[np.bool_]],
    ) -> list[Floats]:
        """``[frames, classes]`` of each recording, by the fit without its fold; empty without."""
        found = []
        each = list(zip(recordings, fold_of.tolist(), vectors, chosen, strict=True))
        for one, fold, known, use in track(each, "scores of frames", len(each), show=self.progress):
            if fold not in fits:
                found.append(np.zeros((0, len(self.classes.classes))))
            elif use.all():
                found.append(fits[fold].logits(known)[self.name].astype(np.float64))
            else:
                parts = [fits[fold].logits(part)[self.name] for _, part in self._of(one)]
                found.append(np.concatenate(parts)[: len(use)].astype(np.float64))
        return found

    def fit(self, rows: Vectors, target: Targets) -> LinearHeads:
        """A head that learns from the vectors of frames."""
        return fit_linear(rows[:, None], {self.name: target}, (self.classes,), self.weights)

    def head(self, fit: LinearHeads, temperature: float) -> FrameHead:
        """The head of a fit, with the temperature in its weights."""
        features = len(self.weights) // len(self.scales)
        head = FrameHead(self.scales, features, len(self.classes.classes))
        with torch.no_grad():
            head.embedding.mean.copy_(torch.from_numpy(fit.mean))
            head.embedding.scale.copy_(torch.from_numpy(fit.scale))
            head.classify.weight.copy_(torch.from_numpy(fit.weights[self.name] / temperature))
            head.classify.bias.copy_(torch.from_numpy(fit.biases[self.name] / temperature))
        return head

    def _of(self, recording: AnnotatedRecording) -> Iterator[tuple[int, Vectors]]:
        """The first frame and the vectors, many at a time, of the frames in the recording."""
        count = self.count(recording.seconds)
        pieces = stream(recording.path, sample_rate=self.system.sample_rate)
        for first, vectors in self.shared.outputs(pieces):
            if first < count:
                yield first, vectors[: count - first]


def frame_targets(recording: AnnotatedRecording, times: Floats, head: Head) -> Targets:
    """The classes of frames.

    Args:
        recording: with its events.
        times: ``[frames + 1]`` boundaries in seconds.
        head: with the classes; events of other labels are ignored.

    Shape:
        ``[frames, classes]``
    """
    starts, ends = times[:-1], times[1:]
    listened = np.zeros(len(starts), dtype=bool)
    for start, end in recording.spans:
        listened |= (starts >= start - 1e-6) & (ends <= end + 1e-6)
    target = np.zeros((len(starts), len(head.classes)), dtype=np.int64)
    for event in recording.events:
        if event.label in head.index:
            overlap = np.minimum(ends, event.end) - np.maximum(starts, event.start)
            needed = HALF * np.minimum(ends - starts, event.end - event.start)
            target[(overlap > 0) & (overlap >= needed - 1e-9), head.index[event.label]] = 1
    target[~listened & ~(target == 1).any(axis=1)] = IGNORE_INDEX
    outside = ~listened[:, None] & (target == 0)
    target[outside] = IGNORE_INDEX
    return target


def _chosen(targets: Sequence[Targets], seed: int) -> list[npt.NDArray[np.bool_]]:
    """The frames to learn from: all, or at most :data:`MOST_FRAMES`, half of them with a class."""
    target = np.concatenate(targets)
    known = (target != IGNORE_INDEX).any(axis=1)
    used = known.copy()
    if known.sum() > MOST_FRAMES:
        order = np.random.default_rng(seed).permutation(len(target))
        present = order[(target == 1).any(axis=1)[order]]
        absent = order[(known & ~(target == 1).any(axis=1))[order]]
        kept = _balanced(target, present, MOST_FRAMES // 2)
        used[:] = False
        used[kept] = True
        used[absent[: MOST_FRAMES - len(kept)]] = True
    sizes = np.cumsum([len(one) for one in targets])[:-1]
    return np.split(used, sizes)


def _balanced(target: Targets, present: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """At most this number of frames with a class, rare classes first."""
    if len(present) <= most:
        return present
    rank = np.full(len(present), np.inf)
    for column in target[present].T == 1:
        order = np.flatnonzero(column)
        rank[order] = np.minimum(rank[order], np.arange(len(order)))
    return present[np.argsort(rank, kind="stable")[:most]]


def _temperature(known: Sequence[tuple[Floats, Targets]]) -> float:
    """The temperature that fits the held-out logits; 1 where there are too few."""
    if not known:
        return 1.0
    logits = np.concatenate([logits for logits, _ in known])
    target = np.concatenate([target for _, target in known])
    if (target == 1).sum() < FEWEST_FRAMES:
        return 1.0
    return fit_sigmoid_temperature(logits[:, None], target)
