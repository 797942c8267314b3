"""Every recipe and command on a GPU: the same results as on the CPU, up to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from annotated_recordings import write_recordings
from training_data import SMALL

import sonotype
from sonotype.config import SystemOptions
from sonotype.core.types import Head
from sonotype.detect.detector import open_detector
from sonotype.evaluation.predictions import load_predictions
from sonotype.experiments import ensemble_run
from sonotype.experiments.pipeline import train
from sonotype.experiments.tune import TuneOptions, tune
from sonotype.explain.explanation import explain
from sonotype.models.build import build_system

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")

LINEAR: dict[str, Any] = {"backbone": "builtin", "seconds": 1.0}


def probabilities(folder: Path) -> dict[str, np.ndarray]:
    found = load_predictions(folder / "predictions.npz")
    order = np.argsort(found.paths)
    return {name: np.asarray(values)[order] for name, values in found.proba.items()}


@pytest.mark.parametrize("backbone", ["vggish", "mn04"])
def test_front_ends_and_networks(backbone: str) -> None:
    torch.manual_seed(0)
    heads = (Head("category", ("a", "b")),)
    system = build_system(SystemOptions(backbone=backbone, width=0.25), heads).eval()
    seconds = torch.arange(2 * system.sample_rate) / system.sample_rate
    sweep = 0.3 * torch.sin(2 * torch.pi * (100 + 1000 * seconds) * seconds)
    waveforms = torch.stack([sweep, sweep + 0.05 * torch.randn(len(sweep))])
    with torch.inference_mode():
        expected = [x.clone() for x in system.log_mels(waveforms)]
        logits = system(waveforms).logits["category"].clone()
        system = system.cuda()
        found = system.log_mels(waveforms.cuda())
        torch.testing.assert_close(
            system(waveforms.cuda()).logits["category"].cpu(), logits, rtol=1e-3, atol=1e-3
        )
    for one, other in zip(found, expected, strict=True):
        # The logarithm of a quiet band next to a loud one: float32 itself is no more precise.
        torch.testing.assert_close(one.cpu(), other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("ensemble", [False, True])
def test_linear_heads(
    tones: Path, tmp_path: Path, ensemble: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On the CPU, the 400 steps of each of the five networks take minutes.
    short = {"epochs": 2, "min_steps": 20, "n_augmented": 1}
    monkeypatch.setattr(ensemble_run, "MEMBER", {**ensemble_run.MEMBER, **short})
    runs = [tmp_path / device for device in ("cpu", "cuda")]
    for run in runs:
        result = train(tones, run, **LINEAR, ensemble=ensemble, device=run.name)
    for name, values in probabilities(runs[0]).items():
        differences = np.abs(values - probabilities(runs[1])[name])
        assert differences.max() < (0.3 if ensemble else 0.01)  # training on a GPU varies
    sound = next(tones.rglob("*.wav"))
    cpu, cuda = (sonotype.load(result.model, device=name) for name in ("cpu", "cuda"))
    assert cuda.predict(sound).label == cpu.predict(sound).label
    assert explain(cuda, sound).label == explain(cpu, sound).label


def test_gradient_descent_in_mixed_precision(tones: Path, tmp_path: Path) -> None:
    options = SMALL | {"epochs": 4, "patience": 4, "device": "cuda", "precision": "bf16-mixed"}
    result = train(tones, tmp_path / "run", **options)
    assert result.scores["heads"]["category"]["n"] > 0


def test_frames_of_annotated_recordings(tmp_path: Path) -> None:
    site = write_recordings(tmp_path / "site")
    run = train(site, tmp_path / "run", **LINEAR, annotated="whole", device="cuda")
    tune(run.model, site, out=tmp_path / "tuned.safetensors",
         options=TuneOptions(device="cuda"), annotated="whole")  # fmt: skip
    recording = next(site.rglob("*.wav"))
    found = [
        open_detector([tmp_path / "tuned.safetensors"], device=device).detect(recording).events
        for device in ("cpu", "cuda")
    ]
    assert [one.label for one in found[0]] == [one.label for one in found[1]]
    assert found[0]
