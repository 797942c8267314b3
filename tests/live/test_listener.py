"""A stream gives the answers of a file, however it is cut; delays, gaps and ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from frame_models import HEAD, write_sound

from sonotype.audio.decode import load_audio
from sonotype.config import SystemOptions
from sonotype.core.detections import DetectedEvent, ScoreBlock
from sonotype.core.errors import AudioError
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector, open_detector
from sonotype.detect.score_sources import joined
from sonotype.inference.recording import LiveSound
from sonotype.live.feed import Feed, start_reading
from sonotype.live.listener import Listener, Status
from sonotype.live.live_options import ListenOptions
from sonotype.live.reports import Report
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import save_model
from sonotype.models.build import build_system
from sonotype.sliding.layout import Pace

WHOLE = Pace(0.5, 60)
"""As much sound behind each chunk as in a file."""
TOLERANCE = 2e-6
"""Sums over other numbers of rows are rounded differently; the rows themselves are equal."""


class Silent:
    """Shows nothing; keeps the reports."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.blocks: list[ScoreBlock] = []

    def update(self, status: Status, block: ScoreBlock | None = None) -> None:
        if block is not None:
            self.blocks.append(block)

    def report(self, report: Report) -> None:
        self.reports.append(report)


def pieces_of(samples: np.ndarray, seed: int, largest: int = 9000) -> Iterator[np.ndarray]:
    rng, start = np.random.default_rng(seed), 0
    while start < len(samples):
        size = int(rng.integers(1, largest))
        yield samples[start : start + size]
        start += size


