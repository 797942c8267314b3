"""The scripts of the built-in model and of comparisons, in the small; the demo is run by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch
from heads import labels_of
from script_modules import SCRIPTS, load_script
from sound_files import noise
from soundsets import touch
from training_data import FOLDED, RATE, write_table, write_tones

from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.doctor.findings import KINDS
from sonotype.experiments.grid_plan import read_plan
from sonotype.experiments.pipeline import train
from sonotype.modelfile.model_file import load_model


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, Path]]:
    """Labelled tones with two folds, and by fold a student that was tested on it."""
    root = tmp_path_factory.mktemp("students")
    table = write_table(write_tones(root / "tones"), root / "tones.csv")
    small = {"recipe": "student", "backbone": "compact", "width": 0.0, "between_class_mix": 0.0}
    options = FOLDED | small | {"system": "cbir_2"}
    runs = {}
    for fold in (1, 2):
        run = train(
            table, root / f"fold_{fold}", **options, train_folds=(3 - fold,), test_folds=(fold,)
        )
        runs[fold] = run.folder
    return table, runs


@pytest.fixture
def builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which writes into a temporary folder and takes clips of one second."""
    script = load_script("builtin")
    monkeypatch.setattr(script, "ASSET", tmp_path / "packed.safetensors")
    monkeypatch.setattr(script, "LINEAR", {**script.LINEAR, "seconds": 1.0})
    return script


