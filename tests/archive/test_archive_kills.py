"""An archive whose processes are killed has the rows of one that is not disturbed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_archive
import pytest
from fake_archive import POISON, archive, local, on_ray, rows, write_sounds
from kill_steps import Steps
from killed_training import descendants
from ray_cluster import light_environment

from sonotype.archive import local_engine, plan
from sonotype.archive.driver import run_archive
from sonotype.core.database import Database

FILES, KILLS = 40, 6
UNIT = 8
"""Files of a unit of jobs whose driver is killed."""

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="no SIGKILL"),
    pytest.mark.filterwarnings("default"),  # Ray and its parts warn
]


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return write_sounds(tmp_path / "sounds", FILES)


@pytest.fixture
def whole(sounds: Path, tmp_path: Path) -> list[dict[str, Any]]:
    archive([sounds], tmp_path / "whole")
    return rows(tmp_path / "whole")


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FILES", 4)


def workers_of_archives() -> list[int]:
    """Processes of the local engine that this process started."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in line or b"ray::MapWorker" in line:
            found.append(pid)
    return found


@contextmanager
def killer(number: int, seed: int, longest: float) -> Iterator[list[int]]:
    """Kill workers at random moments while the block runs; yields those that were killed."""
    generator, stop, killed = random.Random(seed), threading.Event(), list[int]()

    def run() -> None:
        while len(killed) < number and not stop.wait(generator.uniform(0.1, longest)):
            if found := workers_of_archives():
                os.kill(generator.choice(found), signal.SIGKILL)
                killed.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are known on Linux only")
@pytest.mark.usefixtures("small_units")
def test_killed_workers(
    sounds: Path, tmp_path: Path, whole: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_engine, "STARTS", 20)
    with killer(4, 1, 1.5) as killed:
        summary = archive(
            [sounds], tmp_path / "out", engine=local(workers=2, retries=50), delay=0.05
        )
    assert len(killed) > 1
    assert summary.failures == 0
    assert rows(tmp_path / "out") == whole


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are known on Linux only")
@pytest.mark.usefixtures("small_units")
def test_killed_actors(
    sounds: Path, tmp_path: Path, whole: list[dict[str, Any]], cluster: str
) -> None:
    with killer(4, 1, 2.5) as killed:
        summary = archive(
            [sounds], tmp_path / "out", engine=on_ray(workers=2, retries=50), delay=0.1
        )
    assert len(killed) > 1
    assert summary.failures == 0
    assert rows(tmp_path / "out") == whole


def start(out: Path, engine: str, address: str, options: dict[str, Any], source: Path) -> Any:
    argv = [
        sys.executable, fake_archive.__file__, str(out), engine, "2", address,
        json.dumps(options), str(source),
    ]  # fmt: skip
    return subprocess.Popen(argv, start_new_session=True, env=light_environment([]))


def kill_again_and_again(
    out: Path, engine: str, address: str, sounds: Path, longest: float
) -> None:
    """Kill the process that writes, at random moments after some rows; then let it end."""
    generator = random.Random(3)
    options = {"delay": 0.05, "options": {"flush": 0.0}, "files": UNIT}
    stages = set()
    for _ in range(KILLS):
        process = start(out, engine, address, options, sounds)
        begun, before = time.monotonic(), len(list(out.rglob("*.parquet")))
        while process.poll() is None and time.monotonic() < begun + 60:
            if len(list(out.rglob("*.parquet"))) > before:
                break
            time.sleep(0.01)
        time.sleep(generator.uniform(0, longest))
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the job ended before it was killed"
        stages.add(len(list(out.rglob("*.parquet"))))
    assert len(stages) > KILLS // 2  # it does go on
    assert start(out, engine, address, {"files": UNIT}, sounds).wait() == 0