def busy(path: Path, sound: Path) -> Detector:
    """A detector with thresholds that give many events: in the widest gap of the upper scores."""
    scores = joined(list(open_detector([path], device="cpu").score_blocks(sound))).scores
    limits = []
    for column in np.sort(scores, axis=0).T:
        upper = column[len(column) // 2 :]
        gap = int(np.argmax(np.diff(upper))) if len(upper) > 1 else 0
        limits.append(float(upper[gap : gap + 2].mean()))
    texts = tuple(f"{label}={limit:.6f}" for label, limit in zip(HEAD.classes, limits, strict=True))
    return open_detector([path], DetectOptions(threshold=texts, frequencies=False), device="cpu")


def live(path: Path, seed: int, pace: Pace = WHOLE) -> LiveSound:
    audio = load_audio(path)
    return LiveSound("live", audio.sample_rate, pieces_of(audio.samples, seed), pace)


def assert_equal_events(found: list[DetectedEvent], wanted: tuple[DetectedEvent, ...]) -> None:
    found = sorted(found, key=lambda one: (one.start, one.end, one.label))
    assert [one.label for one in found] == [one.label for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert (one.start, one.end, one.score) == pytest.approx(
            (other.start, other.end, other.score), abs=1e-5
        )


@pytest.mark.parametrize("name", ["frames", "windows"])
@pytest.mark.parametrize(("rate", "seconds"), [(16_000, 12.0), (44_100, 11.37), (16_000, 0.7)])
def test_a_stream_equals_its_file(
    folder: Path, tmp_path: Path, name: str, rate: int, seconds: float
) -> None:
    sound = write_sound(tmp_path / "a.wav", 12, rate)
    samples, _ = soundfile.read(sound)
    soundfile.write(sound, samples[: round(seconds * rate)], rate)
    detector = busy(folder / f"{name}.safetensors", sound)
    wanted, events = joined(list(detector.score_blocks(sound))), detector.detect(sound).events
    assert len(events) > 3 or seconds < 1
    for seed in range(2):
        steps = list(detector.steps(live(sound, seed)))
        blocks = [step.block for step in steps if step.block is not None]
        found = joined(blocks)
        assert found.times == pytest.approx(wanted.times, abs=1e-9)
        assert found.scores == pytest.approx(wanted.scores, abs=TOLERANCE)
        assert_equal_events([event for step in steps for event in step.events], events)
        assert len(blocks) > seconds


def test_the_same_pace_gives_the_same_bits(folder: Path) -> None:
    """The answers do not depend on how a pipe cuts the samples."""
    detector = open_detector([folder / "frames.safetensors"], device="cpu")
    runs = [
        list(detector.steps(live(folder / "sound.wav", seed, Pace(1.0, 0.5)))) for seed in range(3)
    ]
    for steps in runs[1:]:
        assert [step.events for step in steps] == [step.events for step in runs[0]]
        for one, other in zip(steps[:-1], runs[0][:-1], strict=True):
            assert one.block is not None and other.block is not None
            assert np.array_equal(one.block.scores, other.block.scores)
            assert np.array_equal(one.block.times, other.block.times)


def test_two_models_and_onnx(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from sonotype.export.onnx import export_onnx

    onnx = tmp_path / "model.onnx"
    export_onnx(folder / "frames.safetensors", onnx)
    for models in ([onnx], [onnx, folder / "frames.safetensors"]):
        for hop in (0.0, 0.25, 1.0):  # frames, shared windows, windows one by one
            detector = open_detector(models, DetectOptions(hop=hop), device="cpu")
            wanted = joined(list(detector.score_blocks(folder / "sound.wav")))
            blocks = list(detector.score_blocks(live(folder / "sound.wav", 1)))
            found = joined(blocks)
            assert found.times == pytest.approx(wanted.times, abs=1e-9)
            assert found.scores == pytest.approx(wanted.scores, abs=1e-5)
            assert len(blocks) > 10


@pytest.mark.parametrize("hop", [0.0, 0.25, 1.0])
def test_scores_come_as_soon_as_they_can(folder: Path, hop: float) -> None:
    """No score waits for more sound than window, hop, step and lookahead."""
    detector = open_detector([folder / "frames.safetensors"], DetectOptions(hop=hop), device="cpu")
    samples = load_audio(folder / "sound.wav").samples
    read = 0.0

    def pieces() -> Iterator[np.ndarray]:
        nonlocal read
        for start in range(0, len(samples), 800):
            read = (start + 800) / 16_000
            yield samples[start : start + 800]

    sound = LiveSound("x", 16_000, pieces(), Pace(0.32, 0.32))
    blocks = ((read, float(block.times[-1])) for block in detector.score_blocks(sound))
    delays = [now - end for now, end in blocks if now < 12]
    # Frames: half of the longest span of 3 frames; windows: half a window, and the next one.
    around = 0.24 if not hop else 0.5 + hop
    assert max(delays) <= around + 2 * 0.32 + 0.16 + 0.1
    assert len(delays) > 8


def test_less_lookahead_differs_little_with_squeezes(tmp_path: Path) -> None:
    torch.manual_seed(2)
    options = SystemOptions(
        system="cbir_2", backbone="mn04", width=0.0, pooling="statistics", seconds=1.0
    )
    system = build_system(options, (HEAD,))
    card = ModelCard(options, (HEAD,), system.sample_rate, ("EfficientATLogMel",))
    path = save_model(tmp_path / "model.safetensors", system, card)
    detector = open_detector([path], DetectOptions(hop=0.5), device="cpu")
    sound = write_sound(tmp_path / "a.wav", 25.0, 32_000)
    wanted = joined(list(detector.score_blocks(sound)))
    errors = []
    for lookahead in (60.0, 3.0):
        found = joined(list(detector.score_blocks(live(sound, 1, Pace(2.0, lookahead)))))
        errors.append(float(np.abs(found.scores - wanted.scores).max()))
    assert errors[0] < 1e-5
    assert errors[1] < 0.01


def listen(
    detector: Detector, feed: Feed, stop_after: float = 0.0, **options: Any
) -> tuple[Status, Silent, list[Report]]:
    observer, starts = Silent(), list[Report]()
    listener = Listener(
        detector, feed, ListenOptions(**options), observer, lambda _: None, starts.append
    )
    stop = (lambda: listener.status.seconds >= stop_after) if stop_after else (lambda: False)
    return listener.run(stop), observer, starts


@pytest.fixture(scope="module")
def detector(folder: Path) -> Detector:
    return busy(folder / "frames.safetensors", folder / "sound.wav")


@pytest.fixture(scope="module")
def samples(folder: Path) -> np.ndarray:
    return load_audio(folder / "sound.wav").samples


def feed_of(pieces: Iterator[np.ndarray]) -> Feed:
    feed = Feed("test", 16_000)
    start_reading(feed, pieces)
    return feed


def test_a_stall_neither_loses_nor_shifts(
    detector: Detector, samples: np.ndarray, folder: Path
) -> None:
    def pieces() -> Iterator[np.ndarray]:
        for piece in pieces_of(samples, 4, 40_000):
            yield piece
            if len(piece) > 30_000:
                sleep(0.6)

    status, observer, _ = listen(detector, feed_of(pieces()), lookahead=60.0)
    wanted = detector.detect(folder / "sound.wav").events
    assert_equal_events([one.event for one in observer.reports], wanted)
    assert (status.seconds, status.dropped, status.error) == (12, 0, "")
    assert status.events.total() == len(wanted)
    assert len(status.delays) == len(wanted)


def test_a_gap_is_silence_of_its_length(detector: Detector, samples: np.ndarray) -> None:
    """Lost samples, 3.2 s to 5 s: the same events as with silence in their place."""
    first, after = round(3.2 * 16_000), 5 * 16_000
    feed = Feed("test", 16_000)
    for start in range(0, first, 800):
        feed.offer(samples[start : start + 800])
    feed.offer(samples[after : after + 800], lost=after - first)
    for start in range(after + 800, len(samples), 800):
        feed.offer(samples[start : start + 800])
    feed.end()
    status, observer, _ = listen(detector, feed)
    silenced = samples.copy()
    silenced[first:after] = 0
    _, other, _ = listen(detector, feed_of(iter([silenced])))
    assert status.dropped == after - first
    assert status.seconds == 12
    assert [one.event for one in observer.reports] == [one.event for one in other.reports]
    assert observer.reports


def test_a_longest_time_is_kept_to_the_sample(detector: Detector, samples: np.ndarray) -> None:
    runs = [
        listen(detector, feed_of(pieces_of(samples, seed)), max_seconds=6.3) for seed in range(2)
    ]
    assert {status.seconds for status, *_ in runs} == {6.3}
    events = [[one.event for one in observer.reports] for _, observer, _ in runs]
    assert events[0] == events[1]
    assert events[0]


def test_stopping_reports_the_events_so_far(detector: Detector, samples: np.ndarray) -> None:
    def pieces() -> Iterator[np.ndarray]:
        yield samples[:100_000]
        sleep(30)

    status, observer, _ = listen(detector, feed_of(pieces()), stop_after=6)
    assert status.seconds == 6.25
    assert status.error == ""
    assert observer.reports
    assert max(one.event.end for one in observer.reports) <= 6.25


def test_what_is_not_scored_at_a_stop_is_counted(detector: Detector, samples: np.ndarray) -> None:
    feed = Feed("test", 16_000)
    for start in range(0, 160_000, 16_000):
        feed.offer(samples[start : start + 16_000])
    status, _, _ = listen(detector, feed, stop_after=4)
    assert status.unread > 0
    assert round(status.seconds * 16_000) + status.unread == 160_000


def test_a_source_that_breaks_reports_its_events_and_its_error(
    detector: Detector, samples: np.ndarray
) -> None:
    def pieces() -> Iterator[np.ndarray]:
        yield samples[:100_000]
        raise AudioError("test", "is broken")

    status, observer, _ = listen(detector, feed_of(pieces()))
    assert status.error == "is broken"
    assert observer.reports


def test_starts_and_a_pause(detector: Detector, samples: np.ndarray) -> None:
    _, all_of_them, starts = listen(detector, feed_of(iter([samples])))
    assert len(starts) > 3
    assert all(one.begins for one in starts)
    for event in (one.event for one in all_of_them.reports):
        assert any(abs(one.event.start - event.start) < 0.2 for one in starts)
    status, few, few_starts = listen(detector, feed_of(iter([samples])), pause=100.0)
    labels = [one.event.label for one in few.reports]
    assert len(labels) == len(set(labels)) < len(all_of_them.reports)
    assert status.left_out.total() == len(all_of_them.reports) - len(labels)
    assert len(few_starts) < len(starts)


def test_times_of_day(detector: Detector, samples: np.ndarray) -> None:
    import time

    begin = time.time()
    _, observer, _ = listen(detector, feed_of(iter([samples])))
    for one in observer.reports:
        assert one.time - one.event.start == pytest.approx(begin - 12, abs=2)


def test_resampling_does_not_depend_on_the_pieces() -> None:
    sound = np.random.default_rng(1).normal(size=50_000).astype(np.float32)
    wanted = soxr.resample(sound, 44_100, 16_000)
    for seed in range(3):
        live_sound = LiveSound("x", 44_100, pieces_of(sound, seed, 500), WHOLE)
        assert np.array_equal(np.concatenate(list(live_sound.read(16_000))), wanted)
        assert live_sound.seconds == 50_000 / 44_100


def test_a_writer_in_another_thread(detector: Detector, samples: np.ndarray) -> None:
    """Ten times as fast as real time, in blocks of 50 ms, as a sound system gives them."""
    feed = Feed("test", 16_000)

    def write() -> None:
        for start in range(0, len(samples), 800):
            feed.offer(samples[start : start + 800])
            sleep(0.005)
        feed.end("unplugged")

    Thread(target=write).start()
    status, observer, _ = listen(detector, feed)
    assert (status.seconds, status.dropped, status.error) == (12, 0, "unplugged")
    assert observer.reports
    assert 0 <= status.behind <= status.longest < 10
