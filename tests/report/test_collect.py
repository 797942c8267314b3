"""The content of the page against the files of the run."""

from __future__ import annotations

import base64
import io
import json
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from run_folders import of_another_version

from sonotype.cli.main import run as program
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.types import Head
from sonotype.evaluation.predictions import load_predictions
from sonotype.report.clip_names import Place, find_file, place_of, short_names
from sonotype.report.collect import Report, ReportOptions, _facts, collect, cut_cells
from sonotype.report.curve_file import read_curve
from sonotype.report.levels import Level, trained_clips
from sonotype.report.media import importance_uri, picture_uri
from sonotype.report.mistakes import typical_examples
from sonotype.report.run_record import read_run
from sonotype.report.run_report import render_report

QUICK = ReportOptions(doctor=False)


def moved_run(folder: Path, root: Path) -> Path:
    """A copy of a run, whose data are not where they were."""
    copy = Path(shutil.copytree(folder, root / "copy"))
    config = json.loads((copy / "config.json").read_text())
    config["data"] = str(root / "gone")
    (copy / "config.json").write_text(json.dumps(config))
    predictions = copy / "predictions.npz"
    with np.load(predictions) as file:
        arrays = {name: file[name] for name in file}
    names = json.loads(arrays["names"].tobytes())
    names["paths"] = [f"/gone/{Path(path).name}" for path in names["paths"]]
    arrays["names"] = np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)
    np.savez_compressed(predictions, **arrays)
    return copy


@pytest.fixture(scope="module")
def report(two_levels: Path) -> Report:
    return collect(two_levels, QUICK)


def level_of(report: Report, name: str) -> Level:
    return next(level for level in report.levels if level.name == name)


def test_cells_hold_the_clips_that_the_matrix_counts(report: Report) -> None:
    scores = report.record.scores
    assert scores is not None
    assert [level.name for level in report.levels] == ["category", "event"]
    for level in report.levels:
        confusion = scores.heads[level.name].confusion
        n = len(level.labels)
        for true in range(n):
            for predicted in range(n):
                clips = level.cells.get(true * n + predicted, ())
                assert len(clips) == confusion[true][predicted]
        assert level.right + level.mistakes == scores.heads[level.name].n
        assert sum(count for count, _, _ in level.pairs) == level.mistakes


def test_the_swapped_clip_is_the_worst_mistake_and_a_suspicious_label(report: Report) -> None:
    worst = report.mistakes[0]
    assert report.names[worst.clip] == "high/whistle/swapped.wav"
    assert (worst.kind, worst.level, worst.label) == ("confused", "event", "whistle")
    assert worst.suspicious
    predictions = report.record.predictions
    assert predictions is not None
    index = predictions.heads[1].classes.index("whistle")
    assert (
        worst.p_label
        == predictions.read(report.record.scores.category_source)["event"][  # type: ignore[union-attr,arg-type]
            worst.clip, index
        ]
    )
    margins = [(one.p_predicted or 0) - (one.p_label or 0) for one in report.mistakes]
    assert margins == sorted(margins, reverse=True)
    assert "high/whistle/swapped.wav" in {
        report.names[clip] for _, clip, _ in report.suspicious if clip is not None
    }


def test_the_classes_have_their_counts_and_a_typical_clip(report: Report) -> None:
    event = level_of(report, "event")
    assert [(row.label, row.trained) for row in event.classes] == [
        ("beep", 5), ("buzz", 5), ("hum", 4), ("whistle", 6),
    ]  # fmt: skip
    for row in event.classes:
        if row.best is not None:
            assert f"/{row.label}/" in report.names[row.best]
    assert report.typical == {r.index: r.best for r in event.classes if r.best is not None}


def test_a_class_name_with_the_separator_of_labels() -> None:
    rows = [{"subset": "train", "event": "bark; far"}] * 3 + [{"subset": "test", "event": "a"}]
    rows += [{"subset": "train", "event": ""}]
    assert trained_clips(rows, Head("event", ("a", "bark; far"))) == {"bark; far": 3}
    rows = [{"subset": "train", "event": "a;b"}, {"subset": "train", "event": "b"}]
    assert trained_clips(rows, Head("event", ("a", "b"), "multi")) == {"a": 1, "b": 2}


def test_facts_say_what_was_trained_on_what(report: Report, two_levels: Path) -> None:
    facts = dict(report.facts)
    assert facts["Sounds"].startswith("20 clips")
    assert facts["Classes"] == "2 categories; 4 events"
    assert "builtin" in facts["Model"]
    assert "linear" in facts["Recipe"]
    changed = datetime.fromtimestamp((two_levels / "model.safetensors").stat().st_mtime)
    assert facts["Date"].startswith(f"{changed:%Y-%m-%d}")


