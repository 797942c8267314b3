"""The clock of the computer jumps by a day at each look at it, while things work and wait."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from fake_detector import FakeDetector, job
from filelock import FileLock
from publishing import CONTENT, Answer, make_hasty, serve
from small_models import write_model
from sound_files import encoded, noise
from training_data import RATE, SMALL, write_tones

import sonotype
from sonotype.core.download import fetch
from sonotype.core.errors import SonotypeError, WeightsError
from sonotype.features import store as feature_store
from sonotype.features.store import FeatureStore

SOURCE = Path(sonotype.__file__).parent
DAY = 86_400.0
CLOCK_READERS = {"core/scratch.py", "live/listener.py"}
"""Files that may read the clock: one compares it with the time of an empty folder, whose removal
its owner notices; the other one dates events."""

READS = ("time.time", "time.time_ns")


@pytest.fixture(autouse=True)
def _jumps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each time differs by two days from the one before."""
    read, jumps = time.time, cycle((DAY, -DAY))

    def jumping() -> float:
        return read() + next(jumps)

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr(time, "time_ns", lambda: int(jumping() * 1e9))
    yield
    assert abs(time.time() - time.time()) > DAY, "the clock jumped to the end"


def test_no_limit_reads_the_clock() -> None:
    """All waits and limits of the source use ``time.monotonic``."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "time.time",
                "time.time_ns",
            ):
                found.add(path.relative_to(SOURCE).as_posix())
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                assert not {"time", "time_ns"} & {name.name for name in node.names}, path
    assert found == CLOCK_READERS


def one_row(indices: object) -> Iterator[dict[str, np.ndarray]]:
    yield {"a": np.zeros((1, 4)), "b": np.zeros((1, 1))}


def test_waits_of_the_feature_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for space ends after its limit, or as soon as there is space."""
    (tmp_path / "other.part").mkdir()
    with (tmp_path / "other.part/reserved").open("wb") as stream:
        stream.truncate(100_000_000)
    lock, checks = FileLock(tmp_path / "other.part/lock"), []
    kinds = {"a": "kind-a", "b": "kind-b"}
    lock.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(feature_store, "STALLED", 0.5)
        begin = time.monotonic()
        with pytest.raises(SonotypeError, match="written nothing"):
            FeatureStore(tmp_path, 1e8).fill(kinds, ["x"], one_row)
        assert 0.5 <= time.monotonic() - begin < 30

    def wait(_: float) -> None:
        checks.append(time.time())
        if len(checks) == 3:
            lock.release()

    monkeypatch.setattr(feature_store.time, "sleep", wait)
    FeatureStore(tmp_path, 1e8).fill(kinds, ["x"], one_row)
    assert len(checks) == 3


def test_the_lock_of_the_feature_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "LOCK_TIMEOUT", 0.5)
    begin = time.monotonic()
    with FileLock(tmp_path / "lock"), pytest.raises(SonotypeError, match="could not be acquired"):
        FeatureStore(tmp_path, 1e9).fill({"a": "kind-a", "b": "kind-b"}, ["x"], one_row)
    assert 0.5 <= time.monotonic() - begin < 30


def test_a_training_and_its_lock(tmp_path: Path) -> None:
    tones, seen = write_tones(tmp_path / "tones", clips=4), []

    def on_message(line: str) -> None:
        if line.startswith("epoch"):
            with pytest.raises(SonotypeError, match="another process"):
                sonotype.train(None, tmp_path / "run", resume=True)
            seen.append(line)

    sonotype.train(tones, tmp_path / "run", on_message=on_message, **SMALL)
    assert len(seen) == SMALL["epochs"]
    seconds = json.loads((tmp_path / "run" / "time.json").read_text())["seconds"]
    assert 0 < seconds < DAY / 2


def test_a_detection(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=2)
    assert job([tones], tmp_path / "out").detected == 8
    again = FakeDetector()
    job([tones], tmp_path / "out", detector=again)
    assert again.read == []


def test_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, and a server that hangs is given up after the limit."""
    make_hasty(monkeypatch)
    with serve() as server:
        address = server.publish("a.bin", Answer(status=503), Answer(CONTENT, pause=0.5))
        assert fetch(address, tmp_path / "a.bin").read_bytes() == CONTENT
        monkeypatch.setattr("sonotype.core.download.TIMEOUT", (2.0, 0.2))
        hanging = server.publish("b.bin", Answer(CONTENT, pause=60))
        begin = time.monotonic()
        with pytest.raises(WeightsError, match="timed out"):
            fetch(hanging, tmp_path / "b.bin")
        assert time.monotonic() - begin < 30


def test_limits_of_the_service(tmp_path: Path) -> None:
    """A request that is served within its time is answered, and one that is too slow is not."""
    pytest.importorskip("fastapi")
    from serving import assert_problem, held_classifier, running

    sound = encoded(noise(1, rate=RATE), RATE, format="WAV", subtype="PCM_16")
    classifier, engine = held_classifier(write_model(tmp_path / "model.safetensors"))
    engine.go.set()
    with running(classifier, timeout=60) as client:
        assert client.post("/v1/classify", content=sound).status_code == 200
    engine.go.clear()
    with running(classifier, timeout=1) as client:
        begin = time.monotonic()
        answer = client.post("/v1/classify", content=sound)
        assert 0.9 <= time.monotonic() - begin < 25
        assert_problem(answer, "took-too-long")
        engine.go.set()


def test_sounds_of_the_page(tmp_path: Path) -> None:
    """A sound is uploaded, and its picture drawn, in a server whose clock jumps."""
    pytest.importorskip("fastapi")
    from sounds_app import sounds_app, upload

    with sounds_app(tmp_path, {}) as client:
        sound = upload(client, "a.wav", encoded(noise(2, rate=RATE), RATE, format="WAV"))
        assert client.get(f"/api/sounds/{sound['id']}/picture").status_code == 200
        assert (
            client.post(f"/api/sounds/{sound['id']}/keep", json={"class": "dog"}).status_code == 201
        )