def test_a_killed_driver(tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", 4 * UNIT * KILLS, sites=30)
    archive([sounds], tmp_path / "whole")
    kill_again_and_again(tmp_path / "out", "local", "", sounds, 0.3)
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


def test_a_killed_driver_on_ray(tmp_path: Path, cluster: str) -> None:
    sounds = write_sounds(tmp_path / "sounds", 4 * UNIT * KILLS, sites=30)
    archive([sounds], tmp_path / "whole")
    kill_again_and_again(tmp_path / "out", "ray", cluster, sounds, 0.3)
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_poison_file_is_passed_over(
    sounds: Path, tmp_path: Path, whole: list[dict[str, Any]], engine: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    """It kills its process each time; the other files of its unit are done."""
    poison = sounds / "site 1" / "poison_20240101.wav"
    poison.write_bytes(POISON)
    if engine == "ray":
        request.getfixturevalue("cluster")
        run = on_ray(retries=1)
    else:
        run = local(retries=1)
    summary = archive([sounds], tmp_path / "out", engine=run, options={"retries": 1})
    assert summary.failures == 1
    [[path, cause]] = summary.first_failures
    assert path == poison
    assert "its process ended" in cause
    assert "2 times" in cause
    assert rows(tmp_path / "out") == whole


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_kill_at_each_step_of_a_second_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second start has a new, a changed, a vanished and an unreadable file."""
    monkeypatch.setattr(plan, "FILES", 2)
    sounds = write_sounds(tmp_path / "sounds", 6)
    archive([sounds], tmp_path / "start")
    [changed, vanished, *_] = sorted(sounds.rglob("*.wav"))
    shutil.copy(sorted(sounds.rglob("*.wav"))[4], changed)
    shutil.copy(changed, sounds / "site 2" / "new.wav")
    vanished.unlink()
    (sounds / "site 0" / "bad.wav").write_bytes(b"bad")
    steps = Steps(monkeypatch, (Database, "execute"), (Database, "execute_many"))
    whole, out = tmp_path / "whole", tmp_path / "killed"
    shutil.copytree(tmp_path / "start", whole)
    steps.count = 0
    archive([sounds], whole)
    number = steps.count
    assert number > 50
    for last in range(1, number + 1):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(tmp_path / "start", out)
        process = os.fork()
        if not process:
            steps.count, steps.last = 0, last
            archive([sounds], out)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(process, 0)[1])
        archive([sounds], out)
        assert rows(out) == rows(whole), f"killed at step {last}"
        assert (out / "errors.csv").read_bytes() == (whole / "errors.csv").read_bytes()


def test_ctrl_c_keeps_what_is_complete(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "FILES", 4)
    out, messages = tmp_path / "out", 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal messages
        for message in fake_archive.here(*arguments):
            messages += 1
            if messages == 60:
                raise KeyboardInterrupt
            yield message

    with pytest.raises(KeyboardInterrupt):
        archive([sounds], out, engine=interrupted, options={"flush": 600})
    done = len(rows(out))
    assert 0 < done < 80
    archive([sounds], out)
    archive([sounds], tmp_path / "whole")
    assert rows(out) == rows(tmp_path / "whole")


def test_engines_that_do_nothing_end(sounds: Path, tmp_path: Path) -> None:
    def nothing(*_: Any) -> Any:
        yield from ()

    with pytest.raises(fake_archive.SonotypeError, match="40 rows cannot be done"):
        archive([sounds], tmp_path / "out", engine=nothing)


def test_a_model_that_only_workers_lack(sounds: Path, tmp_path: Path) -> None:
    from sonotype.archive.archive_options import ArchiveOptions
    from sonotype.archive.tasks import TaskSpec

    spec = TaskSpec("predict", ("fake",))
    with pytest.raises(fake_archive.SonotypeError, match="no model in this process"):
        run_archive(
            spec, [sounds], tmp_path / "out", ArchiveOptions(), local(),
            opener=fake_archive.open_in_parent,
        )  # fmt: skip
