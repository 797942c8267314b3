"""A model with three levels and a multi head: saved and loaded, clips and shared windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import write_model
from training_data import RATE, tone

from sonotype.core.types import Head, Heads
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load

HEADS: Heads = (
    Head("category", ("high", "low")),
    Head("event", ("beep", "buzz", "hum"), parent="category", parent_index=(0, 1, 1)),
    Head("level_3", ("a", "b", "c", "d"), parent="event", parent_index=(0, 0, 1, 2)),
    Head("tags", ("loud", "near", "wet"), "multi"),
)
TEMPERATURES = (2.5, 1.0, 0.5, 0.75)
TEMPERED = tuple(
    replace(head, temperature=temperature)
    for head, temperature in zip(HEADS, TEMPERATURES, strict=True)
)
SOUND = np.concatenate([tone(hz, seed) for seed, hz in enumerate((200.0, 900.0, 3000.0, 500.0))])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load(write_model(tmp_path_factory.mktemp("plain") / "model.safetensors", HEADS))


@pytest.fixture(scope="module")
def tempered(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """The same weights with temperatures."""
    return load(write_model(tmp_path_factory.mktemp("tempered") / "model.safetensors", TEMPERED))


def test_a_prediction_has_all_heads(plain: Classifier) -> None:
    prediction = plain.predict(SOUND, RATE)
    assert list(prediction.labels) == [head.name for head in HEADS]
    for head in HEADS[:3]:
        assert tuple(prediction.probabilities[head.name]) == head.classes
        assert prediction.proba[head.name].sum() == pytest.approx(1, abs=1e-6)
    assert abs(prediction.proba["tags"].sum() - 1) > 0.05
    assert [head.temperature for head in plain.heads] == [1.0] * 4


def test_the_temperature_divides_the_logits(plain: Classifier, tempered: Classifier) -> None:
    assert tuple(head.temperature for head in tempered.heads) == TEMPERATURES
    with torch.inference_mode():
        logits = plain.engine.system(torch.from_numpy(SOUND[None, :RATE])).logits
    found = tempered.predict(SOUND, RATE).proba
    for head in TEMPERED:
        scaled = logits[head.name][0] / head.temperature
        wanted = scaled.softmax(0) if head.problem == "single" else scaled.sigmoid()
        np.testing.assert_allclose(found[head.name], wanted.numpy(), atol=1e-5)


def test_shared_windows_have_the_temperature_of_clips(
    plain: Classifier, tempered: Classifier
) -> None:
    """Log-probabilities are logits plus a number, and the sigmoid has an inverse."""
    windows = plain.predict_windows(SOUND, 0.5, sample_rate=RATE)
    found = tempered.predict_windows(SOUND, 0.5, sample_rate=RATE)
    count = 0
    for window, prediction in zip(windows, found, strict=True):
        count += 1
        for head in TEMPERED:
            proba = window.proba[head.name].astype(np.float64)
            if head.problem == "single":
                powers = proba ** (1 / head.temperature)
                wanted = powers / powers.sum()
            else:
                wanted = 1 / (1 + (1 / proba - 1) ** (1 / head.temperature))
            np.testing.assert_allclose(prediction.proba[head.name], wanted, atol=1e-5)
    assert count == 7


def test_each_level_is_read_from_the_next_one(plain: Classifier) -> None:
    own = plain.predict(SOUND, RATE).proba
    found = plain.with_options(category_source="events").predict(SOUND, RATE).proba
    a, b, c, d = own["level_3"]
    np.testing.assert_allclose(found["event"], [a + b, c, d], atol=1e-6)
    np.testing.assert_allclose(found["category"], [a + b, c + d], atol=1e-6)
    for name in ("level_3", "tags"):
        np.testing.assert_array_equal(found[name], own[name])


def test_multi_heads_are_read_from_their_own_probabilities(tmp_path: Path) -> None:
    heads = (replace(HEADS[0], problem="multi"), HEADS[1])
    model = load(write_model(tmp_path / "model.safetensors", heads))
    own = model.predict(SOUND, RATE).proba
    found = model.with_options(category_source="events").predict(SOUND, RATE).proba
    np.testing.assert_array_equal(found["category"], own["category"])
