"""Too little memory: a clear message, and nothing that was done is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import fake_detector
import numpy as np
import pytest
import soundfile
import torch
from fake_detector import FakeDetector
from small_models import write_model
from training_data import RATE, SMALL, tone, write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import SonotypeError, cause_of, is_memory_error
from sonotype.training.dataset import LabelledWaveforms

SPARE = (1, 20)
"""Megabytes that a process gets after its model is loaded; each needs more than 50."""


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    return write_tones(tmp_path / "tones", clips=4)


def test_a_sound_for_which_memory_is_missing_is_a_row(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "model.safetensors")
    from sonotype.inference import classifier

    decode = classifier.load_for_clip

    def fail(source: Any, *arguments: Any, **options: Any) -> Any:
        if Path(source).name == "hum_2.wav":
            raise MemoryError
        return decode(source, *arguments, **options)

    monkeypatch.setattr(classifier, "load_for_clip", fail)
    out = tmp_path / "found.csv"
    assert run(["predict", str(model), str(tones), "--format=csv", "--out", str(out)]) == 3
    rows = out.read_text("utf-8").splitlines()[1:]
    assert len(rows) == 16
    assert [row for row in rows if row.endswith("not enough memory")] == [
        row for row in rows if "hum_2" in row
    ]


def test_a_detection_ends_and_goes_on(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, out = FakeDetector.detect, tmp_path / "out"

    def fail(self: FakeDetector, path: Path, **options: Any) -> Any:
        if len(self.read) == 3:
            raise MemoryError
        return detect(self, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FakeDetector, "detect", fail)
        with pytest.raises(MemoryError):
            fake_detector.job([tones], out)
    assert fake_detector.job([tones], out).detected == 16 - 3


def test_the_command_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("sonotype.experiments.pipeline.train", fail)
    assert run(["train", str(tmp_path), "--out", str(tmp_path / "run"), "--no-report"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("error: not enough memory; ")
    assert "--batch-size" in text


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.filterwarnings("ignore")
def test_a_training_survives_a_killed_loading_process(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system kills the process that loads the sounds, in the second epoch."""
    own, read = os.getpid(), LabelledWaveforms.__getitem__

    def killed(self: LabelledWaveforms, keys: list[tuple[int, int]]) -> Any:
        if os.getpid() != own and keys[0][0] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, keys)

    options, threads = SMALL | {"n_augmented": 0, "workers": 1}, threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(LabelledWaveforms, "__getitem__", killed)
        with pytest.raises(SonotypeError, match=r"loading process was killed.*--resume"):
            sonotype.train(tones, tmp_path / "run", **options)
    assert (tmp_path / "run" / "training" / "last.ckpt").exists()
    assert threading.active_count() < threads + 10
    resumed = sonotype.train(None, tmp_path / "run", resume=True)
    whole = sonotype.train(tones, tmp_path / "whole", **options)
    assert resumed.scores == whole.scores


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of much memory, and recordings of 20 s."""
    folder = tmp_path_factory.mktemp("large")
    write_model(folder / "model.safetensors", width=0.5)
    (folder / "field").mkdir()
    for number in range(3):
        path = folder / "field" / f"{number}.wav"
        soundfile.write(path, tone(440.0, number, 20.0), RATE, subtype="PCM_16")
    return folder


def with_little_memory(
    spare: int, command: str, large: Path, *options: object
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that gets some megabytes after its model is loaded."""
    script = Path(__file__).with_name("little_memory.py")
    words = [script, spare, command, large / "model.safetensors", large / "field", *options]
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "NO_COLOR": "1"},
    )


linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")


@linux
@pytest.mark.parametrize("spare", SPARE)
def test_real_shortage_in_a_prediction_of_windows_is_a_row_that_names_it(
    large: Path, tmp_path: Path, spare: int
) -> None:
    out = tmp_path / "found.jsonl"
    words = ("--hop", "0.5", "--format", "jsonl", "--out", out)
    done = with_little_memory(spare, "predict", large, *words)
    assert done.returncode == 3, done.stderr
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    causes = [row["error"] for row in rows if row["error"]]
    assert causes
    for cause in causes:
        assert "not enough memory" in cause
        assert "cannot be read" not in cause, "the sound is not to blame"


@linux
@pytest.mark.parametrize("spare", SPARE)
def test_real_shortage_in_a_prediction_of_clips_ends_the_command(
    large: Path, tmp_path: Path, spare: int
) -> None:
    words = ("--format", "jsonl", "--out", tmp_path / "found.jsonl")
    done = with_little_memory(spare, "predict", large, *words)
    assert_named(done)


@linux
@pytest.mark.parametrize("spare", SPARE)
def test_real_shortage_ends_a_detection_which_goes_on(
    large: Path, tmp_path: Path, spare: int
) -> None:
    assert_named(
        with_little_memory(spare, "detect", large, "--no-picture", "--out", tmp_path / "out")
    )
    words = ["detect", str(large / "model.safetensors"), str(large / "field"), "--no-picture"]
    assert run([*words, "--out", str(tmp_path / "out")]) == 0
    assert run([*words, "--out", str(tmp_path / "whole")]) == 0
    found, expected = (tmp_path / name / "events.csv" for name in ("out", "whole"))
    assert found.read_bytes() == expected.read_bytes()


def assert_named(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1, done.stderr
    assert "unexpected" not in done.stderr
    assert "not enough memory" in done.stderr
    assert "close other programs" in done.stderr


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (np.exceptions.DTypePromotionError("x"), False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("can't start new thread"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), True),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (SonotypeError("out of memory.wav: no such file"), False),
        (soundfile.LibsndfileError(1, "Error opening 'out of memory.wav': "), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_missing_memory_are_known(error: Exception, expected: bool) -> None:
    assert is_memory_error(error) is expected
    assert ("not enough memory" in cause_of(error)) is expected


def test_the_error_of_windows_for_missing_memory() -> None:
    error = OSError(errno.EINVAL, "The paging file is too small for this operation to complete")
    error.winerror = 1455  # type: ignore[attr-defined,unused-ignore]
    assert is_memory_error(error)


def test_a_text_that_may_have_another_cause_is_quoted() -> None:
    text = "could not create a primitive"
    assert cause_of(RuntimeError(text)) == f"probably not enough memory ({text})"
    assert cause_of(MemoryError("std::bad_alloc")) == "not enough memory"
