"""Sources of archives that cannot be reached for a while: they are not missing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from fake_archive import write_sounds

from sonotype.archive.sources import MISSING, UNKNOWN, below_unlisted, list_sources
from sonotype.core.errors import OptionsError


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return write_sounds(tmp_path / "sounds", 6)


def no_access(monkeypatch: pytest.MonkeyPatch, name: str, function: str, code: int) -> None:
    """Let a function of ``os`` fail for a path that ends with a name, also for root."""
    original = getattr(os, function)

    def failing(path: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(path, str | Path) and str(path).rstrip("/").endswith(name):
            raise OSError(code, os.strerror(code), str(path))
        return original(path, *arguments, **options)

    monkeypatch.setattr(os, function, failing)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_file_that_cannot_be_reached_is_not_missing(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = min(sounds.rglob("*.wav"))
    table = tmp_path / "table.csv"
    table.write_text(f"path\n{path}\n")
    no_access(monkeypatch, path.name, "stat", code)
    for source in (sounds, f"{sounds}/*/*.wav", table, path):
        file = list_sources([source])[str(path)]
        assert (file.stamp, file.size) == (UNKNOWN, -1)
        assert file.cause == f"cannot be opened ({os.strerror(code)})"


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOTDIR])
def test_a_file_that_is_missing(sounds: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    path = min(sounds.rglob("*.wav"))
    no_access(monkeypatch, path.name, "stat", code)
    file = list_sources([sounds])[str(path)]
    assert (file.stamp, file.cause) == (MISSING, "does not exist")


def test_links_to_themselves_are_broken(sounds: Path) -> None:
    (sounds / "loop.wav").symlink_to("loop.wav")
    file = list_sources([sounds])[str(sounds / "loop.wav")]
    assert file.stamp == MISSING


@pytest.mark.parametrize("source", ["", "/*/*.wav", "/**/*.wav", "/site*"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_listed(
    sounds: Path, monkeypatch: pytest.MonkeyPatch, source: str, code: int
) -> None:
    no_access(monkeypatch, "site 1", "scandir", code)
    files = list_sources([f"{sounds}{source}"])
    assert len(files) == 5
    folder = files[str(sounds / "site 1")]
    assert (folder.stamp, folder.cause) == (UNKNOWN, f"cannot be opened ({os.strerror(code)})")
    is_below = below_unlisted(files)
    assert is_below(str(sounds / "site 1" / "x.wav"))
    assert is_below(str(sounds / "site 1" / "a" / "x.wav"))
    assert not is_below(str(sounds / "site 10" / "x.wav"))
    assert not is_below(str(sounds / "site 1"))


def test_a_source_that_cannot_be_listed(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sounds)
    for source, path in ((str(sounds), str(sounds / "x.wav")), (".", "x.wav")):
        with monkeypatch.context() as patch:
            no_access(patch, source, "scandir", errno.EIO)
            files = list_sources([source])
        assert list(files) == [source]
        assert below_unlisted(files)(path)
    assert not below_unlisted(list_sources([sounds]))(str(sounds / "x.wav"))


def test_a_table_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table.csv").write_text("path\na.wav\n")
    no_access(monkeypatch, "table.csv", "stat", errno.EACCES)
    with pytest.raises(OptionsError, match=r"table\.csv: cannot be opened"):
        list_sources([tmp_path / "table.csv"])
