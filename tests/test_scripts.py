"""The scripts that make and judge the built-in model, in the small; the demo is run by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from heads import labels_of
from script_modules import load_script
from small_models import HEADS, write_model
from soundsets import touch
from training_data import RATE

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
