"""What a second start does: what is missing or changed, and nothing else."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile
from fake_archive import BLOCK, archive, local, rows, write_sounds
from filelock import FileLock

from sonotype.archive import driver, parts
from sonotype.archive.driver import ERRORS
from sonotype.archive.ledger import NAME
from sonotype.archive.sources import UNKNOWN, SoundFile, list_sources
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
    shutil.copy(one, one.with_name(f"part-{'0' * 32}.parquet"))
    (one.parent / f".x.{'0' * 32}.part").touch()
    other.unlink()
    assert archive([sounds], out).rows > 0
    assert rows(out) == expected
    assert not [path for path in out.rglob("*") if "0" * 32 in path.name or ".part" in path.suffix]


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


def test_a_repeated_unit_with_another_result(tmp_path: Path) -> None:
    """A process is killed in the third file, and the first one vanishes: all others have rows."""
    source = write_sounds(tmp_path / "sounds", 4, sites=1)
    first, _, third, _ = sorted(source.rglob("*.wav"))
    expected = archive([source], tmp_path / "whole")
    wanted = [row for row in rows(tmp_path / "whole") if row["path"] != str(first)]
    options = {"partition": "none"}  # one unit
    found = archive([source], tmp_path / "out", engine=local(), options=options,
                    victim=str(third), removed=str(first))  # fmt: skip
    assert [path for path, _ in found.first_failures] == [first]
    assert found.files == expected.files
    assert [(row["path"], row["start"], row["value"]) for row in rows(tmp_path / "out")] == [
        (row["path"], row["start"], row["value"]) for row in wanted
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_names_with_the_same_text_in_the_rows(tmp_path: Path) -> None:
    source = write_sounds(tmp_path / "sounds", 3, sites=1)
    one, other, _ = sorted(source.rglob("*.wav"))
    one = one.rename(one.with_name("x\udcff.wav"))
    other = other.rename(other.with_name("x\\udcff.wav"))
    archive([source], tmp_path / "out")
    before = len(rows(tmp_path / "out"))
    lost = soundfile.info(io.BytesIO(one.read_bytes())).frames // BLOCK
    one.unlink()
    archive([source], tmp_path / "out")
    assert len(rows(tmp_path / "out")) == before - lost
    assert archive([source], tmp_path / "out").rows == 0


def test_a_damaged_file_of_rows_is_made_again(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    part = sorted(out.rglob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:100])
    for path in sounds.rglob("*.wav"):
        if path.stem.startswith("000"):
            touch(path)
    archive([sounds], out)
    archive([sounds], tmp_path / "anew")
    assert rows(out) == rows(tmp_path / "anew")


def test_files_of_the_user_stay(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    own = out / "rows" / "labels.parquet"
    own.write_bytes(b"of the user")
    archive([sounds], out)
    assert own.read_bytes() == b"of the user"


def test_the_table_of_errors_is_no_source(sounds: Path, tmp_path: Path) -> None:
    (sounds / "bad.wav").write_bytes(b"no sound")
    out = tmp_path / "out"
    archive([sounds], out)
    before = (out / ERRORS).read_bytes()
    with pytest.raises(OptionsError, match=r"errors.csv: lies in --out .*--retry-errors"):
        archive([sounds, out / ERRORS], out)
    assert (out / ERRORS).read_bytes() == before


def test_all_of_pyarrow_that_is_used_is_imported() -> None:
    """In a process that has imported nothing else."""
    program = "from sonotype.archive.schemas import require_pyarrow as p; p().compute.is_in"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_rows_of_files_that_cannot_be_looked_at_now_stay(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder and a file of a disk that fails for a while, beside a file that was removed."""
    out = tmp_path / "out"
    archive([sounds], out)
    removed = sorted((sounds / "site 2").iterdir())[0]
    removed.unlink()
    archive([sounds], tmp_path / "anew")
    failing = sounds / "site 0"
    unknown = sorted((sounds / "site 1").iterdir())[0]

    def listed(*arguments: Any) -> dict[str, SoundFile]:
        found = list_sources(*arguments)
        files = {path: file for path, file in found.items() if Path(path).parent != failing}
        for path in (failing, unknown):
            files[str(path)] = SoundFile(str(path), -1, UNKNOWN, cause="cannot be opened (Input)")
        return files

    monkeypatch.setattr(driver, "list_sources", listed)
    for _ in range(2):
        summary = archive([sounds], out)
        assert rows(out) == rows(tmp_path / "anew")
        assert [path for path, _ in summary.first_failures] == [failing, unknown]
    assert "cannot be opened (Input)" in (out / ERRORS).read_text("utf-8")
    monkeypatch.undo()
    assert archive([sounds], out).failures == 0
    assert rows(out) == rows(tmp_path / "anew")
    assert not (out / ERRORS).exists()
