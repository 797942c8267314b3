"""Model files of earlier versions load and give the same probabilities as then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sonotype
from sonotype.modelfile.model_file import read_card
from sonotype.modelfile.older_formats import upgrade

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
"""Probabilities of :func:`rising_tone` from the version that wrote each file."""


def rising_tone() -> np.ndarray:
    time = np.arange(48_000) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * time * (1 + 0.2 * time))).astype(np.float32)


@pytest.mark.parametrize("version", PROBABILITIES)
def test_probabilities_of_older_formats_are_unchanged(version: int) -> None:
    model = sonotype.load(OLDER / f"format_{version}.safetensors")
    answer = model.predict(rising_tone(), RATE)
    found = answer.category_probabilities | answer.event_probabilities
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


@pytest.mark.parametrize(("version", "known"), [(1, ()), (2, ()), (3, (0.25, 0.0))])
def test_formats_1_and_2_lack_the_share_of_clips_without_an_event(
    version: int, known: tuple[float, ...]
) -> None:
    labels = read_card(OLDER / f"format_{version}.safetensors").labels
    assert labels.event_less == known
    assert labels.event_less_shares == (known or (0.0, 0.0))


def test_a_document_of_format_4_is_unchanged() -> None:
    values = {"crop": "front", "cut": 1, "training": {"options": {"keep": "last"}}}
    assert upgrade(values, 4) == values
