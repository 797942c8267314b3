"""A full disk: a clear error, no damaged file under a final name, and the next start goes on.

The disk is a real one of a few megabytes; on most systems only root can make it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import full_but_for, no_part, refused, small_disk
from publishing import CONTENT, Answer, make_hasty, serve
from safetensors import safe_open
from small_models import flags, write_model
from training_data import write_tones

from sonotype.cli.main import run
from sonotype.core.download import fetch
from sonotype.core.errors import WeightsError


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_disk(tmp_path_factory.mktemp("full") / "disk", 40_000) as folder:
        yield folder


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(autouse=True)
def _empty(disk: Path) -> Iterator[None]:
    yield
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def content(path: Path) -> object:
    """The metadata of a model file, with its digest: the header has any order."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            return file.metadata()
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The files of a run that was not disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    words = ["--no-report", "--no-cache", *flags()]
    assert run(["train", str(tones), "--out", str(folder), *words]) == 0
    names = ("model.safetensors", "scores.json", "predictions.csv", "split.csv")
    return {name: content(folder / name) for name in names}


@pytest.mark.parametrize("free", [8, 250])
def test_a_training_is_resumed(
    tones: Path, whole: dict[str, object], disk: Path, capsys: pytest.CaptureFixture[str], free: int
) -> None:
    folder = disk / "run"
    with full_but_for(disk, free):
        text = refused(
            capsys, folder, "train", tones, "--out", folder, "--no-report", "--no-cache", *flags()
        )
        assert "free" in text
        for name, expected in whole.items():
            if (folder / name).exists():
                assert content(folder / name) == expected, name
        assert no_part(folder)
    begun = (folder / "config.json").exists()
    again = ["--resume", folder] if begun else [tones, "--out", folder, "--no-cache", *flags()]
    assert run(["train", "--no-report", *map(str, again)]) == 0
    assert {name: content(folder / name) for name in whole} == whole


def test_a_full_cache_is_named(
    tones: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("SONOTYPE_CACHE", str(disk / "cache"))
    words = ["train", str(tones), "--out", str(tmp_path / "run"), "--no-report", *flags()]
    with full_but_for(disk, 20):
        assert run(words) == 1
        text = capsys.readouterr().err
        assert str(disk / "cache") in text
        assert "--no-cache" in text
        assert not list(disk.rglob("*.npy"))
        assert not list(disk.rglob("*.part"))
    assert run(["train", "--resume", str(tmp_path / "run"), "--no-report"]) == 0


@pytest.mark.parametrize("free", [0, 60])
def test_a_detection_goes_on(
    tones: Path, model: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    free: int,
) -> None:  # fmt: skip
    words = ["--threshold", "0.2", "--clips", "--no-picture", "--format", "csv,audacity"]
    command = ["detect", str(model), str(tones), *words, "--out"]
    with full_but_for(disk, free):
        text = refused(capsys, disk / "out", *command, disk / "out")
        assert "free some space there, then start the same command again" in text
        assert no_part(disk)
    assert run([*command, str(disk / "out")]) == 0
    assert run([*command, str(tmp_path / "whole")]) == 0
    found, expected = (
        {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in out.rglob("*.*")
            if not path.name.startswith("ledger.")
        }
        for out in (disk / "out", tmp_path / "whole")
    )
    assert found == expected
    assert len(found) > 16


def test_predictions_keep_what_was_written(
    tones: Path, model: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk / "found.jsonl"
    words = ["predict", str(model), str(tones), "--format", "jsonl", "--out", str(out)]
    with full_but_for(disk, 4):
        text = refused(capsys, out, *words)
        assert "free some space" in text
        assert "found.jsonl.part" in text
        assert not out.exists()
        part = disk / "found.jsonl.part"
        complete = part.read_text("utf-8").splitlines()[:-1]  # the last line may be cut off
        assert len(complete) > 2
    assert run([*words, "--force"]) == 0
    assert out.read_text("utf-8").splitlines()[: len(complete)] == complete
    assert not part.exists()


def test_a_model_card_is_complete_or_missing(
    model: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk / "card.md"
    with full_but_for(disk, 0):
        text = refused(capsys, out, "card", model, "--out", out)
        assert "free some space" in text
        assert not out.exists()
        assert no_part(disk)
    assert run(["card", str(model), "--out", str(out)]) == 0


def test_a_download_leaves_nothing(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hasty(monkeypatch)
    body = CONTENT * 20
    with serve() as server:
        address = server.publish("a.bin", Answer(body))
        with (
            full_but_for(disk, 24),
            pytest.raises(WeightsError, match=f"No space left on device.*{disk}"),
        ):
            fetch(address, disk / "a.bin")
        assert list(disk.iterdir()) == []
        assert fetch(address, disk / "a.bin").read_bytes() == body


def test_an_export_is_complete_or_missing(
    model: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    out = disk / "model.onnx"
    with full_but_for(disk, 20):
        refused(capsys, out, "export", model, "--out", out)
        assert not out.exists()
        assert no_part(disk)
    assert run(["export", str(model), "--out", str(out)]) == 0
    older = out.read_bytes()
    with full_but_for(disk, 20):
        refused(capsys, out, "export", model, "--out", out, "--force")
        assert out.read_bytes() == older, "the older file stays"
        assert no_part(disk)
