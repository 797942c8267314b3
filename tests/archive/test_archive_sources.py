"""Sources of archives: folders, patterns, tables and addresses; and partitions."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from fake_archive import archive, rows, values, write_sounds
from sound_files import noise

from sonotype.archive import plan, remote
from sonotype.archive.partitions import UNKNOWN, day_in, partition_of
from sonotype.archive.sources import list_sources
from sonotype.archive.tasks import Row
from sonotype.core.errors import MissingExtraError, OptionsError

pytestmark = pytest.mark.filterwarnings("default")  # the parts of storages warn


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return write_sounds(tmp_path / "sounds", 6)


def test_patterns(sounds: Path) -> None:
    (sounds / "site 1" / "letter.txt").touch()
    assert len(list_sources([f"{sounds}/**/*.wav"])) == 6
    assert len(list_sources([f"{sounds}/site [12]/*"])) == 4
    assert len(list_sources([f"{sounds}/site*"])) == 6
    assert {file.prefix for file in list_sources([f"{sounds}/**/*.wav"]).values()} == {
        "site 0", "site 1", "site 2",
    }  # fmt: skip
    [one] = list_sources([next((sounds / "site 1").glob("*.wav"))]).values()
    assert one.prefix == ""
    assert len(list_sources([f"file://{sounds}"])) == 6


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables(sounds: Path, tmp_path: Path, suffix: str) -> None:
    table = tmp_path / f"list{suffix}"
    names = [str(path.relative_to(tmp_path)) for path in sorted(sounds.rglob("*.wav"))[:3]]
    names.append("sounds/missing.wav")
    if suffix == ".csv":
        with table.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("Path", "note"), *((name, "x") for name in names)])
    else:
        pyarrow.parquet.write_table(pyarrow.table({"path": names}), table)
    summary = archive([table], tmp_path / "out")
    assert (summary.files, summary.failures) == (4, 1)
    assert summary.first_failures[0][1] == "does not exist"
    assert len({row["path"] for row in rows(tmp_path / "out")}) == 3


def test_a_path_that_no_file_can_have(sounds: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.parquet"
    path = str(min(sounds.rglob("*.wav")))
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a\0b/c.wav", path]}), table)
    assert [file.cause for file in list_sources([table]).values()] == ["does not exist", ""]


def test_sources_that_are_none(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, message in (
        (tmp_path / "empty", "contains no sound files"),
        (tmp_path / "nothing", "no such file or folder"),
        (f"{tmp_path}/*.wav", "contains no sound files"),
        ("nosuch://bucket/folder", "Protocol not known"),
    ):
        with pytest.raises(OptionsError, match=message):
            list_sources([source])
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(OptionsError, match="no column for the path"):
        list_sources([table])


def test_a_missing_part_of_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(address: str) -> Any:
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=r"sonotype\[remote\]"):
        list_sources(["gs://bucket/folder"])


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("20240131_063000.WAV", "2024-01-31"),
        ("SITE4_20240131_063000.wav", "2024-01-31"),
        ("2024-01-31 06.30.wav", "2024-01-31"),
        ("20240131063000.wav", "2024-01-31"),
        ("20240230_063000.wav", None),
        ("1234567890.wav", None),
        ("night.wav", None),
    ],
)
def test_days_in_names(name: str, day: str | None) -> None:
    found = day_in(name)
    assert (found and found.isoformat()) == day


def test_partitions(tmp_path: Path) -> None:
    path = PurePosixPath("a/b.wav")
    assert partition_of("day", path, "", 0.0) == "day=1970-01-01"
    assert partition_of("day", path, "", None) == f"day={UNKNOWN}"
    assert partition_of("prefix", path, "", 0.0) == f"prefix={UNKNOWN}"
    assert partition_of("none", path, "x", 0.0) == ""
    odd = ["a/b=c%", "Ünï", "..", "x" * 300, "é" * 200, "\udcff", " a "]
    names = [partition_of("prefix", path, prefix, 0.0) for prefix in odd]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"prefix=[A-Za-z0-9_.~% -]{1,170}", name)
        (tmp_path / name).mkdir()


def test_readers_show_the_partition(sounds: Path, tmp_path: Path) -> None:
    (sounds / "sïte=3").mkdir()
    shutil.copy(next(sounds.rglob("*.wav")), sounds / "sïte=3" / "x.wav")
    shutil.copy(next(sounds.rglob("*.wav")), sounds / "x.wav")
    archive([sounds], tmp_path / "out", options={"partition": "prefix"})
    for row in rows(tmp_path / "out"):
        parts = Path(row["path"]).relative_to(sounds).parts
        assert row["prefix"] == (parts[0] if len(parts) > 1 else None)
    archive([sounds], tmp_path / "none", options={"partition": "none"})
    assert list((tmp_path / "none" / "rows").glob("*.parquet"))


@pytest.mark.skipif(os.name == "nt", reason="names are text")
def test_names_that_are_no_text(sounds: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(sounds) + b"/bad \xff\xfe, name\n.wav")
    shutil.copy(next(sounds.rglob("*.wav")), odd)
    archive([sounds], tmp_path / "out")
    assert archive([sounds], tmp_path / "out").rows == 0
    Path(odd).unlink()
    archive([sounds], tmp_path / "out")
    archive([sounds], tmp_path / "anew")
    assert rows(tmp_path / "out") == rows(tmp_path / "anew")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a bucket in an S3-compatible server on this computer."""
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'sonotype[remote]'")
    import s3fs

    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("recordings")
        yield "s3://recordings"
        s3fs.S3FileSystem.clear_instance_cache()
    running.stop()


