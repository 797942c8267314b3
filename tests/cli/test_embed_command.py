"""``sonotype embed``, and archives of ``predict`` and ``detect``."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_archive import rows
from frame_models import write_sound
from small_models import write_model

from sonotype.archive import driver
from sonotype.cli.main import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("embed")
    write_model(root / "model.safetensors")
    for index in range(2):
        (root / "field").mkdir(exist_ok=True)
        write_sound(root / "field" / f"2024013{index}.wav", 3.0)
    return root


def test_embed_and_go_on(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["embed", str(folder / "model.safetensors"), str(folder / "field"), "--out"]
    assert run([*words, str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "2 recordings, 6 s of sound\n" in capfd.readouterr().out
    found = rows(tmp_path / "out")
    assert [row["start"] for row in found] == [0.0, 1.0, 2.0] * 2
    assert [str(row["day"]) for row in found] == ["2024-01-30"] * 3 + ["2024-01-31"] * 3
    assert run([*words, str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "nothing was to do" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "field", "--engine", "local"], "need --out FOLDER"),
        (["predict", "field", "--engine", "local", "--out", "o", "--top", "1"], "--top is not"),
        (["predict", "field", "--segment", "60"], "--segment is for archives"),
        (["predict", "field", "--workers", "2", "--address", "auto", "--out", "o"], "--engine ray"),
        (["predict", "-", "--engine", "local", "--out", "o"], "no standard input"),
        (["detect", "field", "--engine", "local", "--out", "o", "--clips"], "--clips is not"),
        (["detect", "field", "--engine", "local", "--out", "o", "--explain"], "--explain is not"),
        (["detect", "field", "--retry-errors", "--out", "o"], "--retry-errors is for archives"),
        (["embed", "field", "--address", "auto", "--out", "o"], "--address needs --engine ray"),
        (["embed", "field", "--segment", "1", "--out", "o"], "segment"),
        (["embed", "nothing", "--out", "o"], "no such file or folder"),
    ],
)
def test_options_that_do_not_fit(
    folder: Path, words: list[str], message: str,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    assert run(words) == 2
    assert message in capfd.readouterr().err
    assert not (folder / "o").exists()


def test_ctrl_c(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "run_archive", stopped)
    words = ["embed", str(folder / "field"), "--out", str(tmp_path / "out")]
    assert run(words) == 130
    assert "start the same command again to resume" in capfd.readouterr().err


def test_the_table_of_errors_is_no_source(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "errors.csv").write_text("path,error\na.wav,does not exist\n")
    words = ["embed", str(folder / "model.safetensors"), str(tmp_path / "errors.csv")]
    assert run([*words, "--out", str(tmp_path)]) == 2
    assert "--retry-errors" in capfd.readouterr().err