def test_options_of_another_version(two_levels: Path, tmp_path: Path) -> None:
    run = of_another_version(Path(shutil.copytree(two_levels, tmp_path / "run")))
    report = collect(run, ReportOptions(examples=0))
    facts = dict(report.facts)
    assert "colour" in facts["Options"]
    assert "9.9" in facts["Options"]
    assert "builtin" in facts["Model"], "from the model file"
    assert facts.keys().isdisjoint({"Recipe"})
    assert {"repeat", "curve"}.isdisjoint(report.commands)
    assert report.examination is not None
    assert "colour" in report.examination.failed
    assert "The command is not known" in render_report(report)


def test_sounds_and_pictures_can_be_decoded(report: Report) -> None:
    media = report.media[report.mistakes[0].clip]
    kind, _, text = media.sound.partition(",")
    assert kind == "data:audio/mpeg;base64"
    content = base64.b64decode(text)
    assert len(content) < 6_000 * media.seconds
    samples, rate = soundfile.read(io.BytesIO(content))
    assert rate == 24_000
    assert samples.ndim == 1
    assert len(samples) / rate == pytest.approx(1.0, abs=0.15)
    assert np.abs(samples).max() > 0.1
    picture = Image.open(io.BytesIO(base64.b64decode(media.picture.partition(",")[2])))
    assert picture.format == "PNG"
    # A tone of 200 Hz: the loudest rows are at the bottom.
    rows = np.asarray(picture.convert("L")).astype(float).mean(axis=1)
    assert rows.argmax() > 0.6 * len(rows)
    importance = Image.open(io.BytesIO(base64.b64decode(media.importance.partition(",")[2])))
    assert importance.mode == "RGBA"
    assert 100 < np.asarray(importance)[..., 3].max() <= 210
    assert media.probability is not None
    assert 0 <= media.probability <= 1


def test_the_number_of_examples_is_limited(two_levels: Path, report: Report) -> None:
    few = collect(two_levels, ReportOptions(doctor=False, examples=1))
    assert len(few.mistakes) == 1
    assert few.mistakes[0] == report.mistakes[0]
    none = collect(two_levels, ReportOptions(doctor=False, examples=0))
    assert (none.mistakes, none.typical, none.media) == ((), {}, {})


def test_missed_and_false_alarms_of_windows(windows: Path) -> None:
    report = collect(windows, QUICK)
    predictions = load_predictions(windows / "predictions.npz")
    [head] = predictions.heads
    [level] = report.levels
    assert level.multi
    true, decided = predictions.true["category"], predictions.decided(head)
    for row in level.classes:
        missed = (true[:, row.index] == 1) & ~decided[:, row.index]
        alarms = (true[:, row.index] == 0) & decided[:, row.index]
        assert (row.missed, row.false_alarms) == (missed.sum(), alarms.sum())
        assert set(level.cells[2 * row.index]) <= set(np.flatnonzero(missed).tolist())
    assert len(report.mistakes) > 1
    assert {report.record.unit, dict(report.facts)["Classes"]} == {
        "window", "3 categories, any number to a sound",
    }  # fmt: skip
    places = [place_of(predictions.paths[one.clip], windows=True) for one in report.mistakes]
    keys = [(one.kind, one.question) for one in report.mistakes]
    assert len({one.clip for one in report.mistakes}) == len(report.mistakes)
    assert all(one.clip in level.cells[one.cell] for one in report.mistakes)
    for n, place in enumerate(places):
        assert not any(keys[n] == keys[m] and place.overlaps(places[m]) for m in range(n)), (
            "overlapping windows with the same mistake"
        )
    assert all(one.clip in report.media for one in report.mistakes)
    assert report.media[report.mistakes[0].clip].seconds == pytest.approx(1.0, abs=0.05)
    assert "curve" not in report.commands


def test_a_run_without_predictions(unscored: Path) -> None:
    report = collect(unscored, QUICK)
    assert report.finest is None
    assert (report.mistakes, report.suspicious, report.media) == ((), (), {})
    assert [row.trained for row in report.levels[1].classes] == [3, 3, 3, 3]
    assert all(row.score is None for level in report.levels for row in level.classes)


def test_data_that_were_moved(two_levels: Path, tmp_path: Path, report: Report) -> None:
    moved = collect(moved_run(two_levels, tmp_path), QUICK)
    assert moved.media == {}
    assert (moved.missing, moved.wanted) == (len(report.media), report.wanted)
    assert (report.missing, report.wanted) == (0, len(report.media))
    assert "swapped.wav" in moved.names
    assert [one.label for one in moved.mistakes] == [one.label for one in report.mistakes]


