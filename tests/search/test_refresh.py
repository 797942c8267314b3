"""The index of an archive: additions, removals, kills, damage, and several searches at once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from archives import clustered, nearest, windows, write_part
from filelock import FileLock

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.search import graph, refresh
from sonotype.search.flat_files import FlatWriter
from sonotype.search.manifest import read_manifest
from sonotype.search.nearest import SearchableArchive, Wanted, open_archive

QUERY = clustered(1, seed=3).astype(np.float32)


@pytest.fixture(autouse=True)
def small_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small archives have a graph, which grows in several steps, each of them written.

    One thread adds its rows: several ones may leave out a near row, as in any such graph.
    """
    monkeypatch.setattr(graph, "available_cpus", lambda: 1)
    monkeypatch.setattr(refresh, "EXACT_ROWS", 150)
    monkeypatch.setattr(refresh, "GRAPH_SECONDS", 0)
    monkeypatch.setattr(refresh, "COPY_SECONDS", 0)
    monkeypatch.setattr(graph, "CHUNK", 60)


def add(archive: Path, number: int, rows: int = 100) -> Path:
    return write_part(
        archive, f"part-{number}.parquet", windows(f"{number}.wav", rows),
        clustered(rows, seed=number),
    )  # fmt: skip


def expected(numbers: list[int], count: int = 10, rows: int = 100) -> list[tuple[str, float]]:
    all_rows = [row for number in numbers for row in windows(f"{number}.wav", rows)]
    vectors = np.concatenate([clustered(rows, seed=number) for number in numbers])
    return [(path, start) for path, start, _ in nearest(all_rows, vectors, QUERY[0], count)]


def opened(archive: Path, messages: list[str] | None = None) -> SearchableArchive:
    return open_archive(archive, (messages if messages is not None else []).append)


def found(archive: Path, messages: list[str] | None = None) -> list[tuple[str, float]]:
    hits = opened(archive, messages).search(QUERY, Wanted(10)).hits
    return [(hit.path, hit.start) for hit in hits]


def names(archive: Path) -> set[str]:
    return {path.name for path in (archive / "index").iterdir()}


def test_parts_are_added_removed_and_written_again(tmp_path: Path) -> None:
    for number in range(3):
        add(tmp_path, number)
    assert found(tmp_path) == expected([0, 1, 2])
    first = read_manifest(tmp_path / "index")
    assert first is not None
    assert first.graph is not None
    add(tmp_path, 3)
    assert found(tmp_path) == expected([0, 1, 2, 3])
    second = read_manifest(tmp_path / "index")
    assert second is not None
    assert (second.rows, second.tail) == (400, 300), "100 rows are compared one by one"
    (tmp_path / "rows" / "part-1.parquet").unlink()
    assert found(tmp_path) == expected([0, 2, 3])
    third = read_manifest(tmp_path / "index")
    assert third is not None
    assert (third.rows, third.live_rows, third.generation) == (400, 300, first.generation)
    write_part(tmp_path, "part-0.parquet", windows("4.wav", 100), clustered(100, seed=4))
    assert found(tmp_path) == expected([2, 3, 4])
    last = read_manifest(tmp_path / "index")
    assert last is not None
    assert (last.rows, last.live_rows) == (300, 300), "half of the rows were dead"
    assert last.generation != first.generation
    assert len(names(tmp_path)) == 3 + 1 + 1 + 1, "flat files, graph, manifest and lock"


def test_an_index_that_is_up_to_date_is_not_written(tmp_path: Path) -> None:
    add(tmp_path, 0, 200)
    found(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    with FileLock(tmp_path / "index" / "lock"):  # needs no lock either
        assert len(found(tmp_path)) == 10
    lock = tmp_path / "index" / "lock"
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    assert {path: at for path, at in after.items() if path != lock} == {
        path: at for path, at in before.items() if path != lock
    }


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from sonotype.search import {module} as module, refresh, graph, nearest
refresh.EXACT_ROWS, refresh.GRAPH_SECONDS, refresh.COPY_SECONDS, graph.CHUNK = 150, 0, 0, 60
function, calls = module.{name}, 0
def killed(*arguments, **options):
    global calls
    calls += 1
    if calls == {calls}:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*arguments, **options)
