"""A training that is run once, beside a study."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from training_data import SMALL, write_tones

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.experiments.run_folder import options_of
from sonotype.experiments.run_once import run_or_resume

OPTIONS = SMALL | {"backbone": "compact", "epochs": 1, "checkpoint": "last"}


@pytest.mark.parametrize("protocol", ["grouped", "all"])
def test_it_is_run_once(tmp_path: Path, protocol: str) -> None:
    tones = write_tones(tmp_path / "tones", clips=4)
    run = tmp_path / "run"
    options = OPTIONS | {"protocol": protocol}
    said: list[str] = []
    run_or_resume(tones, run, on_message=said.append, **options)
    assert any(re.match(r"epoch +1/1 ", line) for line in said)
    assert (run / "log.txt").read_text() == "\n".join(said) + "\n"
    assert (run / "scores.json").exists() is (protocol != "all")
    before = (run / "model.safetensors").stat().st_mtime_ns
    again: list[str] = []
    run_or_resume(tones, run, on_message=again.append, **options)
    assert again == [f"{run}: finished before"]
    assert (run / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(OptionsError, match="was run with other epochs; remove it to run the cell"):
        run_or_resume(tones, run, **options | {"epochs": 2})


def test_a_failure_names_the_run(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=4)
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(SonotypeError, match=f"/run: device {missing} is not there; this machine"):
        run_or_resume(tones, tmp_path / "run", **OPTIONS | {"device": missing})


def test_options_of_runs_that_did_not_name_them_yet(tmp_path: Path) -> None:
    taught = options_of({"options": {"teachers": ["x"]}})
    assert taught.teaching.frame_weight == 0.0
    assert taught.system.width == 1.0
    assert options_of({"options": {}}).teaching.frame_weight == 10.0
    named = json.loads(json.dumps(taught.flat() | {"frame_weight": 4.0}))
    assert options_of({"options": named}).teaching.frame_weight == 4.0
