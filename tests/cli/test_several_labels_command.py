"""Commands with a model whose clips have any number of labels."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import write_model
from training_data import write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.core.types import Head
from sonotype.inference.prediction import Prediction
from sonotype.modelfile.model_file import read_card

CLASSES = ("beep", "buzz", "hum")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=1)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, sounds: Path) -> Path:
    """Thresholds between the probabilities of the sounds, so that some reach them."""
    folder = tmp_path_factory.mktemp("model")
    plain = Head("category", CLASSES, "multi")
    model = sonotype.load(write_model(folder / "plain.safetensors", (plain,)))
    proba = [model.predict(path).proba["category"] for path in sorted(sounds.rglob("*.wav"))]
    limits = tuple(np.median(proba, axis=0).astype(float).tolist())
    head = Head("category", CLASSES, "multi", thresholds=(*limits[:2], 1.0))
    return write_model(folder / "model.safetensors", (head,))


def predictions(model: Path, sounds: Path) -> list[Prediction]:
    loaded = sonotype.load(model)
    return [loaded.predict(path) for path in sorted(sounds.rglob("*.wav"))]


def test_present_classes_in_every_format(
    several: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = predictions(several, sounds)
    joined = [";".join(one.present["category"]) for one in wanted]
    assert len(set(joined)) > 1
    for output_format in ("csv", "jsonl"):
        assert run(["predict", str(several), str(sounds), "--format", output_format]) == 0
        text = capsys.readouterr().out
        rows: list[dict[str, Any]] = (
            list(csv.DictReader(io.StringIO(text)))
            if output_format == "csv"
            else [json.loads(line) for line in text.splitlines()]
        )
        assert [row["category"] for row in rows] == joined
        for row, one in zip(rows, wanted, strict=True):
            best = one.proba["category"].max()
            assert float(row["category_probability"]) == pytest.approx(best)
    assert run(["predict", str(several), str(sounds)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    for line, names, one in zip(lines, joined, wanted, strict=True):
        names = names.replace(";", "; ")
        assert f"{names} {one.proba['category'].max():.2f}".strip() in line
    assert max(map(len, lines)) <= 80


def test_windows(several: Path, sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(sounds.rglob("*.wav"))
    flags = ["--hop", "0.5", "--format", "csv"]
    assert run(["predict", str(several), str(path), *flags]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    [window] = sonotype.load(several).predict_windows(path, 0.5)
    assert row["category"] == ";".join(window.present["category"])
    assert run(["predict", str(several), str(path), "--hop", "0.5"]) == 0


def test_an_ensemble_has_the_mean_thresholds(several: Path, tmp_path: Path, sounds: Path) -> None:
    head = Head("category", CLASSES, "multi", thresholds=(0.0, 0.2, 0.4))
    other = write_model(tmp_path / "other.safetensors", (head,), seed=2)
    ensemble = sonotype.load_ensemble([several, other])
    [own] = read_card(several).heads
    wanted = (np.array(own.thresholds) + np.array(head.thresholds)) / 2
    assert ensemble.heads[0].thresholds == pytest.approx(wanted)
    found = ensemble.predict(next(sounds.rglob("*.wav")))
    assert set(found.present["category"]) == {
        name
        for name, value, limit in zip(CLASSES, found.proba["category"], wanted, strict=True)
        if value >= limit
    }


def test_information(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(several)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    [line] = [one for one in lines if one.startswith("category from")]
    [head] = read_card(several).heads
    assert f"beep {head.thresholds[0]:.2f}" in line
    assert run(["info", str(several), "--json"]) == 0
    [values] = json.loads(capsys.readouterr().out)["heads"]
    assert (values["problem"], values["thresholds"]) == ("multi", list(head.thresholds))


def test_onnx(several: Path, sounds: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    exported = tmp_path / "model.onnx"
    assert run(["export", str(several), "--to", "onnx", "--out", str(exported)]) == 0
    first, second = sonotype.load(several), sonotype.load(exported)
    assert first.heads[0].thresholds == second.heads[0].thresholds
    assert second.heads[0].problem == "multi"
    for path in sounds.rglob("*.wav"):
        one, other = first.predict(path), second.predict(path)
        np.testing.assert_allclose(one.proba["category"], other.proba["category"], atol=1e-5)
