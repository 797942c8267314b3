"""What a second start does: what is missing or changed, and nothing else."""

from __future__ import annotations

import csv
import os
import shutil
import time
from pathlib import Path

import pytest
from fake_archive import archive, rows, write_sounds
from filelock import FileLock

from sonotype.archive import parts
from sonotype.archive.driver import ERRORS
from sonotype.archive.ledger import NAME
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.detect.job_folder import LOCK


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return write_sounds(tmp_path / "sounds", 12)


def touch(path: Path) -> None:
    later = time.time_ns() + 10**9
    os.utime(path, ns=(later, later))


def test_a_second_start_does_nothing(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = archive([sounds], out)
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert (first.files, first.rows, first.failures) == (12, 12, 0)
    assert first.seconds == pytest.approx(0.25 * 24)
    assert archive([sounds], out).rows == 0
    assert files == {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}


def test_new_changed_and_vanished_files(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    new = sounds / "site 0" / "new.wav"
    names = sorted((sounds / "site 0").iterdir())
    changed, vanished = names[0], names[1]
    shutil.copy(sorted((sounds / "site 1").iterdir())[1], changed)
    touch(changed)
    vanished.unlink()
    shutil.copy(names[2], new)
    assert archive([sounds], out).rows == 2
    archive([sounds], tmp_path / "anew")
    assert rows(out) == rows(tmp_path / "anew")


def test_files_of_a_killed_start_and_removed_files(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    expected = rows(out)
    [one, other] = sorted(out.rglob("*.parquet"))[:2]
    shutil.copy(one, one.with_name("part-killed.parquet"))
    (one.parent / f".x.{'0' * 32}.part").touch()
    other.unlink()
    assert archive([sounds], out).rows > 0
    assert rows(out) == expected
    assert not [path for path in out.rglob("*") if "killed" in path.name or ".part" in path.suffix]


def test_errors_are_listed_and_can_be_retried(sounds: Path, tmp_path: Path) -> None:
    bad = sounds / "site 0" / 'bad, "é".wav'
    bad.write_bytes(b"no sound")
    out = tmp_path / "out"
    summary = archive([sounds], out)
    assert summary.failures == 1
    [[path, cause]] = summary.first_failures
    assert path == bad
    assert "not a readable sound" in cause
    with (out / ERRORS).open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == [["path", "error"], [str(bad), cause]]
    assert len(rows(out)) == 24
    assert archive([sounds], out).rows == 0
    assert archive([sounds], out, options={"retry_errors": True}).rows == 1
    shutil.copy(next((sounds / "site 1").iterdir()), bad)
    assert archive([sounds], out).failures == 0
    assert not (out / ERRORS).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "another model, or of other options"),
        ({"options": {"partition": "prefix"}}, "--partition day"),
    ],
)
def test_other_options_need_another_folder(
    sounds: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    archive([sounds], tmp_path / "out")
    before = rows(tmp_path / "out")
    with pytest.raises(OptionsError, match=message):
        archive([sounds], tmp_path / "out", **change)  # type: ignore[arg-type]
    assert rows(tmp_path / "out") == before


def test_sources_may_be_added_and_not_left_out(sounds: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "out", write_sounds(tmp_path / "more", 3)
    archive([sounds], out)
    assert archive([sounds, more], out).rows == 3
    with pytest.raises(OptionsError, match=r"holds rows of .*more"):
        archive([sounds], out)
    assert len(rows(out)) == 24 + 6


def test_one_start_at_a_time_and_only_archives(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    with FileLock(out / LOCK), pytest.raises(SonotypeError, match="another sonotype predict"):
        archive([sounds], out)
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").touch()
    with pytest.raises(OptionsError, match="files of another kind"):
        archive([sounds], other)
    (out / NAME).write_bytes(b"damaged" * 1000)
    with pytest.raises(SonotypeError, match=f"{NAME}: is damaged.*--out"):
        archive([sounds], out)


def test_sounds_in_the_folder_of_the_archive(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="outside of --out"):
        archive([sounds], sounds)


def test_large_results_are_written_while_they_come(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive([sounds], tmp_path / "small")
    monkeypatch.setattr(parts, "LARGE", 1000)
    archive([sounds], tmp_path / "large", options={"flush": 600})
    assert rows(tmp_path / "large") == rows(tmp_path / "small")


def test_a_broken_model_is_an_error(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="fake model is broken"):
        archive([sounds], tmp_path / "out", broken=True)
    assert not (tmp_path / "out").exists()