def test_the_examination_is_kept_in_the_run_folder(two_levels: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(two_levels, tmp_path / "run"))
    assert collect(run, QUICK).examination is None
    found = collect(run, ReportOptions(examples=0)).examination
    assert found is not None
    assert (found.sounds, found.failed) == (20, "")
    kinds = [one.kind for one in found.findings]
    assert "near_copies" not in kinds
    assert collect(run, QUICK).examination == found
    (run / "doctor.json").write_text("{")
    assert collect(run, QUICK).examination is None


@pytest.mark.parametrize(
    "damage",
    [
        {"severity": "fatal"},
        {"severity": []},
        {"what": 3},
        {"remedy": None},
        {"kind": ["silent"]},
        {"places": [{"where": 1}]},
        {"places": [{"where": "a.wav", "detail": {"x": 1}}]},
        {"places": "a.wav"},
        {"more": 1},
    ],
)
def test_findings_of_other_types_are_not_used(
    two_levels: Path, tmp_path: Path, damage: dict[str, Any]
) -> None:
    run = Path(shutil.copytree(two_levels, tmp_path / "run"))
    finding = {"kind": "silent", "severity": "error", "what": "silent", "remedy": "remove it"}
    for values in ({}, damage):
        places = {"places": [{"where": "a.wav", "detail": "0.0"}]}
        value = {"sounds": 1, "findings": [finding | places | values]}
        (run / "doctor.json").write_text(json.dumps(value))
        assert (collect(run, QUICK).examination is None) is bool(values)


def test_changed_data_are_examined_again(tmp_path: Path, unscored: Path) -> None:
    run, data = Path(shutil.copytree(unscored, tmp_path / "run")), tmp_path / "tones"
    shutil.copytree(read_run(unscored).data, data)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"data": str(data)}))
    first = collect(run, ReportOptions(examples=0)).examination
    assert first is not None
    assert (first.sounds, first.changed) == (12, False)
    assert first.date
    next(data.rglob("*.wav")).unlink()
    old = collect(run, QUICK).examination
    assert old is not None
    assert (old.sounds, old.changed) == (12, True)
    new = collect(run, ReportOptions(examples=0)).examination
    assert new is not None
    assert (new.sounds, new.changed) == (11, False)
    shutil.rmtree(data)
    kept = collect(run, ReportOptions(examples=0)).examination
    assert kept == new, "without the data the findings are shown with their date"


def test_findings_need_not_be_kept(two_levels: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(two_levels, tmp_path / "run"))
    (run / "doctor.json").mkdir()
    (run / "doctor.json" / "file").touch()  # as in a folder that cannot be written into
    found = collect(run, ReportOptions(examples=0)).examination
    assert found is not None
    assert (found.sounds, found.failed) == (20, "")


def test_cut_lists_of_clips_are_counted(report: Report) -> None:
    level = level_of(report, "event")
    assert cut_cells(level) == {}
    key = next(key for key, clips in level.cells.items() if len(clips) > 1)
    cut = replace(level, cells=dict(level.cells) | {key: level.cells[key][:1]})
    assert cut_cells(cut) == {key: len(level.cells[key])}


def test_the_first_classes_have_a_typical_clip(report: Report) -> None:
    every = typical_examples(report.levels, 60)
    assert len(every) == 4
    assert list(typical_examples(report.levels, 3).items()) == list(every.items())[:3]


def test_facts_of_a_run_with_the_backbone_of_a_file(report: Report) -> None:
    record = report.record
    system = replace(record.options.system, backbone="teachers/bat.safetensors")
    facts = dict(_facts(replace(record, options=replace(record.options, system=system))))
    assert facts["Model"] == "cbir_2 with backbone builtin from teachers/bat.safetensors"
    assert "Version" in dict(_facts(replace(record, finished=None)))


def test_an_examination_of_missing_data_says_why(two_levels: Path, tmp_path: Path) -> None:
    found = collect(moved_run(two_levels, tmp_path), ReportOptions(examples=0)).examination
    assert found is not None
    assert str(tmp_path / "gone") in found.failed


def test_test_clips_and_sounds_of_no_class(holdout: Path) -> None:
    report = collect(holdout, QUICK)
    predictions = load_predictions(holdout / "predictions.npz")
    assert not report.record.crossfit
    assert report.record.suspicious is None
    assert report.suspicious == ()
    facts = dict(report.facts)
    assert facts["Sounds"].startswith("24 clips, 12 of them of no class: ")
    assert f"{len(predictions)} for the test" in facts["Sounds"]
    level = report.levels[0]
    assert level.scores is not None
    assert level.scores.n == len(predictions) - predictions.negative.sum()