module.{name} = killed
nearest.open_archive(Path({archive!r}), print)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
@pytest.mark.parametrize(
    ("module", "name", "calls"),
    [
        ("refresh", "write_manifest", 2), ("refresh", "write_manifest", 6),
        ("flat_files", "unit_length", 3), ("refresh", "save_graph", 2),
    ],
)  # fmt: skip
def test_a_killed_search_loses_only_its_last_step(
    tmp_path: Path, module: str, name: str, calls: int
) -> None:
    for number in range(3):
        add(tmp_path, number)
    script = KILLED.format(
        tests=str(Path(__file__).parent.parent), archive=str(tmp_path), module=module, name=name,
        calls=calls,
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = read_manifest(tmp_path / "index")
    assert before is not None
    assert before.rows > 0
    assert found(tmp_path) == expected([0, 1, 2])
    after = read_manifest(tmp_path / "index")
    assert after is not None
    assert after.generation == before.generation, "it goes on and does not begin again"
    assert (after.rows, after.tail) == (300, 300)


@pytest.mark.parametrize("kind", ["vectors", "rows", "paths", "graph", "manifest"])
@pytest.mark.parametrize("damage", ["removed", "cut", "empty"])
def test_a_damaged_index_is_built_again(tmp_path: Path, kind: str, damage: str) -> None:
    add(tmp_path, 0, 200)
    assert found(tmp_path) == expected([0], rows=200)
    [file] = (tmp_path / "index").glob(f"{kind}*")
    content = file.read_bytes()
    file.unlink()
    if damage != "removed":
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    messages: list[str] = []
    assert found(tmp_path, messages) == expected([0], rows=200)
    assert messages


def test_a_graph_of_wrong_content_is_built_again(tmp_path: Path) -> None:
    add(tmp_path, 0, 200)
    found(tmp_path)
    [file] = (tmp_path / "index").glob("graph*")
    file.write_bytes(b"x" * file.stat().st_size)
    messages: list[str] = []
    assert found(tmp_path, messages) == expected([0], rows=200)
    assert "damaged" in messages[0]


def test_a_damaged_part_is_named_and_the_others_are_searched(tmp_path: Path) -> None:
    for number in range(3):
        add(tmp_path, number)
    part = tmp_path / "rows" / "part-1.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-100])
    archive = opened(tmp_path)
    [failure] = archive.failures
    assert failure.name == "part-1.parquet"
    assert "damaged" in failure.cause
    assert archive.rows == 200
    part.write_bytes(content)
    assert opened(tmp_path).failures == ()
    assert found(tmp_path) == expected([0, 1, 2])


def test_a_part_that_is_damaged_in_its_middle_leaves_nothing(tmp_path: Path) -> None:
    add(tmp_path, 0)
    part = write_part(tmp_path, "part-1.parquet", windows("1.wav", 300), clustered(300, seed=1))
    content = bytearray(part.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    part.write_bytes(content)
    add(tmp_path, 2)
    archive = opened(tmp_path)
    if archive.failures:  # zeros may also decode as numbers
        assert archive.rows == 200
        assert found(tmp_path) == expected([0, 2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda archive: archive.rmdir(), ["no such folder", "sonotype embed"]),
        (lambda archive: (archive.rmdir(), archive.write_text("")), ["is a file"]),
        (lambda archive: None, ["is no archive", "rows"]),
        (lambda archive: (archive / "rows").mkdir(), ["no embeddings yet"]),
        (lambda archive: write_part(archive, "part-0.parquet", [], np.zeros((0, 4))), ["no rows"]),
        (
            lambda archive: ((archive / "rows").mkdir(), (archive / "rows/a.parquet").touch()),
            ["none of its 1 part", "a.parquet", "damaged"],
        ),
    ],
)
def test_folders_that_cannot_be_searched(tmp_path: Path, change: object, words: list[str]) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    assert callable(change)
    change(archive)
    with pytest.raises(SonotypeError) as caught:
        opened(archive)
    assert all(word in str(caught.value) for word in [str(archive), *words])


def test_a_folder_without_rows_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OptionsError):
        opened(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parts_of_two_models_are_not_compared(tmp_path: Path) -> None:
    add(tmp_path, 0)
    write_part(
        tmp_path, "part-1.parquet", windows("1.wav", 2), clustered(2), model="new.onnx",
        model_sha256="1" * 64,
    )  # fmt: skip
    with pytest.raises(SonotypeError) as caught:
        opened(tmp_path)
    assert all(word in str(caught.value) for word in ("part-1", "part-0", "new.onnx", "builtin"))


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "free some space"), (errno.EACCES, "allow writing")]
)
def test_a_disk_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, word: str
) -> None:
    for part in range(3):
        add(tmp_path, part)

    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(FlatWriter, "sync", full)
        with pytest.raises(SonotypeError) as caught:
            opened(tmp_path)
        assert word in str(caught.value)
        assert str(tmp_path / "index") in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr(refresh, "save_graph", full)
        with pytest.raises(SonotypeError, match="cannot be written"):
            opened(tmp_path)
    assert found(tmp_path) == expected([0, 1, 2])


