"""From recordings to suggestions, and the files of these."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_models import HEADS, write_model

from sonotype.core.errors import OptionsError
from sonotype.detect.output_names import Recording, name_recordings
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load
from sonotype.suggest import suggest as module
from sonotype.suggest.candidates import Candidate, Pool
from sonotype.suggest.output import COLUMNS, table_lines, write_suggestions
from sonotype.suggest.suggest import Suggestion, suggest

RATE = 16_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load(write_model(tmp_path_factory.mktemp("model") / "model.safetensors"), tta_shifts=1)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """One of 6.3 s and two clips of 0.4 s, of noise that changes its level and colour."""
    folder = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(0)
    for name, seconds in (("night.wav", 6.3), ("a/clip.wav", 0.4), ("b/clip.wav", 0.4)):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        time = np.arange(round(seconds * RATE)) / RATE
        tone = np.sin(2 * np.pi * (200 + 500 * np.floor(time)) * time)
        soundfile.write(path, 0.2 * tone + rng.normal(0, 0.02, len(time)), RATE)
    paths = sorted(folder.rglob("*.wav"))
    return name_recordings(dict.fromkeys(paths, ""), [folder])


def candidate(uncertainty: float, path: str = "a.wav", start: float = 0.0) -> Candidate:
    return Candidate(
        Path(path), start, start + 1, "dog", 0.5, "cat", 0.4, uncertainty, None, False,
        np.ones(3, np.float32),
    )  # fmt: skip


def test_a_pool_keeps_the_most_uncertain() -> None:
    values = np.random.default_rng(0).permutation(100) / 100
    pool = Pool(7)
    pool.add(candidate(value) for value in values)
    kept = [one.uncertainty for one in pool.candidates()]
    assert kept == [value for value in values if value >= 0.93]
    equal = Pool(2)
    equal.add(candidate(0.5, start=start) for start in range(5))
    assert [one.start for one in equal.candidates()] == [0, 1]


def test_overlap() -> None:
    assert candidate(1, start=0.0).overlaps(candidate(1, start=0.9))
    assert not candidate(1, start=0.0).overlaps(candidate(1, start=1.0))
    assert not candidate(1, "a.wav").overlaps(candidate(1, "b.wav"))


def test_windows_of_recordings_and_clips(model: Classifier, recordings: list[Recording]) -> None:
    found = suggest(model, recordings, 50, hop=0.0)
    spans = {
        (one.candidate.recording.parent.name, one.candidate.start, round(one.candidate.end, 3))
        for one in found.chosen
    }
    root = recordings[-1].path.parent.name
    # Of the window at 6 s less than half lies in the recording.
    assert spans == {("a", 0, 0.4), ("b", 0, 0.4), *((root, n, n + 1) for n in range(6))}
    assert (found.windows, found.failures) == (9, ())
    assert found.seconds == pytest.approx(7.1)
    classes = {*HEADS[-1].classes}
    for one in found.chosen:
        predicted = model.predict_windows(one.candidate.recording, 1.0)
        [window] = [p for p in predicted if p.start == one.candidate.start]
        (label, score), (second, other) = window.top(2)
        assert (one.candidate.label, one.candidate.second) == (label, second)
        assert one.candidate.uncertainty == pytest.approx(1 - (score - other), abs=1e-6)
        assert one.candidate.label in classes


def test_overlapping_windows_are_not_suggested_together(
    model: Classifier, recordings: list[Recording]
) -> None:
    night = [one for one in recordings if one.path.name == "night.wav"]
    starts = sorted(one.candidate.start for one in suggest(model, night, 4, hop=0.25).chosen)
    assert 2 <= len(starts) <= 4
    assert all(np.diff(starts) >= 1)


def test_the_pool_is_limited(
    model: Classifier, recordings: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = suggest(model, recordings, 8, hop=0.0).chosen
    monkeypatch.setattr(module, "IN_ALL", 3)
    few = suggest(model, recordings, 8, hop=0.0).chosen
    best = sorted((one.candidate.uncertainty for one in every), reverse=True)[:3]
    assert sorted((one.candidate.uncertainty for one in few), reverse=True) == best


def test_levels_and_failures(model: Classifier, recordings: list[Recording]) -> None:
    damaged = Recording(Path("missing.wav"), "missing.wav", "missing")
    found = suggest(model, [damaged, *recordings], 3, hop=0.0, level="category")
    assert len(found.chosen) == 3
    assert [one.candidate.label in HEADS[0].classes for one in found.chosen] == [True] * 3
    assert [recording for recording, _ in found.failures] == [damaged]
    with pytest.raises(OptionsError, match=r"species.*category.*event"):
        suggest(model, recordings, 3, hop=0.0, level="species")


def test_files(model: Classifier, recordings: list[Recording], tmp_path: Path) -> None:
    chosen = suggest(model, recordings, 50, hop=0.0).chosen
    formats = ("audacity", "raven")
    assert write_suggestions(tmp_path, chosen, recordings, formats=formats, highest=8000) == []
    with (tmp_path / "suggestions.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [tuple(row) for row in rows] == [COLUMNS] * len(chosen)
    for rank, (row, one) in enumerate(zip(rows, chosen, strict=True), start=1):
        found = one.candidate
        assert (row["rank"], row["file"]) == (str(rank), str(found.recording))
        assert (row["label"], row["similar"]) == (found.label, str(one.similar))
        assert Path(row["clip"]).parent == Path("clips") / found.label
        clip, rate = soundfile.read(tmp_path / row["clip"])
        whole, _ = soundfile.read(found.recording)
        assert rate == RATE
        part = whole[round(found.start * RATE) : round(found.end * RATE)]
        np.testing.assert_allclose(clip, part, atol=1e-6)
    assert len(list((tmp_path / "clips").rglob("*.wav"))) == len(chosen)
    night = (tmp_path / "labels" / "night.wav.audacity.txt").read_text("utf-8").splitlines()
    assert len([line for line in night if not line.startswith("\\")]) == 6


def test_a_recording_that_vanished_has_no_clips(
    model: Classifier, recordings: list[Recording], tmp_path: Path
) -> None:
    gone = Recording(tmp_path / "gone.wav", "gone.wav", "gone")
    chosen = [Suggestion(candidate(0.7, str(gone.path)), 1)]
    failures = write_suggestions(tmp_path / "out", chosen, [gone])
    assert [recording for recording, _ in failures] == [gone]
    assert (tmp_path / "out" / "suggestions.csv").exists()


def test_the_table_of_the_terminal() -> None:
    chosen = [Suggestion(candidate(0.9, f"夜{'x' * 40}{n}.wav", 4000.0 * n), 3) for n in range(25)]
    lines = table_lines(chosen)
    assert len(lines) == 21
    assert all(len(line) <= 80 for line in lines)
    assert "22:13:20" in lines[-1] or "21:06:40" in lines[-1]
    assert "unsure" in lines[1]
