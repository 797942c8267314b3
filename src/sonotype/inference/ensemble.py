"""Several models that answer together: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import OptionsError
from sonotype.core.hierarchy import CategorySource, read_category
from sonotype.core.types import Labels, labels_of_all
from sonotype.inference.classifier import BATCH, Classifier
from sonotype.inference.load import load
from sonotype.inference.prediction import Failure, Prediction
from sonotype.inference.sliding_outputs import HOP


class Ensemble:
    """Classifiers with the same labels, used as one is used.

    The probabilities of each head are averaged first. The category is then read from the means, as
    the first classifier reads it, so that the scores of :func:`sonotype.evaluate` are those of
    these answers. Embedding and attention of an answer are those of the first.

    Args:
        members: the classifiers.

    Raises:
        OptionsError: no members, or members whose labels differ.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        if not members:
            raise OptionsError("an ensemble needs at least one model")
        self.members = tuple(members)
        self.audio_spec = members[0].audio_spec
        for number, other in enumerate(members[1:], start=2):
            if other.labels != members[0].labels:
                raise OptionsError(
                    f"model {number} has other labels than the first; only models of the same "
                    "labels can answer together"
                )
        self.labels = labels_of_all([member.labels for member in members])
        self.category_source = members[0].category_source
        self._heads = tuple(
            Classifier(one.engine, one.card, category_source="head", tta_shifts=one.tta_shifts)
            for one in members
        )

    def predict(
        self, source: str | Path | bytes | npt.ArrayLike, sample_rate: int | None = None
    ) -> Prediction:
        """Classify one sound, as :meth:`Classifier.predict` does."""
        return self._mean([member.predict(source, sample_rate) for member in self._heads])

    def predict_files(
        self, paths: Iterable[str | Path], *, batch_size: int = BATCH, progress: bool = False
    ) -> Iterator[Prediction | Failure]:
        """Classify many files, as :meth:`Classifier.predict_files` does.

        Each member reads the files for itself, since it may want another rate or length.
        """
        paths = list(paths)
        first, *others = (
            member.predict_files(paths, batch_size=batch_size, progress=progress and not number)
            for number, member in enumerate(self._heads)
        )
        for answers in zip(first, *others, strict=True):
            failure = next((one for one in answers if isinstance(one, Failure)), None)
            yield failure or self._mean([one for one in answers if isinstance(one, Prediction)])

    def predict_windows(
        self,
        source: str | Path | bytes | npt.ArrayLike,
        hop: float = HOP,
        *,
        sample_rate: int | None = None,
        exact: bool = False,
        progress: bool = False,
    ) -> Iterator[Prediction]:
        """Classify sliding windows, as :meth:`Classifier.predict_windows` does.

        Raises:
            OptionsError: members whose windows differ in length.
        """
        lengths = {member.audio_spec.seconds for member in self.members}
        if len(lengths) > 1:
            shown = " and ".join(f"{seconds:g}" for seconds in sorted(lengths))
            raise OptionsError(f"the models hear windows of {shown} s; only equal ones can answer")
        answers = [
            member.predict_windows(
                source, hop, sample_rate=sample_rate, exact=exact, progress=progress and not number
            )
            for number, member in enumerate(self._heads)
        ]
        # At another rate a recording may be longer by part of a sample, and so by a window.
        return (self._mean(together) for together in zip(*answers, strict=False))

    def _mean(self, answers: Sequence[Prediction]) -> Prediction:
        return mean(answers, self.labels, self.category_source)


def mean(
    answers: Sequence[Prediction], labels: Labels, category_source: CategorySource
) -> Prediction:
    """One answer from the mean probabilities of several to the same sound.

    Args:
        answers: with the category as its head has it.
        labels: of all of them.
        category_source: how to read the category from the means.
    """
    head, event = (
        {
            name: sum(getattr(one, field)[name] for one in answers) / len(answers)
            for name in getattr(answers[0], field)
        }
        for field in ("category_probabilities", "event_probabilities")
    )
    read = read_category(
        np.array(list(head.values())),
        np.array(list(event.values())) if event else None,
        labels,
        category_source,
    )
    category = dict(zip(head, read.tolist(), strict=True))
    return replace(
        answers[0],
        category=max(category, key=category.__getitem__),
        event=max(event, key=event.__getitem__) if event else None,
        category_probabilities=category,
        event_probabilities=event,
    )


def load_ensemble(
    paths: Sequence[str | Path | None],
    *,
    device: str = "cpu",
    category_source: CategorySource | None = None,
    tta_shifts: int | None = None,
) -> Ensemble:
    """The models of several files as one; arguments and errors as for :func:`load`."""
    return Ensemble(
        [
            load(path, device=device, category_source=category_source, tta_shifts=tta_shifts)
            for path in paths
        ]
    )