def test_an_object_store(
    sounds: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    system = s3fs.S3FileSystem()
    system.put(f"{sounds}/", f"{bucket}/a b/", recursive=True)
    source = f"{bucket}/a b"
    archive([sounds], tmp_path / "local", options={"partition": "prefix"})
    summary = archive([Path(source)], tmp_path / "out", options={"partition": "prefix"})
    assert (summary.files, summary.failures) == (6, 0)
    assert values(tmp_path / "out", source) == values(tmp_path / "local", str(sounds))
    assert {row["prefix"] for row in rows(tmp_path / "out")} == {"site 0", "site 1", "site 2"}
    assert archive([source], tmp_path / "out", options={"partition": "prefix"}).rows == 0
    assert len(list_sources([f"{source}/site 1/*.wav"])) == 2
    [one] = list_sources([f"{source}/site 1/001_20240201_120000.wav"]).values()
    assert one.size > 0
    assert one.modified is not None
    with pytest.raises(OptionsError, match=r"no sound files|does not exist"):
        list_sources([f"{bucket}/nothing"])
    monkeypatch.setattr(remote, "SMALL", 100)  # by a temporary file
    archive([source], tmp_path / "files")
    assert values(tmp_path / "files", source) == values(tmp_path / "out", source)
    system.put(str(next((sounds / "site 0").iterdir())), one.path.removeprefix("s3://"))
    assert archive([source], tmp_path / "out", options={"partition": "prefix"}).rows == 1


def test_ranges_of_a_large_file(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs
    import soundfile

    monkeypatch.setattr(remote, "RANGE", 5000)
    monkeypatch.setattr(plan, "LARGE", 1000)
    sound = tmp_path / "long.wav"
    soundfile.write(sound, noise(3.0, rate=8000)[:, None].repeat(2, axis=1), 8000, subtype="PCM_24")
    s3fs.S3FileSystem().put(str(sound), "recordings/long.wav")
    address = f"{bucket}/long.wav"
    assert plan.read_header(address) == plan.read_header(str(sound)) == (8000, 24_000)
    wav = remote.wav_of(address)
    assert wav is not None
    for start in (0, 7, 23_999):
        found = list(remote.wav_blocks(address, wav, 0, start))
        expected = soundfile.read(sound, dtype="float32")[0].mean(axis=1)[start:]
        assert np.concatenate(found).tolist() == expected.tolist()
        assert max(map(len, found)) <= 5000 // 6
    assert Row.from_json(Row("a\udcff.wav", events=((0.0, 1.0, "x", 0.5),)).to_json()).path


def test_a_recording_of_several_names_is_one(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "links").mkdir()
    first = min(sounds.rglob("*.wav"))
    (tmp_path / "links" / "a.wav").symlink_to(first)
    (tmp_path / "again").symlink_to(sounds)
    table = tmp_path / "table.csv"
    table.write_text(f"path\nlinks/../sounds/{first.relative_to(sounds)}\n")
    monkeypatch.chdir(tmp_path)
    files = list_sources(["sounds", "./sounds", sounds, "links", "again", table, "again/*/*.wav"])
    assert len(files) == 6
    assert all(path.startswith("sounds/") for path in files), "the first name stays"
    assert next(iter(list_sources(["links", "sounds"]))) == "links/a.wav"
    assert archive(["sounds", "./sounds", sounds, table], tmp_path / "out").files == 6