def test_a_picture_is_small_whatever_it_shows() -> None:
    noise = np.random.default_rng(0).standard_normal((3000, 128))
    assert len(picture_uri(noise)) < 60_000
    assert len(importance_uri(np.abs(noise))) < 8_000
    flat = picture_uri(np.zeros((10, 64)))
    assert flat.startswith("data:image/png;base64,")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="is not the folder of a run"):
        collect(tmp_path, QUICK)


@pytest.mark.parametrize(
    ("name", "content"),
    [("scores.json", "{}"), ("suspicious_labels.csv", "path\nx\n"), ("predictions.npz", "")],
)
def test_a_damaged_file_is_named(two_levels: Path, tmp_path: Path, name: str, content: str) -> None:
    run = Path(shutil.copytree(two_levels, tmp_path / "run"))
    (run / name).write_text(content)
    with pytest.raises(SonotypeError, match=name):
        read_run(run)


def test_the_learning_curve_is_read(curve_folder: Path) -> None:
    curve = read_curve(curve_folder)
    assert [point.clips_per_class for point in curve.points] == [1, 2, 4]
    assert curve.points[0].accuracy.value == 0.5


def test_a_curve_of_other_data_is_noticed(two_levels: Path, curve_folder: Path) -> None:
    options = ReportOptions(curve=curve_folder, doctor=False, examples=0)
    assert collect(two_levels, options).curve_note == ""
    file = curve_folder / "curve.json"
    curve = json.loads(file.read_text())
    file.write_text(json.dumps(curve | {"data": "/other/birds", "fingerprint": "1"}))
    assert "/other/birds" in collect(two_levels, options).curve_note
    advice = [{"label": "toad", "clips": 4, "error": 0.2, "gain": 1.5}]
    file.write_text(json.dumps(curve | {"advice": advice}))
    with pytest.raises(OptionsError, match="other data: the run has no class toad"):
        collect(two_levels, options)
    file.write_text(json.dumps(curve | {"level": "species"}))
    with pytest.raises(OptionsError, match="no level species"):
        collect(two_levels, options)


@pytest.mark.parametrize("content", [None, "{}", '{"points": []}', "x"])
def test_an_unfinished_curve_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "curve.json").write_text(content)
    with pytest.raises(OptionsError, match=r"curve\.json"):
        read_curve(tmp_path)


def test_names_of_clips() -> None:
    name = "a/b/night#t=1,2.wav#t=60,65"
    assert place_of(name, windows=True) == Place("a/b/night#t=1,2.wav", 60, 65)
    assert place_of(name, windows=False) == Place(name)
    places = [Place("a/b/x.wav"), Place("a/b/c/y.wav"), Place("a/b/z.wav", 60, 65)]
    assert short_names(places) == ["x.wav", "c/y.wav", "z.wav, 60 to 65 s"]
    assert short_names([]) == []
    assert Place("a", 0, 5).overlaps(Place("a", 4, 9))
    assert not Place("a", 0, 5).overlaps(Place("a", 5, 9))
    assert not Place("a").overlaps(Place("a"))


def test_files_are_found_below_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = tmp_path / "data" / "dog" / "1.wav"
    sound.parent.mkdir(parents=True)
    sound.touch()
    data = str(tmp_path / "data")
    monkeypatch.chdir(tmp_path.parent)
    assert find_file(str(sound), data) == sound
    assert find_file("data/dog/1.wav", data) == sound
    assert find_file("elsewhere/data/dog/1.wav", data) == sound
    assert find_file("dog\\1.wav", data) == sound
    assert find_file("/other/machine/data/dog/1.wav", data) == sound
    assert find_file("1.wav", data) is None
    (tmp_path / "data" / "1.wav").touch()
    assert find_file("1.wav", data) == tmp_path / "data" / "1.wav"
    assert find_file("cat/1.wav", data) is None, "another file of the same name"
    assert find_file("data/1.wav", str(tmp_path / "data" / "clips.csv")) is not None
    assert find_file("dog/2.wav", data) is None
    assert find_file("a\0b", data) is None


def test_the_command_writes_the_page(
    two_levels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = Path(shutil.copytree(two_levels, tmp_path / "run")), tmp_path / "page.html"
    command = ["report", str(run), "--no-doctor", "--examples", "0"]
    assert program(command) == 0
    assert program(command) == 0, "the page in the run folder is replaced"
    assert capsys.readouterr().out.splitlines() == [f"report: {run / 'report.html'}"] * 2
    assert program([*command, "--out", str(out)]) == 0
    assert program([*command, "--out", str(out)]) == 2
    assert program([*command, "--out", str(out), "--force"]) == 0
    assert program([*command, "--out", str(run / "model.safetensors"), "--force"]) == 2
    assert program(["report", str(tmp_path / "none")]) == 2
