"""Annotated recordings with an engine that measures the loud share of each window."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from small_models import CATEGORIES, OPTIONS, write_model
from training_data import RATE, write_tones

import sonotype
from sonotype.config import SystemOptions
from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.errors import DataError, MissingExtraError, OptionsError
from sonotype.core.types import IGNORE_INDEX, Head, Heads
from sonotype.data.digest import PREFIX, file_sha256
from sonotype.detect.detector import default_hop
from sonotype.detect.score_sources import window_times
from sonotype.evaluation.evaluate import evaluate
from sonotype.evaluation.metrics import Scores
from sonotype.evaluation.recordings import head_of, predict_recordings
from sonotype.evaluation.sound_events import EventScoreOptions
from sonotype.evaluation.write_report import full_report, outputs_of
from sonotype.inference.classifier import Classifier
from sonotype.inference.engine import EngineOutput
from sonotype.modelfile.card import ModelCard

HEAD = Head("category", ("loud", "quiet"), "multi", thresholds=(0.6, 0.5))
LEVELS = (
    Head("category", ("animal", "thing")),
    Head("event", ("loud", "quiet"), parent="category", parent_index=(0, 1)),
)


class Loudness:
    """An engine: the share of samples above 0.1 is the probability of each first class.

    Args:
        heads: of two classes each.
        factor: of the probability.
    """

    side_by_side = False

    def __init__(self, heads: Heads, factor: float = 1.0) -> None:
        self.heads = heads
        self.factor = factor

    def __call__(self, waveforms: np.ndarray) -> EngineOutput:
        share = self.factor * (np.abs(waveforms) > 0.1).mean(axis=1, dtype=np.float32)
        proba = np.stack([share, 1 - share], axis=1)
        embedding = np.zeros((len(waveforms), 2), np.float32)
        return EngineOutput({head.name: proba for head in self.heads}, embedding)

    def windows(
        self, pieces: Iterable[np.ndarray], samples: int, hop: float, pace: object = None
    ) -> Iterator[tuple[int, EngineOutput]] | None:
        return None


def model(heads: Heads = (HEAD,), factor: float = 1.0, **card: Any) -> Classifier:
    options = SystemOptions(**OPTIONS)
    written = ModelCard(options, heads, RATE, ("VGGishLogMel",), **card)
    return Classifier(Loudness(heads, factor), written)


def write_recording(path: Path, events: Iterable[tuple[float, float]], seconds: float) -> Path:
    """Silence with loud events."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    for start, end in events:
        samples[round(start * RATE) : round(end * RATE)] = 0.5
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path


def recording(
    path: Path, events: Iterable[tuple[float, float]], seconds: float, label: str = "loud"
) -> AnnotatedRecording:
    events = tuple(events)
    write_recording(path, events, seconds)
    return AnnotatedRecording(
        path, seconds, tuple(Event(*times, label) for times in events), ((0.0, seconds),)
    )


def test_hop() -> None:
    assert (default_hop(1.0), default_hop(4.0), default_hop(10.0)) == (0.25, 1.0, 1.0)


@pytest.mark.parametrize("hop", [0.1, 0.25, 1.0, 1.7])
@pytest.mark.parametrize("total", [0.4, 1.0, 3.3, 4.0])
def test_each_frame_is_nearest_to_the_middle_of_its_window(hop: float, total: float) -> None:
    starts = np.arange(0, total, hop)
    starts = starts[: 1 + int(np.argmax(starts + 1.0 >= total))]
    if not (starts + 1.0 >= total).any():
        starts = np.arange(0, total, hop)
    times = window_times(starts, 1.0, total)
    assert len(times) == len(starts) + 1
    assert (times[0], times[-1]) == (0, total)
    assert (np.diff(times) > 0).all()
    for time in np.linspace(0.001, total - 0.001, 97):
        frame = int(np.searchsorted(times, time)) - 1
        distances = np.abs(starts + 0.5 - time)
        assert distances[frame] == pytest.approx(distances.min(), abs=1e-9)


