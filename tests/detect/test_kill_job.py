"""A job that is killed again and again ends with the same files as one that is not."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import fake_detector
import numpy as np
import pytest
import soundfile
from fake_detector import FakeDetector, job
from kill_steps import Steps

from sonotype.detect.job_folder import LEDGER, LOCK
from sonotype.detect.ledger import Ledger

FILES, KILLS = 40, 10
OPTIONS = {"formats": ["csv,jsonl,audacity,raven"], "clips": True, "margin": 0.05}


def write_sounds(folder: Path, number: int) -> Path:
    generator = np.random.default_rng(1)
    for index in range(number):
        path = folder / f"site {index % 3}" / f"{index:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = 1 + index % 3
        soundfile.write(path, generator.uniform(-0.5, 0.5, 8000 * seconds), 8000)
    return folder


def contents(out: Path) -> dict[str, bytes]:
    """All files except the ledger, whose bytes depend on its history."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in (LEDGER, LOCK)
    }


def rows(table: Path) -> Counter[tuple[str, ...]]:
    with table.open(newline="", encoding="utf-8") as stream:
        return Counter(map(tuple, csv.reader(stream)))


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_kills_at_random_moments(tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", FILES)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    job([sounds], whole, **OPTIONS)
    script = fake_detector.__file__
    command = [
        sys.executable, script, str(out), "0.1", json.dumps(OPTIONS), str(sounds),
    ]  # fmt: skip
    generator = random.Random(2)
    killed, stages = 0, set()
    while killed < KILLS:
        process = subprocess.Popen(command)
        wait_for(out / "events.csv", process)
        before = len(rows(out / "events.csv"))
        stages.add(before)
        if killed % 2:  # the next start has more, however busy the machine is
            wait_for_more(out / "events.csv", before, process)
        time.sleep(generator.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the job ended before it was killed"
        killed += 1
    assert len(stages) > KILLS // 2  # it does go on
    assert subprocess.run(command).returncode == 0
    expected, found = rows(whole / "events.csv"), rows(out / "events.csv")
    assert (expected - found).total() == 0, "lost"
    assert (found - expected).total() == 0, "doubled"
    assert contents(out) == contents(whole)


def wait_for(table: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has written the table of its start."""
    begun = time.time()
    while not table.exists() or table.stat().st_mtime < begun:
        assert process.poll() is None
        assert time.time() < begun + 60
        time.sleep(0.002)


def wait_for_more(table: Path, before: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has added rows to its table."""
    end = time.monotonic() + 60
    while len(rows(table)) <= before and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


FIRST: dict[str, Any] = {"formats": ["csv,audacity"], "clips": True, "margin": 0.05}
SECOND: dict[str, Any] = {"formats": ["jsonl,textgrid"], "clips": True, "margin": 0.1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("detector", ["", "_other"], ids=["other files", "other options"])
def test_a_kill_at_each_step_of_a_second_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: str
) -> None:
    """The second start has other files, and in one case another detector."""
    sounds = write_sounds(tmp_path / "sounds", 1)
    job([sounds], tmp_path / "start", **FIRST)
    steps = Steps(monkeypatch, (Ledger, "_execute"))

    def second(out: Path) -> None:
        job([sounds], out, detector=FakeDetector(detector), **SECOND)

    whole, out = tmp_path / "whole", tmp_path / "killed"
    shutil.copytree(tmp_path / "start", whole)
    steps.count = 0
    second(whole)
    number = steps.count
    assert number > 50
    for last in range(1, number + 1, 2):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(tmp_path / "start", out)
        process = os.fork()
        if not process:
            steps.count, steps.last = 0, last
            second(out)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(process, 0)[1])
        second(out)
        assert contents(out) == contents(whole), f"killed at step {last}"
