"""Timeline of a recording: the scores and the events of its classes over time, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.core.detections import DetectedRecording, ScoreBlock
from sonotype.detect.maxima import Maxima

COLUMNS = 2048
"""More than the pixels of a row, so that a picture of any length is as fine as its pixels."""


class Timeline:
    """Collects the scores of one recording in bounded memory and draws them.

    Args:
        classes: names of the classes.
        thresholds: ``[classes]`` probabilities from which a class counts as present.
    """

    def __init__(self, classes: Sequence[str], thresholds: npt.ArrayLike) -> None:
        self._classes = tuple(classes)
        self._thresholds = np.asarray(thresholds, dtype=np.float64)
        self._maxima = Maxima(len(self._classes), COLUMNS)

    def add(self, block: ScoreBlock) -> None:
        """Add the scores of the next frames."""
        self._maxima.add(block)

    def save(self, path: Path, recording: DetectedRecording) -> None:
        """Write the picture as PNG.

        Args:
            path: the PNG file.
            recording: the events that were detected from these scores.

        Raises:
            OptionsError: the file cannot be written.
        """
        from sonotype.detect.timeline_plot import plot_timeline  # late: matplotlib

        plot_timeline(path, recording, self._classes, self._thresholds, self._maxima)
