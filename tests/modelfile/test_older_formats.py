"""Model files of earlier versions load and give the same probabilities as then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sonotype
from sonotype.modelfile.card import FORMAT_VERSION
from sonotype.modelfile.model_file import read_card
from sonotype.modelfile.older_formats import renamed_weights, upgrade

OLDER = Path(__file__).parent / "older"
RATE = 32_000
PROBABILITIES = {
    1: {
        "animal": 0.8231416,
        "machine": 0.1768584,
        "bird": 0.7987699,
        "dog": 0.0243717,
        "drill": 0.1715746,
        "fan": 0.0052838,
    },
    2: {
        "animal": 0.0310779,
        "machine": 0.9689221,
        "bird": 0.0043892,
        "dog": 0.0266887,
        "drill": 0.7017846,
        "fan": 0.2671375,
    },
    3: {
        "animal": 0.4521431,
        "machine": 0.5478569,
        "bird": 0.1973436,
        "dog": 0.1061265,
        "drill": 0.6154534,
        "fan": 0.0810767,
    },
}
PROBABILITIES[4] = PROBABILITIES[3]  # the same weights
PROBABILITIES[5] = {
    "animal": 0.9699290,
    "machine": 0.0300710,
    "bird": 0.8802805,
    "dog": 0.0844844,
    "drill": 0.0213452,
    "fan": 0.0138900,
}
PROBABILITIES[6] = {
    "animal": 0.2515641,
    "machine": 0.7484359,
    "bird": 0.0001244,
    "dog": 0.0055238,
    "drill": 0.7431465,
    "fan": 0.2512052,
}
PROBABILITIES[7] = {
    "animal": 0.0623399,
    "machine": 0.9376601,
    "bird": 0.0041889,
    "dog": 0.0001599,
    "drill": 0.9956355,
    "fan": 0.0000158,
}
"""Probabilities of :func:`rising_tone` from the version that wrote each file."""


def rising_tone() -> np.ndarray:
    time = np.arange(48_000) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * time * (1 + 0.2 * time))).astype(np.float32)


def test_each_format_has_a_file() -> None:
    """A new format adds a file that its version wrote, with the probabilities."""
    names = {path.name for path in OLDER.iterdir()}
    assert names == {f"format_{version}.safetensors" for version in range(1, FORMAT_VERSION + 1)}
    assert sorted(PROBABILITIES) == list(range(1, FORMAT_VERSION + 1))


@pytest.mark.parametrize("version", PROBABILITIES)
def test_probabilities_of_older_formats_are_unchanged(version: int) -> None:
    model = sonotype.load(OLDER / f"format_{version}.safetensors")
    probabilities = model.predict(rising_tone(), RATE).probabilities
    assert list(probabilities) == ["category", "event"]
    found = probabilities["category"] | probabilities["event"]
    assert found == pytest.approx(PROBABILITIES[version], abs=1e-5)


@pytest.mark.parametrize("version", PROBABILITIES)
def test_older_names_are_upgraded(version: int) -> None:
    card = read_card(OLDER / f"format_{version}.safetensors")
    assert (card.options.crop, card.category_source) == ("centre", "events")
    assert card.tta_shifts == (1 if version == 1 else 2)
    assert card.training["options"] == {"crop": "centre", "ema_decay": 0.0, "min_steps": 0}


def test_format_1_has_defaults_for_newer_options() -> None:
    options = read_card(OLDER / "format_1.safetensors").options
    assert (options.pooling, options.pool_blocks, options.event_head) == ("attention", (4,), True)


@pytest.mark.parametrize(
    ("version", "known"), [(1, ()), (2, ()), *((later, (0.25, 0.0)) for later in (3, 4, 5, 6, 7))]
)
def test_formats_1_and_2_lack_the_share_of_clips_without_an_event(
    version: int, known: tuple[float, ...]
) -> None:
    category, event = read_card(OLDER / f"format_{version}.safetensors").heads
    assert (category.name, category.classes) == ("category", ("animal", "machine"))
    assert (event.name, event.classes) == ("event", ("bird", "dog", "drill", "fan"))
    assert (event.parent, event.parent_index) == ("category", (0, 0, 1, 1))
    assert {(head.problem, head.temperature, head.thresholds) for head in (category, event)} == {
        ("single", 1.0, ())
    }
    assert event.unlabelled == known
    assert event.unlabelled_shares(2) == (known or (0.0, 0.0))


def test_labels_without_events_become_one_head() -> None:
    labels = {"categories": ["a", "b"], "events": [], "event_category": [], "event_less": []}
    assert upgrade({"labels": labels}, 4) == {
        "heads": [{"name": "category", "classes": ["a", "b"]}]
    }


def test_scores_of_older_formats_are_by_head() -> None:
    scores = {"category": {"n": 3}, "event": None, "clips": 3}
    upgraded = upgrade({"labels": {"categories": ["a"]}, "scores": scores}, 4)
    assert upgraded["scores"] == {"heads": {"category": {"n": 3}}, "clips": 3}


def test_the_weights_of_the_heads_have_new_names() -> None:
    names = ("category.weight", "event.bias", "embedding.0.weight", "classifiers.level_3.bias")
    assert list(renamed_weights(dict.fromkeys(names))) == [
        "classifiers.category.weight",
        "classifiers.event.bias",
        "embedding.0.weight",
        "classifiers.level_3.bias",
    ]


def test_a_document_of_the_present_format_is_unchanged() -> None:
    values = {"crop": "front", "cut": 1, "training": {"options": {"keep": "last"}}, "labels": 1}
    assert upgrade(values, 5) == values
