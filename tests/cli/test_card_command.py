from __future__ import annotations

from pathlib import Path

import pytest

from sonotype.cli.main import run


def test_the_card_is_printed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["card", str(model)]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("---\n")
    assert output.out.endswith("\n")
    assert output.err == ""


def test_the_card_is_written_once(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "README.md"
    assert run(["card", str(model), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"card: {out}\n"
    run(["card", str(model)])
    assert capsys.readouterr().out == out.read_text(encoding="utf-8")
    assert run(["card", str(model), "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert run(["card", str(model), "--out", str(out), "--force"]) == 0


def test_a_model_is_never_replaced(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = model.read_bytes()
    assert run(["card", str(model), "--out", str(model), "--force"]) == 2
    assert "is an input" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_a_missing_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["card", str(tmp_path / "none.safetensors")]) == 6
    assert "none.safetensors" in capsys.readouterr().err
