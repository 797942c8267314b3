"""Too little memory: a clear message, and nothing that was done is lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import fake_detector
import pytest
from fake_detector import FakeDetector
from small_models import write_model
from training_data import SMALL, write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import SonotypeError
from sonotype.training.dataset import LabelledWaveforms


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

    options = SMALL | {"n_augmented": 0, "workers": 1}
    with monkeypatch.context() as patch:
        patch.setattr(LabelledWaveforms, "__getitem__", killed)
        with pytest.raises(SonotypeError, match=r"loading process was killed.*--resume"):
            sonotype.train(tones, tmp_path / "run", **options)
    assert (tmp_path / "run" / "training" / "last.ckpt").exists()
    assert threading.active_count() < 20
    resumed = sonotype.train(None, tmp_path / "run", resume=True)
    whole = sonotype.train(tones, tmp_path / "whole", **options)
    assert resumed.scores == whole.scores
