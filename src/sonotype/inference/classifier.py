"""A trained model: a file, bytes, an array, or many files in, predictions out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.audio.buffer import window_start
from sonotype.audio.clip import crop_for_clip, load_for_clip, pad_or_trim
from sonotype.audio.decode import Audio, from_array
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import AudioError, OptionsError, cause_of
from sonotype.core.hierarchy import CATEGORY_SOURCES, CategorySource, read_hierarchy
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.inference.engine import BATCH_SIZE, Engine, EngineOutput
from sonotype.inference.postprocess import NOT_FINITE, average_shifts, finite_rows
from sonotype.inference.prediction import Array, Failure, Prediction
from sonotype.inference.recording import (
    ARRAY,
    LiveSound,
    Passage,
    Recording,
    SoundInfo,
    array_rate,
    file_name,
    open_recording,
)
from sonotype.inference.sliding_outputs import HOP, check_hop, sliding_outputs, windows_in
from sonotype.modelfile.card import ModelCard

FILES_PER_CPU = 4
"""Files in work for each processor where each file has a thread of its own: predictions come in the
order of the files, and one long file must not delay the others."""


class Classifier:
    """A network with its labels, and the steps from a sound to its input.

    It does not depend on the runtime of the network, so torch need not be installed.

    Args:
        engine: runs the network.
        card: the card of its model file.
        category_source: how to read the category; ``None`` for the value in the card.
        tta_shifts: number of circular shifts of a clip to average over; ``None`` for the value in
            the card.

    Raises:
        OptionsError: an invalid option value.
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
        self.heads = card.heads
        self.audio_spec = card.audio_spec
        self.tta_shifts = card.tta_shifts if tta_shifts is None else tta_shifts
        self.category_source = category_source or card.category_source
        if self.tta_shifts < 1:
            raise OptionsError(f"tta_shifts is {self.tta_shifts}, must be at least 1")
        if self.category_source not in CATEGORY_SOURCES:
            raise OptionsError(
                f"category_source is {category_source!r}, must be one of "
                f"{', '.join(CATEGORY_SOURCES)}"
            )

    def with_options(
        self, *, category_source: CategorySource | None = None, tta_shifts: int | None = None
    ) -> Classifier:
        """The same model with other options; ``None`` keeps the present value."""
        return Classifier(
            self.engine,
            self.card,
            category_source=category_source or self.category_source,
            tta_shifts=self.tta_shifts if tta_shifts is None else tta_shifts,
        )

    def predict(
        self, source: str | Path | bytes | npt.ArrayLike, sample_rate: int | None = None
    ) -> Prediction:
        """Classify one sound; of a truncated file, the samples that exist.

        Args:
            source: a path, the bytes of a sound file, or samples ``[samples]`` or
                ``[samples, channels]``.
            sample_rate: of an array, in Hz; required for arrays, refused for files.

        Raises:
            AudioError: the sound cannot be read, or the output of the network is not finite.
            OptionsError: an array without its sample rate, or a file with one.
        """
        if isinstance(source, str | Path | bytes):
            name = file_name(source, sample_rate)
            audio = load_for_clip(source, self.audio_spec, partial=True)
        else:
            name, rate = ARRAY, array_rate(sample_rate)
            audio = crop_for_clip(from_array(source, rate), self.audio_spec)
        [prediction] = self.predict_clips([(name, audio)])
        if isinstance(prediction, Failure):
            raise AudioError(name, prediction.cause)
        return prediction

    def predict_files(
        self, paths: Iterable[str | Path], *, batch_size: int = BATCH_SIZE, progress: bool = False
    ) -> Iterator[Prediction | Failure]:
        """Classify many files, in their order, with a :class:`Failure` for a file that fails.

        A file fails if it cannot be read or if the output of the network is not finite. Threads
        read the files ahead of the network.

        Args:
            paths: of the files.
            batch_size: clips that the network gets at once, if its engine runs batches.
            progress: draw a bar.

        Raises:
            OptionsError: a batch size below 1.
        """
        if batch_size < 1:
            raise OptionsError(f"batch_size is {batch_size}, must be at least 1")
        paths = list(paths)
        if self.engine.side_by_side:
            return track(self._in_threads(paths), "classifying", len(paths), show=progress)
        count = -(-len(paths) // batch_size)
        batches = track(self._in_batches(paths, batch_size), "classifying", count, show=progress)
        return chain.from_iterable(batches)

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
        """Classify sliding windows of a recording of any length.

        A recording of one window or less is a clip: it is padded as clips are. Silence in front is
        never trimmed, the middle never cropped. Overlapping windows share their feature maps and
        are then not averaged over shifts, whatever the card says; with ``exact`` they are
        averaged. :attr:`Prediction.tta_shifts` states the number.

        Args:
            source: a path, the bytes of a sound file, samples ``[samples]`` or
                ``[samples, channels]``, live sound, or a passage of a recording.
            hop: seconds from the start of a window to the start of the next one, at least 0.01.
            sample_rate: of an array, in Hz; required for arrays, refused for files.
            exact: run every window as a clip of its own.
            batch_size: windows that the network gets at once, where each is a clip of its own.
            progress: draw a bar.

        Yields:
            predictions with their :attr:`Prediction.start`, without attention where windows share
            their feature maps.

        Raises:
            OptionsError: a hop that is too small; an array without its sample rate, or a file with
                one.
            AudioError: the sound cannot be read, or the output of the network for a window is not
                finite; after the predictions for all windows before.
        """
        check_hop(hop)
        recording = open_recording(source, sample_rate, self.audio_spec.sample_rate)
        outputs = sliding_outputs(
            self.engine, self.audio_spec, recording.pieces, hop,
            exact=exact, tta_shifts=self.tta_shifts, pace=recording.pace, batch_size=batch_size,
        )  # fmt: skip
        predictions = self._of_windows(outputs, recording, hop)
        total = None
        if math.isfinite(recording.seconds):
            total = windows_in(recording.seconds, hop, self.audio_spec.seconds)
        return track(predictions, "classifying windows", total, show=progress)

    def predict_clips(self, named: Sequence[tuple[str, Audio]]) -> list[Prediction | Failure]:
        """Classify decoded sounds as one batch, with a :class:`Failure` where it is not finite.

        Args:
            named: names, and sounds of :func:`sonotype.audio.clip.load_for_clip`.
        """
        clips = np.stack([pad_or_trim(audio, self.audio_spec) for _, audio in named])
        sounds = [
            SoundInfo(name, audio.file_seconds, truncated=audio.truncated) for name, audio in named
        ]
        return self._predictions(self.predict_proba(clips), sounds)

    def predict_proba(self, waveforms: Array) -> EngineOutput:
        """Output of the network for clips ``[batch, samples]``, averaged over ``tta_shifts``."""
        return average_shifts(self.engine, waveforms, self.tta_shifts)

    def _in_threads(self, paths: Sequence[str | Path]) -> Iterator[Prediction | Failure]:
        """Read and classify each file in a thread of its own."""

        def predict(path: str | Path) -> Prediction | Failure:
            try:
                return self.predict(path)
            except Exception as error:
                return Failure(str(path), cause_of(error))

        threads = available_cpus()
        buffer_size = (FILES_PER_CPU - 1) * threads
        return prefetch(predict, paths, threads=threads, buffer_size=buffer_size)

    def _in_batches(
        self, paths: Sequence[str | Path], batch_size: int
    ) -> Iterator[list[Prediction | Failure]]:
        """Read the next batch in threads while the network runs the present one."""
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
                yield self._predict_batch(batch)

    def _predict_batch(
        self, batch: Sequence[tuple[str, Future[Audio]]]
    ) -> list[Prediction | Failure]:
        results: dict[int, Prediction | Failure] = {}
        read: dict[int, tuple[str, Audio]] = {}
        for index, (name, reading) in enumerate(batch):
            try:
                read[index] = name, reading.result()
            except Exception as error:
                results[index] = Failure(name, cause_of(error))
        if read:
            results |= zip(read, self.predict_clips(list(read.values())), strict=True)
        return [results[index] for index in range(len(batch))]

    def _of_windows(
        self, outputs: Iterable[tuple[int, EngineOutput]], recording: Recording, hop: float
    ) -> Iterator[Prediction]:
        rate = self.audio_spec.sample_rate
        for first, output in outputs:
            indices = first + np.arange(len(output.embedding))
            starts = window_start(indices, hop * rate) / rate
            sounds = [
                SoundInfo(recording.source, recording.seconds, start) for start in starts.tolist()
            ]
            for sound, prediction in zip(sounds, self._predictions(output, sounds), strict=True):
                if isinstance(prediction, Failure):
                    cause = f"window at {sound.start:g} s: {prediction.cause}"
                    raise AudioError(recording.source, cause)
                yield prediction

    def _predictions(
        self, output: EngineOutput, sounds: Sequence[SoundInfo]
    ) -> list[Prediction | Failure]:
        """Predictions from the arrays of an output, one for each row."""
        proba = read_hierarchy(output.proba, self.heads, self.category_source)
        finite = finite_rows(output)
        return [
            Prediction(
                source=sound.source,
                heads=self.heads,
                proba={name: values[row] for name, values in proba.items()},
                embedding=output.embedding[row],
                attention=tuple(weights[row] for weights in output.attention),
                file_seconds=sound.file_seconds,
                clip_seconds=self.audio_spec.seconds,
                start=sound.start,
                truncated=sound.truncated,
                tta_shifts=output.tta_shifts,
                unknown_score=None if output.unknown is None else float(output.unknown[row]),
                unknown_threshold=self.card.unknown_threshold,
            )
            if finite[row]
            else Failure(sound.source, NOT_FINITE)
            for row, sound in enumerate(sounds)
        ]
