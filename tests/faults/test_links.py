"""Links in folders that someone else made: nothing behind them is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import fake_detector
import numpy as np
import pytest
from app_projects import tones_project
from archives import clustered, windows, write_part
from fake_archive import archive, write_sounds
from linked_folders import LINK, contents, make_victim

from sonotype.app.project import Project
from sonotype.archive.ledger import NAME
from sonotype.core.database import SUPER_JOURNAL
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.io import file_inside, refuse_links
from sonotype.search.nearest import Wanted, open_archive
from sonotype.serve.problems import ProblemError

LEDGER = "ledger.sqlite"


def moved_behind_a_link(path: Path, place: Path) -> None:
    """Move a file or folder, and leave a link to it."""
    shutil.move(path, place)
    path.symlink_to(place)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return make_victim(tmp_path / "victim")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return write_sounds(tmp_path / "sounds", 4)


def test_names_in_a_folder(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "b").symlink_to(victim)
    (tmp_path / "linked").symlink_to(tmp_path / "out")
    assert file_inside(tmp_path / "linked", "a/x.txt") == tmp_path / "linked/a/x.txt"
    for name in ("a/b/x.txt", "a/b/c/x.txt"):
        with pytest.raises(OptionsError, match=LINK):
            file_inside(tmp_path / "out", name)
    refuse_links(tmp_path / "out")
    with pytest.raises(OptionsError, match=LINK):
        refuse_links(tmp_path / "out", 2)


LABELS = {"formats": ("csv", "audacity"), "clips": True}


@pytest.mark.parametrize("name", ["labels", "clips"])
def test_files_of_a_detection(sounds: Path, tmp_path: Path, victim: Path, name: str) -> None:
    out = tmp_path / "out"
    fake_detector.job([sounds], out, **LABELS)
    kept = victim / "kept"
    moved_behind_a_link(out / name, kept)
    before = contents(victim)
    for sound in sounds.rglob("*.wav"):  # its files are written again
        sound.write_bytes(sound.read_bytes()[:-400])
    with pytest.raises(OptionsError, match=LINK):
        fake_detector.job([sounds], out, **LABELS)
    assert contents(victim) == before


def test_a_ledger_names_files_that_are_not_of_recordings(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake_detector.job([sounds], out, **LABELS)
    (out / "notes.txt").write_text("mine")
    with closing(sqlite3.connect(out / LEDGER)) as database:
        [first] = database.execute("SELECT name FROM files WHERE path != X'' LIMIT 1").fetchone()
        database.execute("UPDATE files SET name = ? WHERE name = ?", (b"notes.txt", first))
        database.commit()
    for sound in sounds.rglob("*.wav"):
        sound.write_bytes(sound.read_bytes()[:-400])
    with pytest.raises(SonotypeError, match="is damaged"):
        fake_detector.job([sounds], out, **LABELS)
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", [LEDGER, f"{LEDGER}-journal"])
def test_ledgers(sounds: Path, tmp_path: Path, victim: Path, name: str) -> None:
    out = tmp_path / "out"
    fake_detector.job([sounds], out)
    path = out / name
    path.touch()
    moved_behind_a_link(path, victim / name)
    before = contents(victim)
    with pytest.raises(OptionsError, match=LINK):
        fake_detector.job([sounds], out)
    assert contents(victim) == before


def with_super_journal(database: Path, named: Path) -> None:
    """Write a journal of SQLite, of which the last record names another file."""
    page = int.from_bytes(database.read_bytes()[16:18], "big")
    name = os.fsencode(named)
    pages = database.stat().st_size // page
    numbers = (0, 1234, pages, 512, page)
    header = SUPER_JOURNAL + b"".join(number.to_bytes(4, "big") for number in numbers)
    record = [(2**30 // page + 1).to_bytes(4, "big"), name]
    record += [len(name).to_bytes(4, "big"), sum(name).to_bytes(4, "big"), SUPER_JOURNAL]
    journal = database.with_name(f"{database.name}-journal")
    journal.write_bytes(header.ljust(512, b"\0") + b"".join(record))


def test_sqlite_removes_the_file_that_a_journal_names(tmp_path: Path, victim: Path) -> None:
    """Without a check: the journal of these tests is one that SQLite follows."""
    path = tmp_path / "some.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (x)")
    with_super_journal(path, victim / "thesis.txt")
    with closing(sqlite3.connect(path)) as database:
        database.execute("SELECT * FROM t").fetchall()
    if (victim / "thesis.txt").exists():
        pytest.skip("this SQLite follows no such journal")
    assert [one.name for one in victim.iterdir()] == ["x.wav"]


@pytest.mark.parametrize("job", [fake_detector.job, archive])
def test_a_journal_names_no_file_of_another_place(
    sounds: Path, tmp_path: Path, victim: Path, job: Callable[..., Any]
) -> None:
    out = tmp_path / "out"
    job([sounds], out)
    [database] = out.glob("*.sqlite")
    with_super_journal(database, victim / "thesis.txt")
    before = contents(victim)
    with pytest.raises(SonotypeError, match="is damaged"):
        job([sounds], out)
    assert contents(victim) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("name", [LEDGER, f"{LEDGER}-journal", f"{LEDGER}-wal"])
def test_a_named_pipe_beside_a_ledger(sounds: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    fake_detector.job([sounds], out)
    (out / name).unlink(missing_ok=True)
    os.mkfifo(out / name)
    with pytest.raises(SonotypeError, match="is damaged"):
        fake_detector.job([sounds], out)


@pytest.mark.parametrize("name", ["rows", "a folder below"])
def test_archives(sounds: Path, tmp_path: Path, victim: Path, name: str) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    path = out / "rows"
    if name != "rows":
        path = path / "site=a"
        path.mkdir()
        shutil.copy(next(out.rglob("*.parquet")), path)
    moved_behind_a_link(path, victim / "rows")
    with closing(sqlite3.connect(out / NAME)) as database:
        database.execute("DELETE FROM parts")  # the Parquet files seem to be left from a kill
        database.commit()
    before = contents(victim)
    with pytest.raises(OptionsError, match=LINK):
        archive([sounds], out)
    assert contents(victim) == before


@pytest.mark.parametrize("name", ["index", "index/vectors-00000000.bin"])
def test_an_index_of_a_search(
    tmp_path: Path, victim: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search() -> None:
        query = clustered(1, seed=3).astype(np.float32)
        open_archive(folder, lambda _: None).search(query, Wanted(3))

    folder = tmp_path / "archive"
    write_part(folder, "part-1.parquet", windows("1.wav", 50), clustered(50, seed=1))
    search()
    [vectors] = (folder / "index").glob("vectors-*.bin")
    path = folder / name if name == "index" else vectors
    moved_behind_a_link(path, victim / path.name)
    before = contents(victim)
    write_part(folder, "part-2.parquet", windows("2.wav", 50), clustered(50, seed=2))
    with pytest.raises(OptionsError, match=LINK):
        search()
    assert contents(victim) == before


def link_incoming(project: Project, victim: Path) -> None:
    project.hidden.mkdir()
    (project.hidden / "incoming").symlink_to(victim)


def link_runs(project: Project, victim: Path) -> None:
    project.hidden.mkdir()
    (project.hidden / "runs").symlink_to(victim)


def link_run(project: Project, victim: Path) -> None:
    project.runs.mkdir(parents=True)
    (project.runs / "2023").symlink_to(victim)


def link_hidden(project: Project, victim: Path) -> None:
    project.hidden.symlink_to(victim)


def link_log(project: Project, victim: Path) -> None:
    project.hidden.mkdir()
    (project.hidden / "training.log").symlink_to(victim / "thesis.txt")


@pytest.mark.parametrize("link", [link_incoming, link_runs, link_run, link_hidden, link_log])
def test_projects_of_the_page(
    tmp_path: Path, victim: Path, link: Callable[[Project, Path], None]
) -> None:
    project = tones_project(tmp_path / "project")
    shutil.rmtree(project.hidden, ignore_errors=True)
    project = Project(project.folder)
    link(project, victim)
    before = contents(victim)
    with pytest.raises(OptionsError, match=LINK):
        project.open()
    with pytest.raises(ProblemError, match=LINK) as problem:  # an answer of the page
        project.set_backbone("mn04")
    assert problem.value.name == "not-possible"
    assert contents(victim) == before
