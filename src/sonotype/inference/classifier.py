"""A trained model at work: a file, bytes, an array, or many files in, predictions out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sonotype.audio.clip import read_for_clip, shape_clip, take_for_clip
from sonotype.audio.decode import Samples, Sound, from_array
from sonotype.device import device_of
from sonotype.errors import AudioError, OptionsError
from sonotype.inference.prediction import Array, Failure, Prediction
from sonotype.inference.windows import HOP, predict_windows
from sonotype.models.build import clip_format
from sonotype.models.model_file import ModelCard, load_model
from sonotype.models.systems import System
from sonotype.progress import track
from sonotype.readout import CATEGORY_FROM, CategoryFrom, read_category
from sonotype.weights.builtin import builtin_path

BATCH = 16
READERS = 2
"""Threads that decode and resample ahead of the network; both release the interpreter."""


class Classifier:
    """A system in evaluation mode with the names of its outputs.

    Args:
        system: the network.
        card: what its model file says.
        device: a torch device to run on.
        category_from: how to read the category; ``None`` as the card says.
        shifts: average the answers to so many circular shifts of a clip; ``None`` as the card says.
    """

    def __init__(
        self,
        system: System,
        card: ModelCard,
        *,
        device: str | torch.device = "cpu",
        category_from: CategoryFrom | None = None,
        shifts: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.system = system.eval().to(self.device).channels_last()
        self.card = card
        self.labels = card.labels
        self.form = clip_format(card.options, system)
        self.shifts = card.shifts if shifts is None else shifts
        self.category_from = category_from or card.category_from
        if self.shifts < 1:
            raise OptionsError(f"shifts is {self.shifts}, at least 1 is wanted")
        if self.category_from not in CATEGORY_FROM:
            ways = ", ".join(CATEGORY_FROM)
            raise OptionsError(f"category_from is {category_from!r}, not one of {ways}")

    def predict(
        self, source: str | Path | bytes | npt.ArrayLike, sample_rate: int | None = None
    ) -> Prediction:
        """Classify one sound.

        Args:
            source: a path, the bytes of a sound file, or samples ``[samples]`` or
                ``[samples, channels]``.
            sample_rate: of the samples in Hz; for an array only, and needed there.

        Raises:
            AudioError: the sound cannot be read.
            OptionsError: an array without its sample rate, or a file with one.
        """
        if isinstance(source, str | Path | bytes):
            if sample_rate is not None:
                raise OptionsError("sample_rate goes with an array; a file knows its own")
            name = "<bytes>" if isinstance(source, bytes) else str(source)
            sound = read_for_clip(source, self.form)
        else:
            if sample_rate is None:
                raise OptionsError("an array needs its sample_rate: predict(samples, 44100)")
            name = "<array>"
            sound = take_for_clip(from_array(source, sample_rate), self.form)
        return self._predictions([name], [sound])[0]

    def predict_files(
        self, paths: Iterable[str | Path], *, batch_size: int = BATCH, progress: bool = False
    ) -> Iterator[Prediction | Failure]:
        """Classify many files, in their order; one that cannot be read gives a :class:`Failure`.

        Files are read in threads while the network works on the batch before.

        Raises:
            OptionsError: a batch size below 1.
        """
        if batch_size < 1:
            raise OptionsError(f"batch_size is {batch_size}, at least 1 is wanted")
        paths = list(paths)
        batches = track(
            self._batches(paths, batch_size),
            "classifying",
            -(-len(paths) // batch_size),
            show=progress,
        )
        return chain.from_iterable(batches)

    def predict_windows(
        self,
        source: str | Path | bytes | npt.ArrayLike,
        hop: float = HOP,
        *,
        sample_rate: int | None = None,
        exact: bool = False,
        progress: bool = False,
    ) -> Iterator[Prediction]:
        """Classify sliding windows of a recording of any length.

        See :func:`sonotype.inference.windows.predict_windows`.
        """
        return predict_windows(
            self, source, hop, sample_rate=sample_rate, exact=exact, progress=progress
        )

    def logits_to_probabilities(
        self, waveforms: npt.NDArray[np.float32]
    ) -> tuple[Array, Array | None, Array, tuple[Array, ...]]:
        """Softmax of both heads, embedding and attention of clips ``[batch, samples]``.

        With several shifts the probabilities are means over the clip turned in a circle, by equal
        parts of its length; embedding and attention are those of the clip as it is.
        """
        step = waveforms.shape[1] / self.shifts
        category, event, embedding, attention = self._once(waveforms)
        for number in range(1, self.shifts):
            moved = self._once(np.roll(waveforms, round(number * step), axis=1))
            category += moved[0]
            if event is not None and moved[1] is not None:
                event += moved[1]
        category /= self.shifts
        if event is not None:
            event /= self.shifts
        return category, event, embedding, attention

    def _once(
        self, waveforms: npt.NDArray[np.float32]
    ) -> tuple[Array, Array | None, Array, tuple[Array, ...]]:
        with torch.inference_mode():
            output = self.system(torch.from_numpy(waveforms).to(self.device))
            category = output.category.float().softmax(1).cpu().numpy()
            event = None
            if output.event is not None:
                event = output.event.float().softmax(1).cpu().numpy()
            embedding = output.embedding.float().cpu().numpy()
            attention = tuple(x.float().cpu().numpy() for x in output.attention)
        return category, event, embedding, attention

    def _batches(
        self, paths: Sequence[str | Path], batch_size: int
    ) -> Iterator[list[Prediction | Failure]]:
        remaining = iter(paths)
        with ThreadPoolExecutor(READERS) as readers:

            def submit() -> list[tuple[str, Future[Sound]]]:
                return [
                    (str(path), readers.submit(read_for_clip, path, self.form))
                    for path in islice(remaining, batch_size)
                ]

            ahead = submit()
            while ahead:
                batch, ahead = ahead, submit()
                yield self._answer(batch)

    def _answer(self, batch: Sequence[tuple[str, Future[Sound]]]) -> list[Prediction | Failure]:
        answers: list[Prediction | Failure | None] = []
        sounds: list[tuple[str, Sound]] = []
        for name, reading in batch:
            try:
                sounds.append((name, reading.result()))
                answers.append(None)
            except AudioError as error:
                answers.append(Failure(name, error.cause))
        if not sounds:
            return [answer for answer in answers if answer is not None]
        predicted = iter(self._predictions(*map(list, zip(*sounds, strict=True))))
        return [next(predicted) if answer is None else answer for answer in answers]

    def _predictions(self, names: list[str], sounds: list[Sound]) -> list[Prediction]:
        waveforms: list[Samples] = [shape_clip(sound, self.form) for sound in sounds]
        head, event, embedding, attention = self.logits_to_probabilities(np.stack(waveforms))
        category = read_category(head, event, self.labels, self.category_from)
        return [
            Prediction(
                source=name,
                category=self.labels.categories[int(category[row].argmax())],
                event=None if event is None else self.labels.events[int(event[row].argmax())],
                category_probabilities=_named(self.labels.categories, category[row]),
                event_probabilities={} if event is None else _named(self.labels.events, event[row]),
                embedding=embedding[row],
                attention=tuple(x[row] for x in attention),
                file_seconds=sound.file_seconds,
                clip_seconds=self.form.seconds,
            )
            for row, (name, sound) in enumerate(zip(names, sounds, strict=True))
        ]


def load(
    path: str | Path | None = None,
    *,
    device: str = "cpu",
    category_from: CategoryFrom | None = None,
    shifts: int | None = None,
) -> Classifier:
    """The classifier in a model file.

    Args:
        path: a ``model.safetensors`` that sonotype wrote; ``None`` for the built-in model.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``; ``"auto"`` for the fastest that is there.
        category_from: read the category from its own ``"head"``, from the sum of its
            ``"events"``, or from ``"both"``; ``None`` as the file says.
        shifts: average the answers to so many circular shifts of a clip, which takes as many times
            as long; ``None`` as the file says.

    Raises:
        ModelFileError: the file is refused; says why.
        OptionsError: a device that is not there; says which are.
        WeightsError: the built-in model is missing.
    """
    chosen = device_of(device)
    system, card = load_model(builtin_path() if path is None else path)
    return Classifier(system, card, device=chosen, category_from=category_from, shifts=shifts)


def _named(names: Sequence[str], values: npt.NDArray[np.floating]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
