"""A trained model at work: a file, bytes, an array, or many files in, predictions out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.audio.clip import crop_for_clip, load_for_clip, pad_or_trim
from sonotype.audio.decode import Audio, Samples, from_array, name_of
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import AudioError, OptionsError, cause_of
from sonotype.core.hierarchy import CATEGORY_SOURCES, CategorySource, read_category
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.inference.engine import NOT_FINITE, Engine, EngineOutput, finite_rows
from sonotype.inference.prediction import Failure, Prediction
from sonotype.inference.sliding_outputs import HOP, predict_windows
from sonotype.modelfile.card import ModelCard

BATCH = 16
AHEAD = 4
"""Files in work for each processor, where files are worked on side by side: answers come in the
files' order, and one long file must not keep the others waiting."""


class Classifier:
    """A network with the names of its outputs, and what brings sounds to its input.

    Nothing here knows what runs the network, so that torch need not be there.

    Args:
        engine: runs the network.
        card: what its model file says.
        category_source: how to read the category; ``None`` as the card says.
        tta_shifts: average the answers to so many circular shifts of a clip; ``None`` as the card says.

    Raises:
        OptionsError: an option that will not do.
    """

    def __init__(
        self,
        engine: Engine,
        card: ModelCard,
        *,
        category_source: CategorySource | None = None,
        tta_shifts: int | None = None,
    ) -> None:
        self.engine = engine
        self.card = card
        self.labels = card.labels
        self.audio_spec = card.audio_spec
        self.tta_shifts = card.tta_shifts if tta_shifts is None else tta_shifts
        self.category_source = category_source or card.category_source
        if self.tta_shifts < 1:
            raise OptionsError(f"shifts is {self.tta_shifts}, at least 1 is wanted")
        if self.category_source not in CATEGORY_SOURCES:
            ways = ", ".join(CATEGORY_SOURCES)
            raise OptionsError(f"category_source is {category_source!r}, not one of {ways}")

    def predict(
        self, source: str | Path | bytes | npt.ArrayLike, sample_rate: int | None = None
    ) -> Prediction:
        """Classify one sound; of a file that is cut off, what is there.

        Args:
            source: a path, the bytes of a sound file, or samples ``[samples]`` or
                ``[samples, channels]``.
            sample_rate: of the samples in Hz; for an array only, and needed there.

        Raises:
            AudioError: the sound cannot be read, or the network's answer to it is not finite.
            OptionsError: an array without its sample rate, or a file with one.
        """
        if isinstance(source, str | Path | bytes):
            if sample_rate is not None:
                raise OptionsError("sample_rate goes with an array; a file knows its own")
            name = name_of(source)
            sound = load_for_clip(source, self.audio_spec, partial=True)
        else:
            if sample_rate is None:
                raise OptionsError("an array needs its sample_rate: predict(samples, 44100)")
            name = "<array>"
            sound = crop_for_clip(from_array(source, sample_rate), self.audio_spec)
        answer = self._predictions([name], [sound])[0]
        if isinstance(answer, Failure):
            raise AudioError(name, answer.cause)
        return answer

    def predict_files(
        self, paths: Iterable[str | Path], *, batch_size: int = BATCH, progress: bool = False
    ) -> Iterator[Prediction | Failure]:
        """Classify many files, in their order; one that cannot be read gives a :class:`Failure`.

        So does a file whose answer from the network is not finite.

        Files are read in threads, ahead of the network.

        Args:
            paths: of the files.
            batch_size: clips that the network gets at once, where it is quicker so.
            progress: draw a bar.

        Raises:
            OptionsError: a batch size below 1.
        """
        if batch_size < 1:
            raise OptionsError(f"batch_size is {batch_size}, at least 1 is wanted")
        paths = list(paths)
        if self.engine.side_by_side:
            return track(self._side_by_side(paths), "classifying", len(paths), show=progress)
        count = -(-len(paths) // batch_size)
        batches = track(self._batches(paths, batch_size), "classifying", count, show=progress)
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

        Without ``exact``, overlapping windows are answered without averaging over shifts, also
        where the model's card says ``tta_shifts=5``; :attr:`Prediction.tta_shifts` tells.

        See :func:`sonotype.inference.sliding_outputs.predict_windows`.
        """
        return predict_windows(
            self, source, hop, sample_rate=sample_rate, exact=exact, progress=progress
        )

    def predict_proba(self, waveforms: npt.NDArray[np.float32]) -> EngineOutput:
        """What the network says of clips ``[batch, samples]``.

        With several shifts the probabilities are means over the clip turned in a circle, by equal
        parts of its length; embedding and attention are those of the clip as it is.
        """
        step = waveforms.shape[1] / self.tta_shifts
        output = self.engine(waveforms)
        if self.tta_shifts == 1:
            return output
        rolled = [
            self.engine(np.roll(waveforms, round(number * step), axis=1))
            for number in range(1, self.tta_shifts)
        ]
        events = [one.event for one in (output, *rolled) if one.event is not None]
        return EngineOutput(
            category=np.mean([one.category for one in (output, *rolled)], axis=0),
            event=np.mean(events, axis=0) if events else None,
            embedding=output.embedding,
            attention=output.attention,
        )

    def _side_by_side(self, paths: Sequence[str | Path]) -> Iterator[Prediction | Failure]:
        """Each file from reading to answer in a thread of its own."""
        workers = available_cpus()
        return prefetch(self._one, paths, threads=workers, buffer_size=(AHEAD - 1) * workers)

    def _one(self, path: str | Path) -> Prediction | Failure:
        try:
            return self.predict(path)
        except Exception as error:
            return Failure(str(path), cause_of(error))

    def _batches(
        self, paths: Sequence[str | Path], batch_size: int
    ) -> Iterator[list[Prediction | Failure]]:
        remaining = iter(paths)
        with ThreadPoolExecutor(available_cpus()) as readers:

            def submit() -> list[tuple[str, Future[Audio]]]:
                return [
                    (str(path), readers.submit(load_for_clip, path, self.audio_spec, partial=True))
                    for path in islice(remaining, batch_size)
                ]

            following = submit()
            while following:
                batch, following = following, submit()
                yield self._answer(batch)

    def _answer(self, batch: Sequence[tuple[str, Future[Audio]]]) -> list[Prediction | Failure]:
        answers: list[Prediction | Failure | None] = []
        sounds: list[tuple[str, Audio]] = []
        for name, reading in batch:
            try:
                sounds.append((name, reading.result()))
                answers.append(None)
            except Exception as error:
                answers.append(Failure(name, cause_of(error)))
        if not sounds:
            return [answer for answer in answers if answer is not None]
        predicted = iter(self._predictions(*map(list, zip(*sounds, strict=True))))
        return [next(predicted) if answer is None else answer for answer in answers]

    def _predictions(self, names: list[str], sounds: list[Audio]) -> list[Prediction | Failure]:
        waveforms: list[Samples] = [pad_or_trim(sound, self.audio_spec) for sound in sounds]
        output = self.predict_proba(np.stack(waveforms))
        event = output.event
        category = read_category(output.category, event, self.labels, self.category_source)
        finite = finite_rows(output)
        return [
            Failure(name, NOT_FINITE)
            if not finite[row]
            else Prediction(
                source=name,
                category=self.labels.categories[int(category[row].argmax())],
                event=None if event is None else self.labels.events[int(event[row].argmax())],
                category_probabilities=_named(self.labels.categories, category[row]),
                event_probabilities={} if event is None else _named(self.labels.events, event[row]),
                embedding=output.embedding[row],
                attention=tuple(x[row] for x in output.attention),
                file_seconds=sound.file_seconds,
                clip_seconds=self.audio_spec.seconds,
                truncated=sound.truncated,
                tta_shifts=self.tta_shifts,
            )
            for row, (name, sound) in enumerate(zip(names, sounds, strict=True))
        ]


def _named(names: Sequence[str], values: npt.NDArray[np.floating]) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