def test_the_head_with_the_classes(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.wav", [(1.0, 2.0)], 4.0)
    assert head_of((HEAD,), [one]) == HEAD
    assert head_of((HEAD,), [one]).thresholds == HEAD.thresholds
    event = replace(LEVELS[1], thresholds=(0.2, 0.3))
    found = head_of((LEVELS[0], event), [one])
    assert (found.name, found.problem, found.parent) == ("event", "multi", None)
    assert found.thresholds == (0.2, 0.3)
    with pytest.raises(DataError, match=r"loud.*animal, thing"):
        head_of(LEVELS[:1], [one])


def test_windows_and_events(tmp_path: Path) -> None:
    """Windows of 1 s every 0.25 s; the engine is right about the middle of each window."""
    one = recording(tmp_path / "a.wav", [(1.0, 2.5)], 4.0)
    found = predict_recordings([model()], [one])
    assert found.notes == ()
    windows = found.windows
    # Starts 0 to 3 s. An event that is half in a window, or fills it by half, has its label; the
    # share is that of the shorter one, 1 s.
    starts = np.arange(13) / 4
    overlap = np.clip(np.minimum(starts + 1, 2.5) - np.maximum(starts, 1.0), 0, None)
    wanted = np.where(overlap >= 0.5, 1, np.where(overlap > 0, IGNORE_INDEX, 0))
    assert windows.true["category"].tolist() == [[label, 0] for label in wanted]
    assert windows.proba["category"][:, 0] == pytest.approx(overlap, abs=1e-3)
    assert windows.paths[1] == f"{one.path}#t=0.25,1.25"
    assert set(windows.groups) == {str(one.path)}
    [detections] = found.detections
    loud = [event for event in detections.detected if event.label == "loud"]
    # Above 0.6 are the windows from 0.75 to 1.75 s; their middles are 1.25 to 2.25 s.
    assert [(event.start, event.end, event.score) for event in loud] == [
        (pytest.approx(1.125), pytest.approx(2.375), pytest.approx(1.0))
    ]
    assert detections.times[0] == 0
    assert detections.times[-1] == 4
    assert detections.scores.shape == (13, 2)
    assert detections.reference == one.events


def test_a_recording_shorter_than_a_window(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.wav", [(0.0, 0.4)], 0.4)
    found = predict_recordings([model()], [one])
    assert found.detections[0].times.tolist() == [0, 0.4]
    assert found.windows.true["category"].tolist() == [[1, 0]]


def test_a_recording_that_is_longer_than_stated(tmp_path: Path) -> None:
    """Frames behind the stated end are left out."""
    one = recording(tmp_path / "a.wav", [(1.0, 2.0)], 4.0)
    short = replace(one, seconds=2.5, spans=((0.0, 2.5),))
    [detections] = predict_recordings([model()], [short]).detections
    assert detections.times[-1] == 2.5
    assert (np.diff(detections.times) > 0).all()
    assert len(detections.scores) == len(detections.times) - 1


def test_only_windows_that_are_listened_to_count(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.wav", [(1.0, 2.0)], 6.0)
    listened = replace(one, spans=((0.0, 3.0),), group="site")
    found = predict_recordings([model()], [listened], hop=1.0)
    assert [name.rpartition("=")[2] for name in found.windows.paths] == ["0,1", "1,2", "2,3"]
    assert set(found.windows.groups) == {"site"}
    assert found.detections[0].times[-1] == 6


def test_events_of_unknown_classes_have_a_note(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.wav", [(1.0, 2.0)], 4.0)
    other = recording(tmp_path / "b.wav", [(1.0, 1.5), (2.0, 3.0)], 4.0, "fox")
    found = predict_recordings([model()], [one, other])
    assert len(found.notes) == 1
    assert "2 events" in found.notes[0]
    assert "fox" in found.notes[0]
    assert found.detections[1].reference == ()


def test_several_models_are_averaged(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.wav", [(1.0, 2.0)], 4.0)
    single, half = model(), model(factor=0.5)
    both = predict_recordings([single, half], [one]).windows.proba["category"]
    each = [predict_recordings([m], [one]).windows.proba["category"] for m in (single, half)]
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-7)
    others = Head("category", ("loud", "still"), "multi")
    with pytest.raises(OptionsError, match="same labels"):
        predict_recordings([single, model((others,))], [one])


@pytest.mark.parametrize("hop", [0.0, -1.0, 0.001])
def test_a_hop_that_is_too_small(tmp_path: Path, hop: float) -> None:
    one = recording(tmp_path / "a.wav", [(1.0, 2.0)], 4.0)
    with pytest.raises(OptionsError, match="hop"):
        predict_recordings([model()], [one], hop=hop)


def test_a_hop_longer_than_a_window_leaves_sounds_out(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.wav", [(1.0, 2.0)], 4.0)
    seconds = model().audio_spec.seconds
    with pytest.raises(OptionsError, match="at most"):
        predict_recordings([model()], [one], hop=seconds + 0.5)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Four recordings with a table of their events, in two folds."""
    folder = tmp_path / "site"
    rows = ["path,start,end,label,fold"]
    for number in range(4):
        times = (1.0 + number / 4, 2.5 + number / 4)
        write_recording(folder / f"r{number}.wav", [times], 5.0)
        rows.append(f"r{number}.wav,{times[0]},{times[1]},loud,{number % 2 + 1}")
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_evaluation(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first_to_last = evaluate(model(), site)
    assert first_to_last.notes == ("no scored clip is known to lack loud: no average precision",)
    scores = evaluate(model(), site, out=out, annotated="whole")
    assert scores.notes == ()
    head = scores.heads["category"]
    assert head.ranking is not None
    assert head.ranking.average_precision.value == 1
    assert scores.events is not None
    assert (scores.events.recordings, scores.events.psds) == (4, None)
    # Onsets and offsets are 0.125 s late and early: within the collar of 0.2 s.
    [loud, quiet] = scores.events.per_class
    assert (loud.reference, loud.detected, loud.event_based.f1) == (4, 4, 1)
    assert quiet.reference == 0
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert files == set(outputs_of((HEAD,)))
    values = json.loads((out / "scores.json").read_text())
    assert values["events"]["event_based"]["macro"]["value"] == 1
    with (out / "event_scores.csv").open(newline="") as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == ["loud", "quiet"]
    text = (out / "scores.txt").read_text()
    assert text == full_report(scores)
    assert max(map(len, text.splitlines())) <= 80
    with pytest.raises(OptionsError, match=r"event_scores\.csv"):
        evaluate(model(), site, out=out)


def test_renamed_events(site: Path) -> None:
    wanted = evaluate(model(), site, annotated="whole")
    table = site / "annotations.csv"
    table.write_text(table.read_text().replace("loud", "Thunder"))
    assert evaluate(model(), site, annotated="whole", rename={"Thunder": "loud"}) == wanted
    with pytest.raises(DataError, match="Thunder"):
        evaluate(model(), site)
    with pytest.raises(OptionsError, match=r"'thunder' \(similar: Thunder\)"):
        evaluate(model(), site, rename={"thunder": "loud"})


def test_options_of_the_evaluation(site: Path) -> None:
    strict = EventScoreOptions(onset_collar=0.05, offset_collar=0.05, offset_collar_rate=0.0)
    scores = evaluate(model(), site, event_options=strict)
    assert scores.events is not None
    assert scores.events.event_based.macro.value == 0
    coarse = evaluate(model(), site, hop=1.0)
    assert coarse.clips < scores.clips


def test_folds(site: Path) -> None:
    scores = evaluate(model(), site, folds=[2])
    assert scores.events is not None
    assert scores.events.recordings == 2
    with pytest.raises(OptionsError, match="no fold 3"):
        evaluate(model(), site, folds=[3])


def test_recordings_that_the_model_has_seen(site: Path) -> None:
    seen = [file_sha256(site / f"r{number}.wav")[:PREFIX] for number in (0, 1, 2)]
    trained = model(training={"seen": seen, "fingerprint": "other"})
    [note] = seen_notes(evaluate(trained, site))
    assert "3 of 4 recordings" in note
    [note] = seen_notes(evaluate(trained, site, folds=[1]))
    assert "2 of 2 recordings" in note
    assert seen_notes(evaluate(model(training={"seen": []}), site)) == []
    unseen = evaluate(trained, site, unseen=True)
    assert unseen.events is not None
    assert unseen.events.recordings == 1


def seen_notes(scores: Scores) -> list[str]:
    return [note for note in scores.notes if "seen" in note]


def test_a_model_of_single_labels(site: Path) -> None:
    """The event head has the classes; it is scored as one of any number of labels."""
    scores = evaluate(model(LEVELS), site)
    assert list(scores.heads) == ["event"]
    assert scores.heads["event"].ranking is not None
    assert scores.category_source == "head"
    assert "animal" not in full_report(scores)


def test_the_source_of_the_category(tmp_path: Path, site: Path) -> None:
    """Annotations of categories; the event head says the same, the category head is blind."""
    heads = (
        Head("category", ("loud", "quiet")),
        Head("event", ("bark", "hush"), parent="category", parent_index=(0, 1)),
    )

    class Blind(Loudness):
        def __call__(self, waveforms: np.ndarray) -> EngineOutput:
            output = super().__call__(waveforms)
            even = np.full_like(output.proba["category"], 0.5)
            return replace(output, proba={**output.proba, "category": even})

    blind = Classifier(Blind(heads), model(heads).card)
    scores = [
        evaluate(blind, site, category_source=source, annotated="whole")
        for source in ("head", "events")
    ]
    found = [one.heads["category"].ranking for one in scores]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].average_precision.value < 0.7
    assert found[1].average_precision.value == 1
    assert [one.category_source for one in scores] == ["head", "events"]


def test_clips_have_no_hop(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=2)
    path = write_model(tmp_path / "model.safetensors", CATEGORIES)
    for options in ({"hop": 1.0}, {"event_options": EventScoreOptions()}):
        with pytest.raises(OptionsError, match="--hop"):
            sonotype.evaluate(path, tones, **options)  # type: ignore[arg-type]


def test_psds_need_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)
    with pytest.raises(MissingExtraError, match=r"sonotype\[sed\]"):
        evaluate(tmp_path / "no model", tmp_path / "no data", psds=True)


def test_the_report_counts_windows(site: Path) -> None:
    scores = evaluate(model(), site, annotated="whole")
    text = full_report(scores)
    assert text.startswith(f"{scores.clips} windows in 4 groups")
    assert "1 category" in text
