"""The scripts of the built-in model and of comparisons, in the small; the demo is run by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from heads import labels_of
from script_modules import load_script
from small_models import HEADS, write_model
from soundsets import touch
from training_data import RATE, write_table, write_tones

from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.evaluation.calibration import tempered
from sonotype.evaluation.predictions import Predictions, save_predictions
from sonotype.experiments.grid_plan import read_plan
from sonotype.inference.postprocess import probabilities
from sonotype.modelfile.model_file import load_model

TEMPERATURE = {"category": 2.0, "event": 0.5}


def drawn(probability: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.choice(probability.shape[1], p=row) for row in probability])


def sure_answers(fold: int, count: int = 1500) -> Predictions:
    """Predictions that are calibrated under the temperatures."""
    rng = np.random.default_rng(fold)
    logits = {
        name: 2 * rng.standard_normal((count, n)) for name, n in (("category", 2), ("event", 4))
    }
    requested = {}
    for name, x in logits.items():
        powers = np.exp(x)
        requested[name] = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    true = {name: drawn(tempered(requested[name], TEMPERATURE[name]), rng) for name in requested}
    names = tuple(f"{fold}_{index}.wav" for index in range(count))
    return Predictions(names, names, true, requested, HEADS)


def test_the_built_in_model_is_calibrated_on_answers_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    builtin = load_script("builtin")
    monkeypatch.setattr(builtin, "ASSET", tmp_path / "packed.safetensors")
    file = tmp_path / "study.toml"
    file.write_text(f'folds = [1, 2]\n[rows.{builtin.ROW}]\nsystem = "cbir_4"\n')
    plan = read_plan(file)
    for run in plan.row(builtin.ROW).runs():
        folder = tmp_path / run.folder
        folder.mkdir(parents=True)
        save_predictions(sure_answers(run.fold or 0), folder / "predictions.npz")
    model = write_model(tmp_path / "model.safetensors", backbone="compact", width=0)
    builtin.pack(plan, tmp_path, model)

    before, after = (load_model(path) for path in (model, tmp_path / "packed.safetensors"))
    found = {head.name: head.temperature for head in after[1].heads}
    assert found == pytest.approx(TEMPERATURE, rel=0.1)
    waveform = torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        old, new = before[0](waveform), after[0](waveform)
    proba = probabilities(new.logits, after[1].heads)
    for name, temperature in found.items():
        torch.testing.assert_close(new.logits[name], old.logits[name], rtol=0.02, atol=0.02)
        wanted = (new.logits[name] / temperature).softmax(1)
        torch.testing.assert_close(proba[name], wanted)
    scores = after[1].scores
    assert scores["clips"] == 3000
    assert scores["notes"] == [builtin.SCORES_OF, builtin.NOT_FOR]
    said = capsys.readouterr().out
    assert f"event: temperature {found['event']:.3f}; calibration error" in said
    assert f"{(tmp_path / 'packed.safetensors').stat().st_size:,} bytes" in said
    assert (tmp_path / "packed.safetensors").stat().st_size < builtin.LARGEST


def test_a_model_that_is_too_large_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builtin = load_script("builtin")
    monkeypatch.setattr(builtin, "ASSET", tmp_path / "packed.safetensors")
    monkeypatch.setattr(builtin, "LARGEST", 1000)
    file = tmp_path / "study.toml"
    file.write_text(f'folds = [1, 2]\n[rows.{builtin.ROW}]\nsystem = "cbir_4"\n')
    plan = read_plan(file)
    for run in plan.runs():
        (tmp_path / run.folder).mkdir(parents=True)
        save_predictions(sure_answers(run.fold or 0, 50), tmp_path / run.folder / "predictions.npz")
    model = write_model(tmp_path / "model.safetensors")
    with pytest.raises(SystemExit, match="bytes are more than 1,000"):
        builtin.pack(plan, tmp_path, model)


def test_the_committed_study_tests_each_student_on_what_nobody_of_its_own_has_heard() -> None:
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
