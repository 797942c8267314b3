"""The detector: sources of scores, options, errors; with a model file that has a frame head."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from frame_models import EVENTS, HEAD, OPTIONS, write, write_sound
from small_models import HEADS

from sonotype.core.detections import ScoreBlock
from sonotype.core.errors import ModelFileError, OptionsError
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector, default_hop, open_detector
from sonotype.detect.event_finder import find_events
from sonotype.detect.score_sources import joined, scores_of
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.load import load
from sonotype.modelfile.card import ModelCard, card_of, document_of
from sonotype.modelfile.detection import Detection
from sonotype.modelfile.model_file import load_model, read_card


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    write(folder / "frames.safetensors")
    write(folder / "windows.safetensors", frames=False, detection=False)
    write_sound(folder / "sound.wav")
    return folder


def test_settings_come_back_from_the_file(folder: Path) -> None:
    card = read_card(folder / "frames.safetensors")
    assert card.detection == Detection("category", EVENTS, (1, 3), 0.0, {"recordings": 3})
    system, _ = load_model(folder / "frames.safetensors")
    assert system.frame_head is not None
    assert system.frame_head.scales == (1, 3)
    assert read_card(folder / "windows.safetensors").detection is None


def test_frames_are_scored_where_there_is_a_head(folder: Path) -> None:
    detector = open_detector([folder / "frames.safetensors"], device="cpu")
    assert detector.from_frames
    assert detector.events == EVENTS
    assert detector.thresholds == (0.3, 0.4, 0.5)
    assert detector.scored == "scores of frames of 0.16 s; thresholds of the model file"
    blocks = list(detector.score_blocks(folder / "sound.wav"))
    whole = joined(blocks)
    assert (whole.times[0], whole.times[-1]) == (0, 12)
    assert np.diff(whole.times)[1:-1] == pytest.approx(0.16)
    found = detector.detect(folder / "sound.wav")
    wanted = find_events(whole.times, whole.scores, HEAD.classes, EVENTS)
    assert [(e.start, e.end, e.label, e.score) for e in found.events] == [
        (e.start, e.end, e.label, e.score) for e in wanted
    ]
    assert found.events
    assert (found.seconds, found.highest, found.error) == (12, 8000, "")


def test_windows_are_scored_without_a_head(folder: Path) -> None:
    detector = open_detector([folder / "windows.safetensors"], device="cpu")
    assert not detector.from_frames
    assert detector.hop == default_hop(1.0) == 0.25
    assert detector.thresholds == HEAD.thresholds
    wanted = "scores of windows of 1 s every 0.25 s; thresholds of clips, not tuned"
    assert detector.scored == wanted
    whole = joined(list(detector.score_blocks(folder / "sound.wav")))
    # The first window is nearest until the middle between the middles of the first two windows.
    assert whole.times[:3].tolist() == [0, 0.625, 0.875]
    assert whole.times[-1] == 12
    windows = list(load(folder / "windows.safetensors").predict_windows(folder / "sound.wav", 0.25))
    assert whole.scores == pytest.approx(
        np.stack([one.proba["category"] for one in windows])[: len(whole.scores)]
    )


def test_a_hop_asks_for_windows(folder: Path) -> None:
    options = DetectOptions(hop=0.5)
    detector = open_detector([folder / "frames.safetensors"], options, device="cpu")
    assert not detector.from_frames
    assert detector.hop == 0.5
    assert detector.thresholds == HEAD.thresholds  # the others were fitted to frames
    assert "windows of 1 s every 0.5 s" in detector.scored
    assert "frames and are not used" in detector.scored
    with pytest.raises(OptionsError, match=r"1\.5 s"):
        open_detector([folder / "frames.safetensors"], DetectOptions(hop=1.5), device="cpu")


def test_several_blocks_equal_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = open_detector([folder / "windows.safetensors"], device="cpu")
    whole = joined(list(detector.score_blocks(folder / "sound.wav")))
    monkeypatch.setattr("sonotype.detect.score_sources.WINDOWS", 7)
    blocks = list(detector.score_blocks(folder / "sound.wav"))
    assert len(blocks) > 3
    for before, after in pairwise(blocks):
        assert before.times[-1] == after.times[0]
    again = joined(blocks)
    assert again.times == pytest.approx(whole.times)
    assert again.scores == pytest.approx(whole.scores)


def test_thresholds_and_classes(folder: Path) -> None:
    model = [folder / "frames.safetensors"]
    chosen = DetectOptions(threshold=("dog=0.9", "0.7"), classes=("rain", "dog"))
    detector = open_detector(model, chosen, device="cpu")
    assert detector.classes == ("dog", "rain")
    assert detector.thresholds == (0.9, 0.7)
    both = open_detector(model, device="cpu")
    one = joined(list(detector.score_blocks(folder / "sound.wav"))).scores
    assert one == pytest.approx(joined(list(both.score_blocks(folder / "sound.wav"))).scores[:, 1:])
    for threshold, message in (
        (("2",), "'2'"), (("cat=0.5",), "cat"), (("x",), "'x'"), (("dog=nan",), "dog=nan")
    ):  # fmt: skip
        with pytest.raises(OptionsError, match=message):
            open_detector(model, DetectOptions(threshold=threshold), device="cpu")
    with pytest.raises(
        OptionsError, match=r"cat=.*unknown.*bell, dog, rain.*dog=.*--class dog"
    ) as e:
        open_detector(
            model, DetectOptions(threshold=("cat=0.5", "dog=0.5"), classes=("rain",)), device="cpu"
        )
    assert str(e.value).count("unknown") == 1
    with pytest.raises(OptionsError, match=r"cat.*bell, dog, rain"):
        open_detector(model, DetectOptions(classes=("cat",)), device="cpu")
    with pytest.raises(OptionsError, match=r"event.*category"):
        open_detector(model, DetectOptions(level="event"), device="cpu")


def test_the_digest_knows_model_and_options(folder: Path, tmp_path: Path) -> None:
    model = folder / "frames.safetensors"
    digests = {
        open_detector([path], options, device="cpu").digest
        for path, options in (
            (model, DetectOptions()),
            (model, DetectOptions(hop=0.5)),
            (model, DetectOptions(threshold=("0.9",))),
            (model, DetectOptions(classes=("dog",))),
            (write(tmp_path / "other.safetensors", seed=2), DetectOptions()),
        )
    }
    assert len(digests) == 5
    assert open_detector([model], device="cpu").digest in digests


def test_two_models_are_averaged(folder: Path, tmp_path: Path) -> None:
    paths = [folder / "frames.safetensors", write(tmp_path / "b.safetensors", seed=2)]
    parts = [
        joined(list(open_detector([path], device="cpu").score_blocks(folder / "sound.wav")))
        for path in paths
    ]
    both = joined(list(open_detector([*paths], device="cpu").score_blocks(folder / "sound.wav")))
    assert both.scores == pytest.approx((parts[0].scores + parts[1].scores) / 2, abs=1e-6)


@pytest.mark.parametrize("settings", [False, True])
def test_models_with_and_without_frames_score_windows(
    folder: Path, tmp_path: Path, settings: bool
) -> None:
    """The model without frames may have settings for frames, like an export without frames."""
    name = "frames" if settings else "windows"
    members = [
        load(write(tmp_path / "a.safetensors", seed=2)),
        load(folder / f"{name}.safetensors"),
    ]
    if settings:
        members[1].engine.fused.frame_head = None  # type: ignore[attr-defined]
    sound, options = folder / "sound.wav", DetectOptions(hop=0.25)
    parts = [
        joined(list(Detector(Ensemble([one]), options).score_blocks(sound))) for one in members
    ]
    for order in (members, members[::-1]):
        detector = Detector(Ensemble(order), DetectOptions())
        assert (detector.from_frames, detector.hop) == (False, 0.25)
        assert detector.thresholds == HEAD.thresholds  # those of the frames do not fit windows
        whole = joined(list(detector.score_blocks(sound)))
        assert whole.times.tolist() == parts[0].times.tolist()
        assert whole.scores == pytest.approx((parts[0].scores + parts[1].scores) / 2, abs=1e-6)
        found = detector.detect(sound)
        assert found.error == ""
        wanted = find_events(whole.times, whole.scores, HEAD.classes, detector.events)
        assert [(e.start, e.end, e.label) for e in found.events] == [
            (e.start, e.end, e.label) for e in wanted
        ]
        assert found.events


def test_a_damaged_recording_keeps_the_events_before(folder: Path, tmp_path: Path) -> None:
    content = (folder / "sound.wav").read_bytes()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(content[: 44 + (len(content) - 44) * 2 // 3])
    for name in ("frames", "windows"):
        detector = open_detector([folder / f"{name}.safetensors"], device="cpu")
        whole, found = (detector.detect(path) for path in (folder / "sound.wav", cut))
        assert "trunc" in found.error
        assert found.seconds == pytest.approx(8, abs=0.6)
        assert [event for event in found.events if event.end < 6] == [
            event for event in whole.events if event.end < 6
        ]
        assert found.events or name == "windows"


def test_a_full_memory_is_no_fault_of_the_recording(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = open_detector([folder / "windows.safetensors"], device="cpu")

    def fail(path: Path) -> Iterator[ScoreBlock]:
        raise MemoryError

    monkeypatch.setattr(detector, "score_blocks", fail)
    with pytest.raises(MemoryError):
        detector.detect(folder / "sound.wav")


@pytest.mark.parametrize("content", [b"", b"no sound"])
def test_a_file_that_is_no_sound(folder: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    for name in ("frames", "windows"):
        found = open_detector([folder / f"{name}.safetensors"], device="cpu").detect(path)
        assert found.error
        assert (found.events, found.seconds) == ((), 0)


@pytest.mark.parametrize("seconds", [0.02, 0.3, 1.0, 1.7])
def test_short_recordings(folder: Path, tmp_path: Path, seconds: float) -> None:
    path = write_sound(tmp_path / "short.wav", 12.0)
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[: round(seconds * rate)], rate)
    for name in ("frames", "windows"):
        detector = open_detector([folder / f"{name}.safetensors"], device="cpu")
        whole = joined(list(detector.score_blocks(path)))
        assert (whole.times[0], whole.times[-1]) == (0, pytest.approx(seconds))
        assert (np.diff(whole.times) > 0).all()


def test_blocks_are_passed_on(folder: Path) -> None:
    seen: list[ScoreBlock] = []
    detector = open_detector([folder / "frames.safetensors"], device="cpu")
    detector.detect(folder / "sound.wav", on_block=seen.append)
    assert seen[-1].times[-1] == 12


def test_unknown_windows_count_less() -> None:
    class Window:
        def __init__(self, unknown: float | None) -> None:
            self.proba = {"event": np.array([0.8, 0.2])}
            self.unknown_score, self.unknown_threshold = unknown, 0.5

    def scores(unknown: float | None) -> list[float]:
        return scores_of(Window(unknown), "event").tolist()  # type: ignore[arg-type]

    assert scores(None) == [0.8, 0.2]
    assert scores(0.5) == [0.8, 0.2]
    assert scores(0.75) == [0.4, 0.1]
    assert scores(1.0) == [0, 0]


def test_scores_that_are_not_finite_are_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = open_detector([folder / "frames.safetensors"], device="cpu")
    [member] = detector.ensemble.members

    def frames(
        pieces: Iterator[np.ndarray], samples: int, pace: object
    ) -> Iterator[tuple[int, np.ndarray]]:
        for _ in pieces:
            pass
        yield 0, np.full((4, 3), np.nan)

    monkeypatch.setattr(member.engine, "frames", frames)
    assert "finite" in detector.detect(folder / "sound.wav").error


def test_the_finest_level_is_detected(folder: Path) -> None:
    member = load(folder / "windows.safetensors")
    member.heads = HEADS
    ensemble = Ensemble([member])
    assert Detector(ensemble, DetectOptions()).classes == HEADS[-1].classes
    assert Detector(ensemble, DetectOptions(level="category")).classes == HEADS[0].classes


def test_cards_with_wrong_settings_are_refused(tmp_path: Path) -> None:
    card = ModelCard(OPTIONS, (HEAD,), 16_000, ("VGGishLogMel",))
    good = Detection("category", EVENTS, (1, 3), 0.25)
    assert card_of(document_of(replace(card, detection=good)), "x").detection == good
    document = json.loads(document_of(replace(card, detection=good)))
    for change in (
        {"head": "event"}, {"events": []}, {"frame_scales": [2]}, {"frame_scales": ["a"]},
        {"hop": -1}, {"shared": {"median": -1}}, {"shared": None}, {"events": [1, 2, 3]},
        {"shared": {"unknown_option": 1}},
    ):  # fmt: skip
        wrong = {**document, "detection": {**document["detection"], **change}}
        with pytest.raises(ModelFileError):
            card_of(json.dumps(wrong), "x")


def test_an_exported_file_has_the_same_frames(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from sonotype.export.onnx import export_onnx

    exported = folder / "frames.onnx"
    export_onnx(folder / "frames.safetensors", exported)
    detectors = [
        open_detector([path], device="cpu") for path in (folder / "frames.safetensors", exported)
    ]
    assert detectors[1].from_frames
    tracks = [joined(list(one.score_blocks(folder / "sound.wav"))) for one in detectors]
    assert tracks[0].times.tolist() == tracks[1].times.tolist()
    assert tracks[1].scores == pytest.approx(tracks[0].scores, abs=1e-3)
    assert detectors[0].events == detectors[1].events
