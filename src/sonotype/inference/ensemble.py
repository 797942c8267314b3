"""Several models as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy.typing as npt

from sonotype.core.errors import OptionsError
from sonotype.core.hierarchy import CategorySource
from sonotype.core.types import merged_heads
from sonotype.inference.classifier import Classifier
from sonotype.inference.engine import BATCH_SIZE
from sonotype.inference.load import load
from sonotype.inference.postprocess import average_models
from sonotype.inference.prediction import Failure, Prediction
from sonotype.inference.recording import LiveSound, Passage, source_for_each
from sonotype.inference.sliding_outputs import HOP


class Ensemble:
    """Classifiers with the same labels, used like one classifier.

    The probabilities of each head are averaged first. The category is then read from the means in
    the way of the first classifier, so that :func:`sonotype.evaluate` scores these predictions.
    Embedding and attention of a prediction are those of the first classifier.

    Args:
        members: the classifiers.

    Raises:
        OptionsError: no members, or members with different labels.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        if not members:
            raise OptionsError("an ensemble needs at least one model")
        first = members[0]
        for number, member in enumerate(members[1:], start=2):
            if member.heads != first.heads:
                raise OptionsError(
                    f"the labels of model {number} differ from those of the first model; an "
                    "ensemble needs models with the same labels"
                )
        self.members = tuple(members)
        self.audio_spec = first.audio_spec
        self.heads = merged_heads([member.heads for member in members])
        self.category_source = first.category_source
        self._members = tuple(member.with_options(category_source="head") for member in members)

    def predict(
        self, source: str | Path | bytes | npt.ArrayLike, sample_rate: int | None = None
    ) -> Prediction:
        """Classify one sound, as :meth:`Classifier.predict` does."""
        return self._mean([member.predict(source, sample_rate) for member in self._members])

    def predict_files(
        self, paths: Iterable[str | Path], *, batch_size: int = BATCH_SIZE, progress: bool = False
    ) -> Iterator[Prediction | Failure]:
        """Classify many files, as :meth:`Classifier.predict_files` does.

        Each member reads the files itself, since its sample rate or clip length may differ.
        """
        paths = list(paths)
        members = [
            member.predict_files(paths, batch_size=batch_size, progress=progress and not number)
            for number, member in enumerate(self._members)
        ]
        for results in zip(*members, strict=True):
            failure = next((result for result in results if isinstance(result, Failure)), None)
            yield failure or self._mean([one for one in results if isinstance(one, Prediction)])

    def predict_windows(
        self,
        source: str | Path | bytes | npt.ArrayLike | LiveSound | Passage,
        hop: float = HOP,
        *,
        sample_rate: int | None = None,
        exact: bool = False,
        batch_size: int = BATCH_SIZE,
        progress: bool = False,
    ) -> Iterator[Prediction]:
        """Classify sliding windows, as :meth:`Classifier.predict_windows` does.

        Raises:
            OptionsError: members whose windows differ in length.
        """
        lengths = sorted({member.audio_spec.seconds for member in self.members})
        if len(lengths) > 1:
            shown = " and ".join(f"{seconds:g}" for seconds in lengths)
            raise OptionsError(f"the windows of the models are {shown} s long, must be equal")
        sources = source_for_each(source, len(self._members))
        members = [
            member.predict_windows(
                each,
                hop,
                sample_rate=sample_rate,
                exact=exact,
                batch_size=batch_size,
                progress=progress and not number,
            )
            for number, (member, each) in enumerate(zip(self._members, sources, strict=True))
        ]
        # At another rate a recording may be longer by part of a sample, and so by a window.
        return (self._mean(predictions) for predictions in zip(*members, strict=False))

    def _mean(self, predictions: Sequence[Prediction]) -> Prediction:
        return average_models(predictions, self.heads, self.category_source)


def load_ensemble(
    paths: Sequence[str | Path | None],
    *,
    device: str = "cpu",
    category_source: CategorySource | None = None,
    tta_shifts: int | None = None,
) -> Ensemble:
    """Load several model files as one; arguments and errors as for :func:`load`."""
    return Ensemble(
        [
            load(path, device=device, category_source=category_source, tta_shifts=tta_shifts)
            for path in paths
        ]
    )