def test_a_search_waits_while_another_one_builds_the_index(tmp_path: Path) -> None:
    add(tmp_path, 0)
    (tmp_path / "index").mkdir()
    lock = FileLock(tmp_path / "index" / "lock")
    lock.acquire()
    messages: list[str] = []
    results: list[list[tuple[str, float]]] = []
    thread = Thread(target=lambda: results.append(found(tmp_path, messages)))
    thread.start()
    until = time.monotonic() + 30
    while not messages and time.monotonic() < until:
        time.sleep(0.01)
    assert "waiting" in messages[0]
    assert not results
    lock.release()
    thread.join(30)
    assert results == [expected([0])]


def test_an_open_archive_stays_usable_while_it_is_built_again(tmp_path: Path) -> None:
    add(tmp_path, 0, 200)
    archive = opened(tmp_path)
    write_part(tmp_path, "part-0.parquet", windows("1.wav", 200), clustered(200, seed=1))
    assert found(tmp_path) == expected([1], rows=200)
    hits = archive.search(QUERY, Wanted(10)).hits
    assert [(hit.path, hit.start) for hit in hits] == expected([0], rows=200)


@pytest.mark.parametrize(
    ("name", "value"),
    [("generation", "../../x"), ("generation", "/x/y"), ("rows", -1), ("rows", 10**30),
     ("features", 0), ("path_bytes", -5), ("graph", ["../../x.usearch", 1, 1]),
     ("parts", [["a", 1, 1, 0, 10**9]]), ("parts", [["a", 1, 1, 0.5, 1]]), ("info", {})],
)  # fmt: skip
def test_a_manifest_of_another_origin_is_not_used(tmp_path: Path, name: str, value: object) -> None:
    """Its names lead out of the folder, or its numbers do not fit; the index is built again."""
    archive = tmp_path / "archive"
    add(archive, 1, rows=200)
    assert found(archive) == expected([1], rows=200)
    path = archive / "index" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    assert found(archive) == expected([1], rows=200)
    assert [one.name for one in tmp_path.iterdir()] == ["archive"]


def test_paths_of_a_damaged_index(tmp_path: Path) -> None:
    add(tmp_path, 1)
    found(tmp_path)
    [paths] = (tmp_path / "index").glob("paths-*.bin")
    paths.write_bytes(b"\xff" * paths.stat().st_size)
    with pytest.raises(SonotypeError, match="index: is damaged; delete this folder"):
        found(tmp_path)
    shutil.rmtree(tmp_path / "index")
    assert found(tmp_path) == expected([1])


@pytest.mark.parametrize("name", ["window_seconds", "hop"])
@pytest.mark.parametrize("value", ["1" + "0" * 400, "1e999", "NaN", "[" * 100_000, "true, 1", "[]"])
def test_a_part_with_odd_values_about_its_windows(tmp_path: Path, name: str, value: str) -> None:
    add(tmp_path, 0)
    odd = add(tmp_path, 1)
    about = {"model": '"m"', "model_sha256": '"0"', "window_seconds": "1", "hop": "1", name: value}
    text = ", ".join(f'"{key}": {one}' for key, one in about.items())
    table = pyarrow.parquet.read_table(odd)
    described = table.replace_schema_metadata({"sonotype": f"{{{text}}}"})
    pyarrow.parquet.write_table(described, odd)
    failures = opened(tmp_path).failures
    assert [failure.name for failure in failures] == [odd.name]
    assert "does not say which model computed it" in failures[0].cause


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.timeout(60)
def test_a_named_pipe_is_no_part(tmp_path: Path) -> None:
    add(tmp_path, 0)
    os.mkfifo(tmp_path / "rows" / "pipe.parquet")
    failures = opened(tmp_path).failures
    assert [(one.name, one.cause) for one in failures] == [
        ("pipe.parquet", "cannot be opened: is no regular file")
    ]
