"""Read-only folders: data and models are read from them, and outputs into them are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from disks import read_only
from publishing import CONTENT, Answer, make_hasty, serve
from small_models import flags, write_model
from training_data import write_tones

from sonotype.cli.main import run
from sonotype.core.download import fetch
from sonotype.core.errors import WeightsError

CAUSES = ("Read-only file system", "Permission denied")


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    return write_tones(tmp_path / "tones", clips=4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model" / "model.safetensors")


def test_outputs_are_refused_with_the_folder_and_the_cause(
    tones: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    closed = tmp_path / "closed"
    closed.mkdir()
    train = ["train", str(tones), "--no-report", *flags(), "--out"]
    commands = [
        [*train, str(closed / "run")],
        ["detect", str(model), str(tones), "--out", str(closed / "found")],
        ["predict", str(model), str(tones), "--out", str(closed / "found.csv")],
        ["card", str(model), "--out", str(closed / "card.md")],
    ]
    with read_only(closed):
        for words in commands:
            capsys.readouterr()
            assert run(words) in (1, 2), words[0]
            text = capsys.readouterr().err
            assert words[-1] in text
            assert any(cause in text for cause in CAUSES), text
            assert "unexpected" not in text
        monkeypatch.setenv("SONOTYPE_CACHE", str(closed / "cache"))
        assert run([*train, str(tmp_path / "run")]) == 1
        text = capsys.readouterr().err
        for fact in (str(closed / "cache"), "SONOTYPE_CACHE", "--no-cache"):
            assert fact in text
        assert any(cause in text for cause in CAUSES)
    assert list(closed.iterdir()) == []


def test_a_download_into_a_read_only_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hasty(monkeypatch)
    closed = tmp_path / "closed"
    closed.mkdir()
    with serve() as server, read_only(closed):
        address = server.publish("a.bin", Answer(CONTENT))
        with pytest.raises(WeightsError, match="|".join(CAUSES)):
            fetch(address, closed / "weights" / "deep" / "a.bin")


def test_data_and_models_are_read_from_read_only_folders(
    tones: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with read_only(tones), read_only(model.parent):
        words = ["--no-report", *flags()]
        assert run(["train", str(tones), "--out", str(tmp_path / "run"), *words]) == 0
        assert run(["detect", str(model), str(tones), "--out", str(tmp_path / "found")]) == 0
        assert run(["predict", str(model), str(tones), "--out", str(tmp_path / "p.csv")]) == 0
        assert run(["doctor", str(tones)]) in (0, 4)
    assert "unexpected" not in capsys.readouterr().err


def test_a_read_only_run_is_used_and_scored_elsewhere(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(["train", str(tones), "--out", str(folder), "--no-report", *flags()]) == 0
    with read_only(folder):
        assert run(["predict", str(folder), str(tones), "--out", str(tmp_path / "p.csv")]) == 0
        assert run(["report", str(folder), "--out", str(tmp_path / "report.html")]) == 0
        capsys.readouterr()
        assert run(["report", str(folder)]) in (1, 2)
        text = capsys.readouterr().err
        assert any(cause in text for cause in CAUSES)
        assert "unexpected" not in text
