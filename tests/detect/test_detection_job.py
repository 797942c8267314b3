"""Jobs over folders of recordings: what is read again, which files there are, clear errors."""

from __future__ import annotations

import csv
import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import fake_detector
import numpy as np
import pytest
import soundfile
from fake_detector import FakeDetector, job

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.data.readers.folder import read_folder
from sonotype.data.validate import Rules
from sonotype.detect import recording_writer
from sonotype.detect.job_folder import LEDGER, LOCK, output_errors
from sonotype.detect.ledger import Ledger

ODD_NAMES = (
    "Nächte 夜.wav",
    "a'b;c,d\"e.wav",
    " .x y .wav",
    "-n.wav",
    "n" * 240 + ".wav",
    "%s~.wav",
)


def write_sound(path: Path, seconds: float = 1.0, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(8000 * seconds))
    soundfile.write(path, samples, 8000)
    return path


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    for index, name in enumerate(("a/1.wav", "a/2.wav", "b/1.wav")):
        write_sound(folder / name, 2, seed=index)
    return folder


def table(out: Path) -> list[tuple[str, str, str]]:
    """Folder and name, label and error of each row."""
    with (out / "events.csv").open(newline="", encoding="utf-8") as stream:
        return [
            ("/".join(Path(row["file"]).parts[-2:]), row["label"], row["error"])
            for row in csv.DictReader(stream)
        ]


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_rows_are_in_the_order_of_the_inputs(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job([sounds / "b"], out)
    summary = job([sounds / "b" / "1.wav", sounds / "a"], out)
    assert [row[0] for row in table(out)] == ["b/1.wav"] * 2 + ["a/1.wav"] * 2 + ["a/2.wav"] * 2
    assert (summary.recordings, summary.detected, summary.seconds) == (3, 2, 6.0)
    assert summary.events.total() == 6


def test_nothing_is_read_twice(sounds: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", FakeDetector()
    first = job([sounds], out, clips=True)
    before = {path: path.read_bytes() for path in map(out.joinpath, files(out))}
    second = job([sounds], out, clips=True, detector=again)
    assert again.read == []
    assert (first.detected, second.detected) == (3, 0)
    assert first.events == second.events
    assert {path: path.read_bytes() for path in map(out.joinpath, files(out))} == before


def test_a_changed_recording_is_read_again(sounds: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", FakeDetector()
    job([sounds], out, clips=True, formats=("csv", "audacity"))
    write_sound(sounds / "a" / "1.wav", 3, seed=9)
    job([sounds], out, clips=True, formats=("csv", "audacity"), detector=again)
    assert again.read == [sounds / "a" / "1.wav"]
    fresh = tmp_path / "fresh"
    job([sounds], fresh, clips=True, formats=("csv", "audacity"))
    assert files(out) == files(fresh)
    assert all(
        (out / name).read_bytes() == (fresh / name).read_bytes()
        for name in files(out)
        if name not in (LEDGER, LOCK)
    )


@pytest.mark.parametrize("other", [{"size": True}, {"modified": True}])
def test_size_and_time_of_modification_are_compared(
    sounds: Path, tmp_path: Path, other: dict[str, bool]
) -> None:
    out, again, path = tmp_path / "out", FakeDetector(), sounds / "a" / "1.wav"
    job([sounds], out)
    status = path.stat()
    if "size" in other:
        path.write_bytes(path.read_bytes() + b"\0\0")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
    job([sounds], out, detector=again)
    assert again.read == [path]


def test_other_options_replace_everything(sounds: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", FakeDetector("_x")
    job([sounds], out, clips=True)
    job([sounds], out, clips=True, detector=again)
    assert len(again.read) == 3
    assert all(label.endswith("_x") for _, label, _ in table(out))
    assert all("_x" in name for name in files(out / "clips"))


def test_other_outputs_need_no_reading(sounds: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", FakeDetector()
    job([sounds], out)
    job([sounds], out, clips=True, formats=("raven", "textgrid"), table="per-file", detector=again)
    assert again.read == []
    assert files(out / "labels") == [
        f"{name}{suffix}"
        for name in ("a/1.wav", "a/2.wav", "b/1.wav")
        for suffix in (".Table.1.selections.txt", ".TextGrid")
    ]
    assert len(files(out / "clips")) == 6
    assert len(table(out)) == 6  # the table of the first start stays, and stays correct


def test_a_picture_needs_the_scores(sounds: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", FakeDetector()
    job([sounds], out, picture=False)
    assert not (out / "pictures").exists()
    job([sounds], out, detector=again)
    assert len(again.read) == 3
    assert (out / "pictures/a/1.wav.png").read_text() == "2 2"


def test_another_common_folder_moves_the_files(sounds: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", FakeDetector()
    job([sounds / "a"], out, clips=True, formats=("audacity",))
    assert "1.wav.audacity.txt" in files(out / "labels")
    job([sounds], out, clips=True, formats=("audacity",), detector=again)
    assert again.read == [sounds / "b" / "1.wav"]
    fresh = tmp_path / "fresh"
    job([sounds], fresh, clips=True, formats=("audacity",))
    assert files(out) == files(fresh)


def test_deleted_label_files_come_back_and_deleted_clips_do_not(
    sounds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job([sounds], out, clips=True, formats=("audacity",))
    clip, label = out / "clips" / files(out / "clips")[0], out / "labels/a/1.wav.audacity.txt"
    clip.unlink()
    label.unlink()
    job([sounds], out, clips=True, formats=("audacity",))
    assert label.exists()
    job([sounds], out, clips=True, formats=("audacity", "raven"), table="per-file")
    assert not clip.exists()


def test_a_removed_recording_leaves_the_tables_only(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job([sounds], out, formats=("csv", "audacity"))
    (sounds / "a" / "1.wav").unlink()
    summary = job([sounds], out, formats=("csv", "audacity"))
    assert summary.others == 1
    assert {row[0] for row in table(out)} == {"a/2.wav", "b/1.wav"}
    assert (out / "labels/a/1.wav.audacity.txt").exists()
    assert job([sounds], out, formats=("csv", "audacity"), prune=True).others == 1
    assert files(out / "labels") == ["a/2.wav.audacity.txt", "b/1.wav.audacity.txt"]
    assert files(out / "pictures") == ["a/2.wav.png", "b/1.wav.png"]
    assert job([sounds], out).others == 0


def test_a_missing_recording_that_is_named_keeps_its_result(sounds: Path, tmp_path: Path) -> None:
    """Its disk may not be connected."""
    out, gone, again = tmp_path / "out", sounds / "a" / "1.wav", FakeDetector()
    job([gone], out, clips=True)
    before = files(out), table(out)
    gone.unlink()
    assert job([gone], out, clips=True, detector=again).failures == 0
    assert (files(out), table(out)) == before
    assert again.read == []
    assert job([gone, sounds / "a" / "0.wav"], out, clips=True).failures == 1


def test_a_bad_recording_is_a_row(sounds: Path, tmp_path: Path) -> None:
    out, bad = tmp_path / "out", sounds / "a" / "1.wav"
    bad.write_bytes(b"RIFF no sound")
    summary = job([sounds], out, formats=("csv", "audacity"))
    assert (summary.recordings, summary.failures) == (3, 1)
    assert summary.first_failures[0][0] == bad
    assert [(name, bool(error)) for name, _, error in table(out)] == [
        ("a/1.wav", True), *[("a/2.wav", False)] * 2, *[("b/1.wav", False)] * 2,
    ]  # fmt: skip
    assert "a/1.wav.audacity.txt" not in files(out / "labels")
    again = FakeDetector()
    job([sounds], out, detector=again)
    assert again.read == []
    job([sounds], out, detector=again, retry=True)
    assert again.read == [bad]
    write_sound(bad)
    assert job([sounds], out).failures == 0
    assert [error for _, _, error in table(out)] == [""] * 5


def test_events_before_the_damage_are_kept(sounds: Path, tmp_path: Path) -> None:
    out, cut = tmp_path / "out", sounds / "a" / "1.wav"
    cut.write_bytes(cut.read_bytes()[:20_000])  # 1.2 of 2 s
    job([cut], out, clips=True)
    assert len(table(out)) == 3
    assert len(files(out / "clips")) == 2


def test_known_causes_are_rows(sounds: Path, tmp_path: Path) -> None:
    out, link = tmp_path / "out", sounds / "broken.wav"
    job([sounds], out, causes={link: "is a broken link", sounds / "a" / "1.wav": ""})
    assert table(out)[0] == ("sounds/broken.wav", "", "is a broken link")


def test_clips_are_class_folders(sounds: Path, tmp_path: Path) -> None:
    """With the pattern of the documentation, the clips of a recording are a group."""
    page = Path(__file__).parents[2] / "docs" / "detect.md"
    [pattern] = re.findall("--group-pattern '(.*?)'", page.read_text(encoding="utf-8"))
    out = tmp_path / "out"
    job([sounds], out, clips=True)
    manifest = read_folder(out / "clips", group_pattern=pattern, rules=Rules("crossfit"))
    assert {clip.group for clip in manifest.clips} == {"a_1", "a_2", "b_1"}
    assert len(manifest.clips) == 6


def test_equal_names_do_not_collide(tmp_path: Path) -> None:
    folder, out = tmp_path / "sounds", tmp_path / "out"
    for name in ("x/a.wav", "y/a.wav", "x/a.flac", "x_a.wav"):
        write_sound(folder / name)
    job([folder], out, clips=True, table="per-file", formats=("csv", "jsonl", "parquet", "raven"))
    assert len(files(out / "labels")) == 4 * 4
    assert len(files(out / "clips")) == 4


def test_odd_names(tmp_path: Path) -> None:
    folder, out = tmp_path / "sounds", tmp_path / "out"
    for name in ODD_NAMES:
        write_sound(folder / name)
    if sys.platform == "linux":
        plain = write_sound(folder / "plain.wav")
        plain.rename(Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.wav")))
    number = len(list(folder.iterdir()))
    formats = ("csv", "audacity", "raven", "parquet", "kaleidoscope", "textgrid", "jsonl")
    summary = job([folder], out, clips=True, formats=formats)
    assert (summary.recordings, summary.failures, summary.events.total()) == (number, 0, number)
    assert len(files(out / "clips")) == len(files(out / "pictures")) == number
    again = FakeDetector()
    job([folder], out, clips=True, formats=formats, detector=again, table="per-file")
    assert again.read == []
    assert len(files(out / "labels")) == 7 * number


def test_a_folder_of_other_files_is_refused(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OptionsError, match=r"notes.txt.*new or an empty folder"):
        job([sounds], out)
    assert files(out) == ["notes.txt"]
    (out / "notes.txt").rename(tmp_path / "file")
    with pytest.raises(OptionsError, match="is a file"):
        job([sounds], tmp_path / "file")
    job([sounds], out)  # empty
    (out / "notes.txt").write_text("mine")  # a file of the user in a folder of results
    job([sounds], out, prune=True)
    assert (out / "notes.txt").exists()


def test_damaged_and_other_ledgers(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job([sounds], out)
    content = bytearray((out / LEDGER).read_bytes())
    content[100:3000] = b"\x55" * 2900
    for wrong in (b"no database" * 100, bytes(content)):
        (out / LEDGER).write_bytes(wrong)
        with pytest.raises(SonotypeError, match=rf"{LEDGER}: is damaged.*--out"):
            job([sounds], out)
    (out / LEDGER).unlink()
    with Ledger(out / LEDGER) as ledger:
        ledger._database.execute("PRAGMA user_version = 99")
    with pytest.raises(SonotypeError, match="another version"):
        job([sounds], out)
    with Ledger(out / "x") as ledger:
        ledger._database.execute("PRAGMA application_id = 7")
    (out / "x").replace(out / LEDGER)
    with pytest.raises(SonotypeError, match="another program"):
        job([sounds], out)


def test_an_empty_ledger_of_a_killed_start(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / LEDGER).touch()
    (out / LOCK).touch()
    assert job([sounds], out).detected == 3


def test_the_second_of_two_processes_is_refused(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, fake_detector.__file__, str(out), "5", "{}", str(sounds)]
    with subprocess.Popen(command) as process:
        try:
            while not (out / "events.csv").exists():
                assert process.poll() is None
                time.sleep(0.01)
            with pytest.raises(SonotypeError, match="another sonotype detect"):
                job([sounds], out)
        finally:
            process.kill()
    assert job([sounds], out).detected == 3  # the lock went with its process


def test_a_full_disk_is_a_clear_error(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write = recording_writer.write_recording_file

    def full(path: Path, *rest: object) -> None:
        if "b" in path.parts:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(recording_writer, "write_recording_file", full)
        with pytest.raises(SonotypeError, match=r"No space left.*same command again"):
            job([sounds], out, formats=("csv", "audacity"))
    again = FakeDetector()
    job([sounds], out, formats=("csv", "audacity"), detector=again)
    assert again.read == [sounds / "b" / "1.wav"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied"),
            ["Permission denied", "allow writing"],
        ),
        (OSError(errno.EROFS, "Read-only", "out/x.csv"), ["x.csv: Read-only", "allow writing"]),
        (OSError(errno.ENOSPC, "No space left"), ["No space left", "free some space", "again"]),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), ["another folder"]),
    ],
)
def test_an_error_of_writing_has_its_own_advice(error: OSError, words: list[str]) -> None:
    with pytest.raises(SonotypeError) as caught, output_errors(Path("out")):
        raise error
    assert all(word in str(caught.value) for word in ["--out out: cannot be written", *words])
    assert ("space" in str(caught.value)) == ("free some space" in words)


def test_a_ledger_that_cannot_be_written_is_an_output_error(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job([sounds], out)
    with Ledger(out / LEDGER) as ledger:
        ledger._database.execute("PRAGMA query_only = 1")
        with pytest.raises(OSError, match="readonly") as caught:
            ledger.own_tables(["events.csv"])
    assert caught.value.errno == errno.EACCES


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not apply")
def test_a_read_only_folder_is_a_clear_error(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    with pytest.raises(SonotypeError, match="cannot be written"):
        job([sounds], out)


def test_unknown_formats() -> None:
    with pytest.raises(OptionsError, match=r"'xls'.*csv"):
        job([], Path("out"), formats=("csv,xls",))


def test_an_interrupted_job_goes_on(sounds: Path, tmp_path: Path) -> None:
    class Interrupted(FakeDetector):
        def detect(self, path: Path, **options: object) -> object:  # type: ignore[override]
            if self.read:
                raise KeyboardInterrupt
            return super().detect(path, **options)  # type: ignore[arg-type]

    out, again = tmp_path / "out", FakeDetector()
    with pytest.raises(KeyboardInterrupt):
        job([sounds], out, detector=Interrupted())
    assert [row[0] for row in table(out)] == ["a/1.wav"] * 2
    job([sounds], out, detector=again)
    assert again.read == [sounds / "a" / "2.wav", sounds / "b" / "1.wav"]
