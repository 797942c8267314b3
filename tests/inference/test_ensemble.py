"""Several models as one: the mean of their probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_models import CATEGORIES, HEADS, write_model
from training_data import RATE, tone, write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import OptionsError
from sonotype.core.hierarchy import read_parent
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.prediction import Failure, Prediction


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [
        write_model(folder / "a.safetensors", seed=1),
        write_model(folder / "b.safetensors", seed=2, width=0.03),
        write_model(folder / "c.safetensors", seed=3, seconds=2.0),
    ]


def test_a_prediction_is_the_mean_of_the_members(models: list[Path]) -> None:
    samples = tone(700.0, 1)
    together = sonotype.load_ensemble(models).predict(samples, RATE)
    alone = [sonotype.load(path).predict(samples, RATE) for path in models]
    for head, shown in together.probabilities.items():
        for name, value in shown.items():
            by_hand = np.mean([prediction.probabilities[head][name] for prediction in alone])
            assert value == pytest.approx(by_hand, abs=1e-12)
        assert sum(shown.values()) == pytest.approx(1, abs=1e-6)
        assert shown[together.labels[head]] == max(shown.values())
    assert together.labels["event"] == together.label
    assert np.array_equal(together.embedding, alone[0].embedding)


@pytest.mark.parametrize("source", ["events", "both"])
def test_the_category_is_read_from_the_mean_of_each_head(tmp_path: Path, source: str) -> None:
    shares = [(0.2, 1.0), (0.4, 0.0)]
    paths = [
        write_model(
            tmp_path / f"{seed}.safetensors",
            (HEADS[0], replace(HEADS[1], unlabelled=shares[seed])),
            seed=seed,
            card={"category_source": source},
        )
        for seed in range(2)
    ]
    samples = tone(700.0, 1)
    heads = [sonotype.load(path, category_source="head").predict(samples, RATE) for path in paths]
    category, event = (
        np.mean([prediction.proba[head.name] for prediction in heads], axis=0, dtype=np.float64)
        for head in HEADS
    )
    child = replace(HEADS[1], unlabelled=(0.3, 0.5))
    wanted = read_parent(category, event, HEADS[0], child, source)  # type: ignore[arg-type]
    together = sonotype.load_ensemble(paths)
    assert together.heads[1].unlabelled == pytest.approx((0.3, 0.5))
    found = together.predict(samples, RATE)
    np.testing.assert_allclose(found.proba["category"], wanted, atol=1e-9)
    assert found.labels["category"] == HEADS[0].classes[int(wanted.argmax())]
    [window] = together.predict_windows(samples, 0.5, sample_rate=RATE)
    np.testing.assert_allclose(window.proba["category"], wanted, atol=1e-6)


def test_files_have_the_predictions_of_arrays_and_keep_failures(
    models: list[Path], tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    soundfile.write(good, tone(300.0, 2), RATE, subtype="FLOAT")
    bad.write_bytes(b"no sound")
    ensemble = sonotype.load_ensemble(models)
    first, failure, again = ensemble.predict_files([good, bad, good], batch_size=2)
    assert isinstance(first, Prediction)
    assert isinstance(again, Prediction)
    assert isinstance(failure, Failure)
    assert failure.source == str(bad)
    alone = ensemble.predict(good)
    for prediction in (first, again):
        np.testing.assert_allclose(prediction.proba["event"], alone.proba["event"], atol=1e-6)


def test_other_labels_are_refused(models: list[Path], tmp_path: Path) -> None:
    coarse = write_model(tmp_path / "coarse.safetensors", CATEGORIES)
    with pytest.raises(OptionsError, match="labels of model 2 differ"):
        sonotype.load_ensemble([models[0], coarse])
    with pytest.raises(OptionsError, match="at least one model"):
        Ensemble([])


def test_the_commands_take_more_models(
    models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_tones(tmp_path / "tones", clips=2)
    more = [f"--also={path}" for path in models[1:]]
    assert run(["predict", str(models[0]), str(data), *more, "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    ensemble = sonotype.load_ensemble(models)
    paths = sorted(data.rglob("*.wav"))
    predicted = [ensemble.predict(path).label for path in paths]
    assert [row.split(",")[3] for row in rows] == predicted
    accuracy = sonotype.evaluate(models[0], data, also=models[1:]).heads["event"].accuracy.value
    truth = [path.parent.name for path in paths]
    assert accuracy == np.mean([a == b for a, b in zip(truth, predicted, strict=True)])