def test_the_built_in_model_is_fitted_to_predictions_of_unseen_folds(
    students: tuple[Path, dict[int, Path]],
    builtin: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, runs = students
    builtin.pack(data, runs, runs[1] / "model.safetensors", tmp_path / "linear")
    system, card = load_model(builtin.ASSET)
    student, _ = load_model(runs[1] / "model.safetensors")
    assert card.scores["clips"] == len(open_source(data).clips) == 16
    assert card.scores["notes"] == [builtin.SCORES_OF, builtin.NOT_FOR]
    assert (card.unknown_head, card.unknown_threshold, card.tta_shifts) == ("event", 0.5, 3)
    for name, tensor in student.branch_1.state_dict().items():
        stored = tensor.half().float() if tensor.is_floating_point() else tensor
        torch.testing.assert_close(system.state_dict()[f"branch_1.{name}"], stored)

    held_out = builtin.held_out_linear(
        data, {fold: run / "model.safetensors" for fold, run in runs.items()}, tmp_path / "again"
    )
    own = {head.name: head.temperature for head in held_out.predictions.heads}
    assert system.members is not None
    assert system.members.temperatures.tolist() == pytest.approx(list(own.values()), rel=1e-3)
    for fold, run in runs.items():
        context, built = builtin.open_linear(data, run / "model.safetensors", tmp_path / "again")
        clips = builtin.linear_data(context, built)
        fit = builtin.fit_without(context, clips, fold)
        folds = [clip.fold for clip in context.clips("train")]
        assert {folds[index] for index in fit.tested} == {fold}
        assert {folds[index] for index in fit.learnt} == {3 - fold}
        for head in held_out.predictions.heads:
            logits = fit.linear.logits(clips.vectors[fit.tested])[head.name].astype(float)
            powers = np.exp((logits - logits.max(-1, keepdims=True)) / own[head.name])
            expected = (powers / powers.sum(-1, keepdims=True)).mean(1)
            found = held_out.predictions.proba[head.name][fit.tested]
            np.testing.assert_allclose(found, expected, atol=1e-5)
    said = capsys.readouterr().out
    assert "event: calibration error" in said
    assert f"{builtin.ASSET.stat().st_size:,} bytes" in said


def test_a_model_that_is_too_large_is_refused(
    students: tuple[Path, dict[int, Path]],
    builtin: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(builtin, "LARGEST", 1000)
    data, runs = students
    with pytest.raises(SystemExit, match="bytes are more than 1,000"):
        builtin.pack(data, runs, runs[1] / "model.safetensors", tmp_path / "linear")


def test_the_committed_study_tests_each_student_on_clips_new_to_its_teachers() -> None:
    builtin = load_script("builtin")
    plan = read_plan(builtin.STUDY)
    distilled, alone = plan.row(builtin.ROW), plan.row("alone")
    assert dict(distilled.options) == dict(alone.options)
    assert distilled.folds == alone.folds == (1, 2, 3, 4)
    train_folds = [
        set(plan.row(run.row).options["train_folds"]) for run in plan.teachers(builtin.ROW)
    ]
    for test in distilled.folds:
        for fold in set(distilled.folds) - {test}:
            assert any(not {test, fold} & one for one in train_folds), (test, fold)


def test_classes_that_are_left_out_are_in_no_table_of_the_known(tmp_path: Path) -> None:
    transfer = load_script("transfer")
    names = [f"{c}/{c}{e}/{n}.wav" for c in "abcde" for e in range(5) for n in range(2)]
    source = open_source(touch(tmp_path / "sounds", *names))
    left_out = transfer.choose(source.clips)
    assert left_out == transfer.choose(reversed(source.clips))
    categories = sorted(
        category
        for category, event in {labels_of(clip) for clip in source.clips}
        if event in left_out
    )
    assert categories == sorted(2 * source.heads[0].classes)
    known, new = (
        open_source(transfer.write_table(tmp_path / f"{name}.csv", clips))
        for name, clips in (
            ("known", [clip for clip in source.clips if clip.label("event") not in left_out]),
            ("new", [clip for clip in source.clips if clip.label("event") in left_out]),
        )
    )
    assert set(new.heads[1].classes) == left_out
    assert not set(known.heads[1].classes) & left_out
    assert len(known.clips) + len(new.clips) == len(source.clips)
    for part in (known, new):
        assert same_facts(part) <= same_facts(source)


def same_facts(source: Manifest) -> set[tuple[str | None, ...]]:
    return {(clip.path.name, *labels_of(clip), clip.group) for clip in source.clips}


def test_the_default_recipe_and_the_probe_learn_the_same_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("linear_probe")
    data = write_table(write_tones(tmp_path / "tones"), tmp_path / "tones.csv")
    out = tmp_path / "out"
    options = ["--backbones", "builtin", "--sizes", "1,2,9", "--draws", "3", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["linear_probe", str(data), *options])
    assert script.main() == 0
    text = (out / "linear_probe.txt").read_text("utf-8")
    assert text.strip() in capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80

    (study,) = json.loads((out / "linear_probe.json").read_text("utf-8"))
    assert [row["clips"] for row in study["rows"]] == [1, 2, "mean"]
    for row in study["rows"]:
        gap = row["difference"]
        assert gap["value"] == pytest.approx(row["default"]["value"] - row["probe"]["value"])
        assert gap["low"] <= gap["value"] <= gap["high"]
        assert row["default"]["value"] > 0.7
    one, two, mean = (row["default"]["value"] for row in study["rows"])
    assert mean == pytest.approx((one + two) / 2)
    # Two clips of each class are all that the other fold has, so there is one draw of them.
    draws = sorted(str(path.relative_to(out / "tones_builtin")) for path in out.glob("*/*/draw_*"))
    assert draws == [*(f"1_clips/draw_{n}" for n in (1, 2, 3)), "2_clips/draw_1"]

    monkeypatch.setattr(script, "default_proba", None)  # a resumed run computes nothing
    assert script.main() == 0
    assert (out / "linear_probe.txt").read_text("utf-8") == text


def test_draws_of_the_probe_keep_recordings_apart(tmp_path: Path) -> None:
    script = load_script("linear_probe")
    names = [f"{c}/{speaker}_{n}.wav" for c in "abc" for speaker in "stuvw" for n in range(3)]
    lines = "\n".join(f"{name},{name[0]},{name[2]}" for name in names)
    folder = touch(tmp_path / "sounds", *names)
    (folder / "labels.csv").write_text(f"path,category,group\n{lines}\n", "utf-8")
    manifest = open_source(folder / "labels.csv")
    planned = script.measurements(manifest, [1, 4, 12], 2)
    assert {one.fold for one in planned} == {1, 2, 3, 4, 5}
    for one in planned:
        learnt, tested = ({manifest.clips[i].group for i in k} for k in (one.train, one.test))
        assert len(tested) == 1
        assert not learnt & tested
        assert len(one.train) == 3 * one.size
    assert sum(one.size == 4 for one in planned) == 10
    assert sum(one.size == 12 for one in planned) == 5


def test_the_timeline_of_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("timeline")
    monkeypatch.setattr(script, "CLIPS", 2)
    monkeypatch.setattr("sys.argv", ["timeline.py", str(tmp_path / "timeline.png")])
    assert script.main() == 0
    assert (tmp_path / "timeline.png").stat().st_size > 10_000
    assert "1 recording, 10 s" in capsys.readouterr().out


def test_planted_faults_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    script = load_script("planted_faults")
    for name, value in (("TIMES", 1), ("COPIED", 1), ("TABLE_CLIPS", 6)):
        monkeypatch.setattr(script, name, value)
    lines = ["path,category,group,fold"]
    for number in range(42):
        course = np.sin(np.arange(2 * RATE) * (number + 1) / 5000)
        colour = np.random.default_rng(number).normal(0, 0.3, 8)
        samples = np.convolve(noise(2, number, RATE) * course, colour, "same")
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE)
        lines.append(f"{number}.wav,{'abc'[number % 3]},{number},{number % 2}")
    (tmp_path / "data.csv").write_text("\n".join(lines), "utf-8")
    arguments = [str(tmp_path / "data.csv"), "--out", str(tmp_path / "out"), "--draws", "1"]
    monkeypatch.setattr("sys.argv", ["planted_faults.py", *arguments])
    assert script.main() == 0
    said = capsys.readouterr().out
    assert "other findings of unchanged sounds: small_class" in said
    rows = [line.strip("| ").split(" | ") for line in said.splitlines() if line.startswith("| ")]
    counts = {kind: (int(planted), int(found)) for kind, planted, found in rows[1:]}
    kinds = {kind.removeprefix("near copy: ") for kind in counts}
    assert {one.__name__ for one in (*script.FAULTS, *script.NEAR)} < kinds
    assert {"listing", "copies_across_folds", "similar_labels"} < kinds
    assert kinds <= {*KINDS, *(change.__name__ for change in script.NEAR)}
    chance = {"mains_hum", "near copy: all_together"}  # depend on the sound
    assert {kind for kind, (planted, found) in counts.items() if planted > found} <= chance


def test_the_table_of_explanations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(write_tones(tmp_path / "tones"), tmp_path / "tones.csv")
    script = load_script("explanations")
    options = ["--out", str(tmp_path / "out"), "--backbone", "builtin", "--clips", "3", "4"]
    methods = ["--methods", "mask", "energy", "random"]
    monkeypatch.setattr("sys.argv", ["explanations", str(table), *options, *methods])
    assert script.main() == 0
    first = capsys.readouterr().out
    rows = [line.split(" | ") for line in first.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| map", "| mask", "| energy", "| random"]
    assert {row[1] for row in rows[1:]} == {"4"}
    monkeypatch.setattr(script, "row_of", None)  # the scores are read from the folder
    assert script.main() == 0
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if line.startswith("| ")] == [
        " | ".join(row) for row in rows
    ]


def test_means_and_intervals_of_explanations_by_hand() -> None:
    script = load_script("explanations")
    rows = [{"group": group, "x": value} for group, value in zip("aabb", (0, 1, 0, 1), strict=True)]
    assert script.mean_of(rows, "x") == 0.5
    assert script.interval(rows, "x") == (0.5, 0.5)  # recordings are drawn, and both are alike
    low, high = script.interval([{"group": str(n), "x": n % 2} for n in range(100)], "x")
    assert (low, high) == pytest.approx((0.4, 0.6), abs=0.03)
