"""Training on annotated recordings gives a model that detects events by frames."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from annotated_recordings import SOUNDS, write_recordings

import sonotype
from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.data.readers.source import open_source
from sonotype.data.source_options import SourceOptions
from sonotype.detect.detector import open_detector
from sonotype.detect.tuning import BASE
from sonotype.evaluation.evaluate import evaluate
from sonotype.experiments.pipeline import TrainResult
from sonotype.modelfile.model_file import load_model, read_card
from sonotype.models.build import build_system
from sonotype.training import frame_fit
from sonotype.training.frame_fit import fit_frame_head, frame_targets

OPTIONS = {"backbone": "builtin", "seconds": 1.0, "annotated": "whole"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("frames") / "site")


@pytest.fixture(scope="module")
def run(site: Path) -> TrainResult:
    return sonotype.train(site, site.parent / "run", **OPTIONS)


def annotated(folder: Path) -> tuple[AnnotatedRecording, ...]:
    return open_source(folder, SourceOptions(annotated="whole")).recordings


def test_the_model_has_a_frame_head_and_settings(run: TrainResult) -> None:
    detection = read_card(run.model).detection
    assert detection is not None
    assert (detection.head, detection.frame_scales) == ("category", (1, 3))
    assert len(detection.events) == len(SOUNDS)
    assert detection.tuned["rates"]["f1"] > 0.8
    system, _ = load_model(run.model)
    assert system.frame_head is not None


def test_other_recordings_are_detected(run: TrainResult, tmp_path: Path) -> None:
    other = write_recordings(tmp_path / "other", 3, seed=9)
    detector = open_detector([run.model], device="cpu")
    assert detector.from_frames
    right = total = 0
    for one in annotated(other):
        found = detector.detect(one.path)
        assert found.error == ""
        assert found.seconds == pytest.approx(20)
        total += len(one.events)
        for event in one.events:
            right += any(
                abs(event.start - each.start) < 0.25 and abs(event.end - each.end) < 0.25
                for each in found.events
                if each.label == event.label
            )
        assert len(found.events) <= 1.2 * len(one.events)
    assert right >= 0.85 * total


def test_evaluate_scores_the_events_of_the_detector(run: TrainResult, tmp_path: Path) -> None:
    other = write_recordings(tmp_path / "other", 3, seed=9)
    frames = evaluate(run.model, other, annotated="whole")
    windows = evaluate(run.model, other, annotated="whole", hop=0.25)
    assert frames.events is not None
    assert windows.events is not None
    assert frames.events.event_based.macro.value > 0.8
    assert frames.events.event_based.macro.value > windows.events.event_based.macro.value + 0.2


def test_a_single_recording_has_the_usual_settings(tmp_path: Path) -> None:
    messages: list[str] = []
    site = write_recordings(tmp_path / "one", 1)
    result = sonotype.train(site, tmp_path / "run", on_message=messages.append, **OPTIONS)
    detection = read_card(result.model).detection
    assert detection is not None
    assert set(detection.events) == {BASE}
    assert any("thresholds of events" in " ".join(one.split()) for one in messages)


def test_held_out_frames_come_from_heads_of_other_folds(site: Path) -> None:
    """The labels of a recording do not change its own scores, but those of others."""
    card = sonotype.load(None).card
    system = build_system(replace(card.options, seconds=1.0), (Head("category", ("a",)),))
    torch.manual_seed(0)
    recordings = annotated(site)
    folds = {one.group or str(one.path): number % 3 for number, one in enumerate(recordings)}
    fit = fit_frame_head(system, system.sample_rate, recordings, tuple(SOUNDS), folds)
    assert [one.recording for one in fit.held_out] == list(recordings)
    swapped = tuple(
        replace(event, label="high" if event.label == "low" else "low")
        for event in recordings[0].events
        if event.label != "hiss"
    )
    changed = (replace(recordings[0], events=swapped), *recordings[1:])
    again = fit_frame_head(system, system.sample_rate, changed, tuple(SOUNDS), folds)
    logits = [np.log(one.scores / (1 - one.scores)) for one in (fit.held_out[0], again.held_out[0])]
    ratio = logits[0] / logits[1]  # both have the same heads, and each its temperature
    assert ratio == pytest.approx(np.full_like(ratio, ratio.flat[0]), rel=1e-3)
    assert not np.allclose(fit.held_out[1].scores, again.held_out[1].scores, atol=0.01)


def test_targets_of_frames() -> None:
    head = Head("category", ("dog", "cat"), "multi")
    times = np.array([0.0, 0.5, 1.5, 2.5, 3.5, 4.0])
    events = (Event(0.2, 1.0, "dog"), Event(1.1, 1.3, "cat"), Event(3.4, 3.45, "bird"))
    one = AnnotatedRecording(Path("a.wav"), 4.0, events, ((0.0, 2.5),))
    # The dog covers 0.3 of the first 0.5 s, and 0.5 s of the second frame; the cat lies in it.
    assert frame_targets(one, times, head).tolist() == [
        [1, 0], [1, 1], [0, 0], [IGNORE_INDEX] * 2, [IGNORE_INDEX] * 2
    ]  # fmt: skip


def test_many_frames_are_thinned_and_all_are_scored(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = sonotype.load(None).card
    system = build_system(replace(card.options, seconds=1.0), (Head("category", ("a",)),))
    recordings = annotated(site)
    folds = {one.group or str(one.path): number % 2 for number, one in enumerate(recordings)}
    monkeypatch.setattr(frame_fit, "MOST_FRAMES", 200)
    fit = fit_frame_head(system, system.sample_rate, recordings, tuple(SOUNDS), folds)
    assert [len(one.scores) for one in fit.held_out] == [len(one.times) - 1 for one in fit.held_out]
    assert all(one.times[-1] == 20 for one in fit.held_out)
    targets = [frame_targets(one.recording, one.times, Head("x", tuple(SOUNDS), "multi"))
               for one in fit.held_out]  # fmt: skip
    chosen = frame_fit._chosen(targets, seed=0)
    used = np.concatenate(chosen)
    present = (np.concatenate(targets) == 1).any(axis=1)
    assert used.sum() == 200
    assert used[present].sum() == 100


def test_events_are_written_with_times(run: TrainResult, site: Path, tmp_path: Path) -> None:
    from sonotype.cli.main import run as command

    out = tmp_path / "out"
    assert command(["detect", str(run.model), str(site / "site_0.wav"), "--out", str(out)]) == 0
    with (out / "events.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) >= 8
    assert {row["label"] for row in rows} == set(SOUNDS)
