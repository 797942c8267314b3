"""The work of the service on sounds: decode, classify, detect. Knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from sonotype.audio.decode import Audio
from sonotype.config import check
from sonotype.core.cpu import available_cpus
from sonotype.core.detections import DetectedRecording, ScoreBlock
from sonotype.core.errors import OptionsError, is_memory_error
from sonotype.core.io import file_sha256
from sonotype.core.text import listed
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.load import load, model_file
from sonotype.inference.locate import find_model
from sonotype.inference.prediction import Failure, Prediction
from sonotype.serve.batcher import Batcher, QueueFullError
from sonotype.serve.bodies import Upload
from sonotype.serve.gate import BUSY, Gate, Lease
from sonotype.serve.metrics import Metrics
from sonotype.serve.problems import ProblemError
from sonotype.serve.settings import ServeSettings
from sonotype.serve.sounds import CANNOT_READ, allowed_length, failure_of, load_checked

SOUNDS_AT_ONCE = 4
"""Sounds of one request at work at once; one request with many must not delay all others."""
BATCH_SIZE = 8
"""Default, for an engine that is faster with batches."""

OF_THE_SERVICE = ("too-many-requests", "internal-error", "not-ready", "took-too-long")
"""Problems that concern all sounds of a request; another problem is the row of its sound."""

NOT_READY = "the service starts or stops"

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """The result for one sound: a prediction or a recording, or the problem with it."""

    name: str
    result: Prediction | DetectedRecording | ProblemError


class Service:
    """A model, its threads and its limits.

    Args:
        classifier: the model.
        settings: limits and threads.
        digest: of the model file.

    Raises:
        OptionsError: an invalid setting.
    """

    def __init__(self, classifier: Classifier, settings: ServeSettings, digest: str = "") -> None:
        check(settings)
        self.classifier, self.settings, self.digest = classifier, settings, digest
        self.ensemble = Ensemble([classifier.with_options(tta_shifts=1)])
        self.detector = Detector(self.ensemble, DetectOptions(), [digest])
        self.metrics = Metrics()
        self.gate = Gate(settings.max_requests, settings.max_requests * settings.body_bytes)
        self.streams = 0
        self.ready = self.stopping = False
        self.metrics.working.set_function(lambda: self.gate.working)
        self.metrics.body_bytes.set_function(lambda: self.gate.bytes)
        self.metrics.streams.set_function(lambda: self.streams)

    def start(self) -> None:
        """Start the threads."""
        settings = self.settings
        threads = settings.threads or available_cpus()
        alone = 1 if self.classifier.engine.side_by_side else BATCH_SIZE
        self.stream_threads = ThreadPoolExecutor(
            max(settings.max_streams, 1), thread_name_prefix="stream"
        )
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._detectors = ThreadPoolExecutor(threads, thread_name_prefix="detect")
        self._batcher: Batcher[tuple[str, Audio], Prediction | Failure] = Batcher(
            self.classifier.predict_clips,
            batch_size=settings.batch_size or alone,
            wait=settings.batch_wait / 1000,
            capacity=SOUNDS_AT_ONCE * settings.max_requests,
            threads=threads if self.classifier.engine.side_by_side else 1,
            on_batch=self.metrics.batch_size.observe,
        )
        self.metrics.waiting.set_function(lambda: len(self._batcher))
        self.ready = True

    def end_streams(self) -> None:
        """Let streams score what was sent to them, and end."""
        self.stopping = True

    def close(self) -> None:
        """Finish what was accepted, and end the threads."""
        self.ready = False
        self.stream_threads.shutdown()
        self._readers.shutdown()
        self._detectors.shutdown()
        self._batcher.close()

    def detector_with(self, threshold: float | None, classes: Sequence[str]) -> Detector | None:
        """A detector with the options of a request; ``None`` if there are none.

        Raises:
            ProblemError: ``invalid-parameter``.
        """
        if unknown := sorted(set(classes) - set(self.detector.classes)):
            known = listed(self.detector.classes, 30)
            raise ProblemError(
                "invalid-parameter",
                f"class: the model does not detect {listed(unknown)}, but {known}",
            )
        if threshold is None and not classes:
            return None
        texts = () if threshold is None else (str(threshold),)
        try:
            options = DetectOptions(threshold=texts, classes=tuple(classes))
            return Detector(self.ensemble, options, [self.digest])
        except OptionsError as error:
            raise ProblemError("invalid-parameter", str(error)) from None

    async def classify(self, uploads: Sequence[Upload], lease: Lease) -> list[Outcome]:
        """The prediction for each sound, or its problem.

        Raises:
            ProblemError: the service is busy, or the request takes too long.
        """
        return await self._run(uploads, lease, self._classify)

    async def detect(
        self, uploads: Sequence[Upload], lease: Lease, detector: Detector | None = None
    ) -> list[Outcome]:
        """The events of each sound, or its problem; errors as for :meth:`classify`.

        Args:
            uploads: the sounds.
            lease: of the request.
            detector: with the options of the request; ``None`` for those of the model.
        """
        chosen = detector or self.detector

        async def work(upload: Upload, stop: Event) -> DetectedRecording:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._detectors, self._detect, chosen, upload.content, stop
            )

        return await self._run(uploads, lease, work)

    async def _classify(self, upload: Upload, stop: Event) -> Prediction:
        loop = asyncio.get_running_loop()
        audio = await loop.run_in_executor(self._readers, self._load, upload.content, stop)
        try:
            future = self._batcher.submit((upload.name, audio))
        except QueueFullError:
            raise ProblemError("too-many-requests", BUSY.format(most=self.gate.most)) from None
        try:
            result = await asyncio.wrap_future(future)
        except Exception as error:
            log.error("the network failed", exc_info=error)
            if is_memory_error(error):
                raise
            raise ProblemError("internal-error", "the network failed; see the log") from None
        if isinstance(result, Failure):
            raise ProblemError("unreadable-sound", result.cause)
        return result

    def _load(self, content: bytes, stop: Event) -> Audio:
        _go_on(stop)
        return load_checked(content, self.classifier.audio_spec, self.settings)

    def _detect(self, detector: Detector, content: bytes, stop: Event) -> DetectedRecording:
        _go_on(stop)
        allowed = allowed_length(content, self.settings)

        def on_block(block: ScoreBlock) -> None:
            _go_on(stop)
            allowed.check(float(block.times[-1]))

        found = detector.detect(content, on_block=on_block)
        if found.error.startswith(f"{CANNOT_READ}: "):  # the text of an error of the system
            found = replace(found, error=CANNOT_READ)
        if found.error and not found.seconds:
            raise ProblemError("unreadable-sound", found.error)
        return found

    async def _run(
        self,
        uploads: Sequence[Upload],
        lease: Lease,
        work: Callable[[Upload, Event], Awaitable[Prediction | DetectedRecording]],
    ) -> list[Outcome]:
        """Run the work for all sounds within the time for a request.

        After that time the client gets an answer, but threads cannot be ended: the place of the
        request is free again only when they are.
        """
        try:
            lease.start()
        except ProblemError:
            lease.release()
            raise
        stop, some = Event(), asyncio.Semaphore(SOUNDS_AT_ONCE)

        async def one(upload: Upload) -> Outcome:
            async with some:
                try:
                    return Outcome(upload.name, await work(upload, stop))
                except Exception as error:
                    problem = failure_of(error)
                    if problem.name in OF_THE_SERVICE:
                        raise problem from None
                    return Outcome(upload.name, problem)

        job = asyncio.create_task(_all(one(upload) for upload in uploads))
        job.add_done_callback(lambda done: _finished(done, lease))
        finished, _ = await asyncio.wait({job}, timeout=self.settings.timeout)
        if not finished:
            stop.set()
            seconds = f"{self.settings.timeout:g} s"
            raise ProblemError("took-too-long", f"the work was not done after {seconds}")
        return job.result()


async def _all(works: Any) -> list[Outcome]:
    """All outcomes; the first error, but only when nothing is at work any more."""
    found = await asyncio.gather(*works, return_exceptions=True)
    outcomes = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        outcomes.append(one)
    return outcomes


def _finished(job: asyncio.Task[list[Outcome]], lease: Lease) -> None:
    lease.release()
    if not job.cancelled():
        job.exception()  # otherwise asyncio logs the error


def _go_on(stop: Event) -> None:
    """Stop the work of a request that was answered already."""
    if stop.is_set():
        raise ProblemError("took-too-long", "the request was given up")


def open_service(model: Path | None, settings: ServeSettings, device: str = "auto") -> Service:
    """A service for the model in a file.

    Args:
        model: a model file or a run folder; ``None`` for the built-in model.
        settings: of the service.
        device: to run the model on.

    Raises:
        MissingExtraError: a ``model.onnx``, but onnxruntime is not installed.
        ModelFileError: the file is no model.
        OptionsError: an invalid setting or device.
    """
    path = None if model is None else find_model(model)
    classifier = load(path, device=device)
    classifier.engine.prepare()
    return Service(classifier, settings, file_sha256(model_file(path)))
