"""A training in two processes on the CPU: equal results, one set of files, a killed process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killed_training import descendants
from safetensors.torch import load_file
from started_ranks import run_ranks
from training_data import SMALL, write_tones

from sonotype.core.errors import OptionsError
from sonotype.experiments import processes
from sonotype.experiments.pipeline import train
from sonotype.experiments.run_options import RunOptions
from sonotype.training.history import read_history

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks from a server, reads /proc")

OPTIONS: dict[str, Any] = SMALL | {"epochs": 6}
NOISE = 5e-3
"""Largest difference of losses and probabilities from those of one process; measured: 4e-4.

Adam divides by the size of the gradient, so it amplifies rounding in gradients that are nearly 0.
"""


def flags(options: dict[str, Any]) -> list[str]:
    pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items()]
    return [word for pair in pairs for word in pair] + ["--no-report"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def single(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("single") / "run"
    train(data, folder, **OPTIONS)
    return folder


@pytest.fixture(scope="module")
def shared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The run of two processes, as SLURM starts them."""
    folder = tmp_path_factory.mktemp("shared") / "run"
    arguments = ["train", str(data), "--out", str(folder), *flags(OPTIONS), "--devices", "2"]
    (code, text), (other_code, other_text) = run_ranks(
        "slurm_variables", arguments, folder.parent / "log"
    )
    assert (code, other_code) == (0, 0), text + other_text
    assert "epoch   6/6" in text
    assert other_text == ""
    yield folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same_weights(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return all(torch.equal(one[name], other[name]) for name in one)


def largest_difference(first: Path, second: Path) -> float:
    """Of the losses and scores of all epochs, and of the probabilities on the test set."""
    pairs = zip(read_history(first / "training"), read_history(second / "training"), strict=True)
    losses = [abs(float(a[name]) - float(b[name])) for a, b in pairs for name in a]
    one, other = np.load(first / "predictions.npz"), np.load(second / "predictions.npz")
    names = [name for name in one if name.startswith("proba")]
    return max(*losses, *(float(np.abs(one[name] - other[name]).max()) for name in names))


def test_two_processes_give_the_results_of_one(single: Path, shared: Path) -> None:
    assert largest_difference(single, shared) < NOISE
    assert (single / "split.csv").read_bytes() == (shared / "split.csv").read_bytes()


def test_two_processes_write_the_files_of_one(single: Path, shared: Path) -> None:
    def names(run: Path) -> list[str]:
        return sorted(str(path.relative_to(run)) for path in run.rglob("*"))

    assert names(single) == names(shared)


def test_torchrun_and_two_machines_give_the_same_weights(
    data: Path, shared: Path, tmp_path: Path
) -> None:
    for variables, devices, nodes in (("torchrun_variables", 2, 1), ("hand_variables", 1, 2)):
        run = tmp_path / variables
        sizes = ["--devices", str(devices), "--nodes", str(nodes)]
        arguments = ["train", str(data), "--out", str(run), *flags(OPTIONS), *sizes]
        found = run_ranks(variables, arguments, tmp_path / "log")
        assert [code for code, _ in found] == [0, 0], found
        assert same_weights(run, shared)


@pytest.fixture(scope="module")
def killed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that the command line starts in two processes, of which rank 1 is killed."""
    run = tmp_path_factory.mktemp("killed") / "run"
    arguments = ["train", str(data), "--out", str(run), *flags(OPTIONS), "--devices", "2"]
    command = [sys.executable, "-m", "sonotype", *arguments, "--verbose"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("epoch   2"))
        (other,) = descendants(process.pid)
        os.kill(other, signal.SIGKILL)
        start = time.monotonic()
        text = process.stdout.read()
    assert process.returncode == 1
    assert time.monotonic() - start < 60
    for fact in ("rank 1", "SIGKILL", f"--resume {run}"):
        assert fact in text
    assert not Path(f"/proc/{other}").exists()
    assert not (run / "model.safetensors").exists()
    return run


def test_a_killed_run_is_resumed_by_two_processes(
    killed: Path, shared: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(killed), str(run)], check=True)
    found = run_ranks("slurm_variables", ["train", "--resume", str(run)], tmp_path / "log")
    assert [code for code, _ in found] == [0, 0], found
    assert same_weights(run, shared)


def test_a_killed_run_is_resumed_by_one_process(killed: Path, single: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(killed), str(run)], check=True)
    train(None, run, resume=True, devices=1)
    assert largest_difference(run, single) < NOISE


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({}, ("linear", "devices")),
        ({"recipe": "modern", "evaluation": "crossfit"}, ("crossfit", "devices")),
    ],
)
def test_some_trainings_have_one_process(options: dict[str, Any], facts: tuple[str, ...]) -> None:
    with pytest.raises(OptionsError) as error:
        RunOptions.of(options | {"devices": 2})
    assert all(fact in str(error.value) for fact in facts)


@pytest.mark.parametrize(
    ("variables", "options", "facts"),
    [
        (
            {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"},
            {},
            "4 and nodes to 2",
        ),
        ({"SLURM_NTASKS": "8"}, {"devices": 2, "nodes": 2}, "--nodes 2 --ntasks-per-node 2"),
        ({}, {"nodes": 2}, "torchrun or srun"),
    ],
)  # fmt: skip
def test_options_must_fit_the_processes(
    variables: dict[str, str], options: dict[str, int], facts: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionsError, match=re.escape(facts)):
        processes.place_of(RunOptions.of({"recipe": "modern", **options}).train, tmp_path)


def test_a_notebook_cannot_start_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(OptionsError, match="notebook"):
        processes.own_command()


def test_runs_of_a_study_have_one_process(data: Path, tmp_path: Path) -> None:
    from sonotype.experiments.runner import train_or_resume

    with pytest.raises(Exception, match="devices and nodes"):
        train_or_resume(data, tmp_path / "run", **SMALL, devices=2)


SCRIPT = """
import os, sonotype
if __name__ == "__main__" and "SONOTYPE_STORE" not in os.environ:
    sonotype.train({data!r}, {run!r}, devices=2, **{options!r})
"""


def test_a_process_that_does_not_reach_the_training_ends_it(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    run = tmp_path / "run"
    script.write_text(SCRIPT.format(data=str(data), run=str(run), options=OPTIONS))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert "rank 1 ended without reaching the training; call train" in done.stderr
