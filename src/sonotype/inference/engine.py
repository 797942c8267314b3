"""The interface of an engine: it runs a network on arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from sonotype.core.prefetch import BATCH_SIZE as BATCH_SIZE
from sonotype.inference.prediction import Array
from sonotype.sliding.layout import Pace, Section


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """Output of a network for a batch of clips.

    Attributes:
        proba: by name of a head the probabilities ``[batch, classes]``.
        embedding: ``[batch, features]``, the input of all heads.
        attention: ``[batch, time, frequency]`` for each pooled map; empty where the engine does
            not return attention.
        unknown: ``[batch]`` unknown scores from 0 to 1; ``None`` if the model has none.
        tta_shifts: number of shifted copies that the probabilities are averaged over.
    """

    proba: Mapping[str, Array]
    embedding: Array
    attention: tuple[Array, ...] = ()
    unknown: Array | None = None
    tta_shifts: int = 1

    def rows(self, start: int, stop: int) -> EngineOutput:
        """The output for some clips of the batch."""
        chosen = slice(start, stop)
        return replace(
            self,
            proba={name: values[chosen] for name, values in self.proba.items()},
            embedding=self.embedding[chosen],
            attention=tuple(weights[chosen] for weights in self.attention),
            unknown=None if self.unknown is None else self.unknown[chosen],
        )


class Engine(Protocol):
    """Runs a network.

    Attributes:
        side_by_side: whether single clips in one thread per processor are faster than batches.
        frame_seconds: length of the frames of :meth:`frames`; ``None`` without a frame head.
    """

    side_by_side: bool

    @property
    def frame_seconds(self) -> float | None:
        """Length of a frame in seconds."""
        ...

    def prepare(self) -> None:
        """Build what windows and frames need, which is otherwise built at their first use.

        Call it before a long list of recordings, so that a damaged model is not reported as a
        recording that cannot be read.

        Raises:
            ModelFileError: the model is damaged.
        """
        ...

    def __call__(self, waveforms: Array) -> EngineOutput:
        """Output for clips ``[batch, samples]`` at the sample rate of the network."""
        ...

    def windows(
        self,
        pieces: Iterable[Array] | Section,
        samples: int,
        hop: float,
        pace: Pace | None = None,
    ) -> Iterator[tuple[int, EngineOutput]] | None:
        """Output for overlapping windows of a recording, from feature maps that they share.

        Args:
            pieces: consecutive pieces ``[samples]`` of the recording, or a section of it.
            samples: length of a window.
            hop: samples from the start of a window to the start of the next one.
            pace: of live sound.

        Returns:
            the index of the first window and the output, for several windows at a time; ``None``
            if the engine cannot share feature maps between windows.
        """
        ...

    def frames(
        self, pieces: Iterable[Array] | Section, samples: int, pace: Pace | None = None
    ) -> Iterator[tuple[int, Array]] | None:
        """Probabilities of the frames of a recording, see :mod:`sonotype.sliding.frames`.

        Args:
            pieces: consecutive pieces ``[samples]`` of the recording, or a section of it.
            samples: length of a clip.
            pace: of live sound.

        Returns:
            the number of the first frame and the probabilities ``[frames, classes]``, for several
            frames at a time; ``None`` if the model has no frame head.
        """
        ...
