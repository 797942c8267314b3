"""Runs on tones with linear heads, one for each kind of problem; tests do not change them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from annotated_recordings import write_recordings
from hostile_labels import HOSTILE
from soundfile import write
from training_data import tone, write_tones

import sonotype

OPTIONS = {"backbone": "builtin", "seconds": 1.0, "evaluation": "crossfit"}


@pytest.fixture(scope="session")
def two_levels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Categories and events; one clip is in the folder of another category."""
    root = tmp_path_factory.mktemp("two_levels")
    tones = write_tones(root / "tones", clips=5)
    (tones / "low" / "hum" / "hum_0.wav").rename(tones / "high" / "whistle" / "swapped.wav")
    return sonotype.train(tones, root / "run", **OPTIONS).folder


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels and file names with markup; the first two clips have swapped labels."""
    root = tmp_path_factory.mktemp("hostile")
    rows = []
    for number, (label, hz) in enumerate(HOSTILE.items()):
        for clip in range(5):
            name = f"</script><img src=x onerror=alert({number})> & '{clip}'.wav".replace("/", "∕")
            write(root / name, tone(hz, clip), 16_000)
            rows.append([name, label])
    rows[0][1], rows[5][1] = rows[5][1], rows[0][1]
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["path", "category"], *rows])
    return sonotype.train(root / "clips.csv", root / "run", **OPTIONS).folder


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of annotated recordings, with any number of labels."""
    root = tmp_path_factory.mktemp("windows")
    recordings = write_recordings(root / "recordings", 5, 12.0)
    return sonotype.train(recordings, root / "run", **OPTIONS, annotated="whole").folder


@pytest.fixture(scope="session")
def unscored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without held-out predictions."""
    root = tmp_path_factory.mktemp("unscored")
    tones = write_tones(root / "tones", clips=3)
    return sonotype.train(tones, root / "run", **OPTIONS | {"evaluation": "none"}).folder


@pytest.fixture(scope="session")
def holdout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with test clips that were kept aside, and with sounds of no class."""
    root = tmp_path_factory.mktemp("holdout")
    tones = write_tones(root / "tones", clips=6)
    (tones / "low").rename(tones / "background")
    options = OPTIONS | {"evaluation": "holdout", "test_fraction": 0.34}
    return sonotype.train(tones, root / "run", **options).folder


@pytest.fixture
def curve_folder(tmp_path: Path) -> Path:
    """A finished learning curve."""
    point = {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}
    points = [{"clips_per_class": n, **point} for n in (1, 2, 4)]
    advice = [{"label": "hum", "clips": 4, "error": 0.2, "gain": 1.5}]
    curve = {
        "level": "event", "points": points, "forecast": [{"clips_per_class": 8, **point}],
        "band": points, "more": 20, "advice": advice,
    }  # fmt: skip
    (tmp_path / "curve.json").write_text(json.dumps(curve))
    return tmp_path
