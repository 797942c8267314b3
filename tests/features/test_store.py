"""The feature store: which rows it computes, runs at the same time, killed runs, limits."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from sonotype.core.errors import SonotypeError
from sonotype.features import store as feature_store
from sonotype.features.cache import shared_store
from sonotype.features.store import FeatureStore

KINDS = {"a": "kind-a", "b": "kind-b"}
PLENTY = 1e9
SIZE = 1000
ROW = 4 * SIZE + 4
"""Bytes of a row of both kinds."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file in use")


class Counted:
    """Computes rows of two kinds from their index alone, and records the indices."""

    def __init__(self, during: Callable[[int], object] = lambda batch: None) -> None:
        self.during = during
        self.indices: list[list[int]] = []

    def __call__(self, indices: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
        self.indices.append(list(indices))
        for first in range(0, len(indices), 2):
            batch = np.array(indices[first : first + 2], np.float32)[:, None]
            yield {"a": batch.repeat(SIZE, axis=1), "b": -batch}
            self.during(first // 2)


def fill(
    root: Path, keys: str, limit: float = PLENTY, compute: Counted | None = None, kind: str = "kind"
) -> dict[str, list[np.ndarray]]:
    """Fill a store with rows of single-letter keys."""
    kinds = {"a": f"{kind}-a", "b": f"{kind}-b"}
    found = FeatureStore(root, limit).fill(kinds, list(keys), compute or Counted())
    time.sleep(0.01)  # so that the times of files differ
    return found


def same(found: Mapping[str, Sequence[np.ndarray]], indices: Sequence[int]) -> None:
    for name, sign in (("a", 1.0), ("b", -1.0)):
        assert [set(row.tolist()) for row in found[name]] == [{sign * n} for n in indices]


def shards(root: Path) -> list[Path]:
    return sorted(root.glob("*.npy"))


def parts(root: Path) -> list[str]:
    return [path.name for path in root.glob("*.part")]


def stored(root: Path) -> list[str]:
    """The keys of each shard of the larger rows."""
    return sorted("".join(feature_store.read_shard(path)) for path in root.glob("kind-a-*.npy"))


def bytes_in(root: Path) -> int:
    total = 0
    for path in [*root.glob("*.npy"), *root.glob("*.part/*.npy")]:
        with suppress(FileNotFoundError):  # another thread removes it
            total += path.stat().st_size
    return total


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(SonotypeError) as caught:
        call()
    return str(caught.value)


# Which rows are computed


def test_only_missing_rows_are_computed(tmp_path: Path) -> None:
    compute = Counted()
    same(fill(tmp_path, "xyz", compute=compute), [0, 1, 2])
    same(fill(tmp_path, "znx", compute=compute), [2, 1, 0])
    same(fill(tmp_path, "ny", compute=compute), [1, 1])
    assert compute.indices == [[0, 1, 2], [1]]
    assert stored(tmp_path) == ["n", "xyz"]


def test_a_repeated_key_is_computed_once(tmp_path: Path) -> None:
    compute = Counted()
    found = fill(tmp_path, "xyx", compute=compute)
    assert len(compute.indices[0]) == 2
    assert found["a"][0][0] == found["a"][2][0] != found["a"][1][0]


def test_a_kind_that_is_stored_is_not_written_again(tmp_path: Path) -> None:
    store, compute = FeatureStore(tmp_path, PLENTY), Counted()
    store.fill(KINDS, ["x", "y"], compute)
    same(store.fill({"a": "kind-a", "b": "other"}, ["x", "y"], compute), [0, 1])
    assert compute.indices == [[0, 1], [0, 1]]
    assert [path.name.rpartition("-")[0] for path in shards(tmp_path)] == [*KINDS.values(), "other"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"#" * len(content),
        lambda content: content[: content.rindex(b"[")] + b'["x"]',
    ],
    ids=["keys", "rows", "empty", "header", "too few keys"],
)
def test_rows_of_a_damaged_shard_are_computed_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    compute = Counted()
    fill(tmp_path, "xy", compute=compute)
    for shard in shards(tmp_path):
        shard.write_bytes(damage(shard.read_bytes()))
    same(fill(tmp_path, "xy", compute=compute), [0, 1])
    assert compute.indices == [[0, 1], [0, 1]]


# Several runs at the same time, and runs that end early


def test_rows_that_two_runs_compute_are_stored_once(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=30)
    compute = Counted(lambda batch: batch or both.wait())
    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(lambda _: fill(tmp_path, "xyz", compute=compute), range(2)):
            same(found, [0, 1, 2])
    assert compute.indices == [[0, 1, 2]] * 2
    assert (stored(tmp_path), parts(tmp_path)) == (["xyz"], [])


FILL = """
import sys, time
from pathlib import Path
import numpy as np
from sonotype.features.store import FeatureStore
def compute(indices):
    yield {"a": np.zeros((1, 4)), "b": np.zeros((1, 1))}
    print("begun", flush=True)
    time.sleep(60)
FeatureStore(Path(sys.argv[1]), 1e9).fill({"a": "kind-a", "b": "kind-b"}, ["z"], compute)
"""


def test_no_run_waits_for_another_and_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILL, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        start = time.monotonic()
        same(fill(tmp_path, "x"), [0])
        assert time.monotonic() - start < 2
        assert len(parts(tmp_path)) == 1, "of the other run, which is alive"
        process.kill()
    assert len(parts(tmp_path)) == 1
    fill(tmp_path, "y")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".npy") == ["lock"]
    assert stored(tmp_path) == ["x", "y"]


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """A lock that another thread holds."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(lock):
            taken.set()
            done.wait(60)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(hold)
        assert taken.wait(10)
        yield
        done.set()


def test_the_wait_for_the_common_lock_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "LOCK_TIMEOUT", 0.1)
    with held(tmp_path / "lock"):
        text = error_of(lambda: fill(tmp_path, "x"))
    for fact in (f"{tmp_path / 'lock'}' could not be acquired", "SONOTYPE_CACHE", "--no-cache"):
        assert fact in text
    same(fill(tmp_path, "x"), [0])


def test_a_pickled_store_has_no_callback(tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(FeatureStore(tmp_path, PLENTY, lambda line: None)))
    assert (copy.root, copy.limit, copy.on_message) == (tmp_path, PLENTY, None)


def reservation(root: Path, size: int) -> Path:
    """The part folder of another run that has reserved ``size`` bytes."""
    (root / "other.part").mkdir()
    with (root / "other.part/reserved").open("wb") as stream:
        stream.truncate(size)
    return root / "other.part"


def test_a_wait_for_space_gives_a_message_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "STALLED", 0.5)
    messages: list[str] = []
    store = FeatureStore(tmp_path, 1e8, messages.append)
    with held(reservation(tmp_path, 100_000_000) / "lock"):
        text = error_of(lambda: store.fill(KINDS, ["x"], Counted()))
    (message,) = messages
    for fact in (str(tmp_path), "waiting", "0.1 of the 0.1 GB", "--cache-gb", "--no-cache"):
        assert fact in message
    for fact in ("reserved 0.1 GB", "written nothing for 0 minutes", "--cache-gb", "--no-cache"):
        assert fact in text
    assert parts(tmp_path) == ["other.part"]


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_jump_of_the_clock_does_not_end_a_wait_for_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """The other run wrote before the clock was set, and its space is free after a while."""
    part, checks = reservation(tmp_path, 100_000_000), 0
    os.utime(part / "reserved", (time.time() - jump,) * 2)
    lock = FileLock(part / "lock")
    lock.acquire()

    def wait(_: float) -> None:
        nonlocal checks
        checks += 1
        if checks == 3:
            lock.release()

    monkeypatch.setattr(feature_store.time, "sleep", wait)
    same(FeatureStore(tmp_path, 1e8).fill(KINDS, ["x"], Counted()), [0])
    assert checks == 3


def test_space_that_a_killed_run_has_reserved_is_free(tmp_path: Path) -> None:
    reservation(tmp_path, 100_000_000)
    messages: list[str] = []
    same(FeatureStore(tmp_path, 1e8, messages.append).fill(KINDS, ["x"], Counted()), [0])
    assert (messages, parts(tmp_path)) == ([], [])


def test_after_a_wait_for_space_the_rows_of_the_other_run_are_used(tmp_path: Path) -> None:
    limit = 3.5 * ROW + 1000
    begun, waiting = threading.Event(), threading.Event()

    def during(batch: int) -> None:
        begun.set()
        assert waiting.wait(30)

    second = Counted()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(fill, tmp_path, "xyz", limit, Counted(during))
        assert begun.wait(30)
        store = FeatureStore(tmp_path, limit, lambda line: waiting.set())
        same(store.fill(KINDS, ["x", "y", "z"], second), [0, 1, 2])
        same(other.result(), [0, 1, 2])
    assert len(second.indices) == 1
    assert stored(tmp_path) == ["xyz"]


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt()])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(batch: int) -> None:
        assert (len(parts(tmp_path)), shards(tmp_path)) == (1, [])
        raise error

    with pytest.raises(type(error)):
        fill(tmp_path, "xyz", compute=Counted(fail))
    assert (shards(tmp_path), parts(tmp_path)) == ([], [])
    same(fill(tmp_path, "xyz"), [0, 1, 2])


def test_an_interrupted_publication_leaves_no_part_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shards that have been moved are complete, so they are kept."""
    moved = feature_store.rename_synced

    def second_fails(part: Path, path: Path) -> None:
        if shards(tmp_path):
            raise KeyboardInterrupt
        moved(part, path)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(feature_store, "rename_synced", second_fails)
        fill(tmp_path, "xy")
    assert (len(shards(tmp_path)), parts(tmp_path)) == (1, [])
    same(fill(tmp_path, "xy"), [0, 1])


# Limits


def test_the_least_recently_used_rows_are_removed(tmp_path: Path) -> None:
    limit = 3.5 * ROW + 1000  # headers and keys need some bytes
    for key in "xyzxw":  # the second x makes y the oldest
        fill(tmp_path, key, limit)
    assert stored(tmp_path) == ["w", "x", "z"]
    assert bytes_in(tmp_path) <= limit


@posix
def test_removed_rows_stay_readable_for_a_running_run(tmp_path: Path) -> None:
    limit = 2.5 * ROW + 2000
    found = fill(tmp_path, "xy", limit)
    fill(tmp_path, "zw", limit)
    assert stored(tmp_path) == ["zw"]
    same(found, [0, 1])


@posix
@pytest.mark.parametrize("by_itself", [True, False])
def test_rows_that_are_removed_while_a_run_computes_others_are_used(
    tmp_path: Path, by_itself: bool
) -> None:
    limit = 6 * ROW + 3000
    fill(tmp_path, "abc", limit)
    keys = "abwxyz" if by_itself else "abw"

    def other_run(batch: int) -> None:
        if not by_itself:
            fill(tmp_path, "1234", limit, kind="other")

    same(fill(tmp_path, keys, limit, Counted(other_run)), range(len(keys)))
    assert "abc" not in stored(tmp_path)


def test_runs_at_the_same_time_keep_the_limit_together(tmp_path: Path) -> None:
    limit = 6.5 * ROW + 3000
    sizes: list[int] = []

    def during(batch: int) -> None:
        time.sleep(0.05)
        sizes.append(bytes_in(tmp_path))

    def run(kind: str) -> None:
        same(fill(tmp_path, "123456", limit, Counted(during), kind), range(6))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, "pq"))
    assert max(*sizes, bytes_in(tmp_path)) <= limit


FILL_ROWS = """
import sys, time
from pathlib import Path
import numpy as np
from sonotype.features.store import FeatureStore
root, limit, size, kind = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def compute(indices):
    for first in range(0, len(indices), 2):
        batch = np.array(indices[first : first + 2], np.float32)[:, None]
        yield {"a": batch.repeat(size, axis=1), "b": -batch}
        time.sleep(0.05)
print("ready", flush=True)
sys.stdin.readline()
for turn in "123":
    keys = [turn + key for key in "abcdef"]
    kinds = {"a": f"{kind}-a", "b": f"{kind}-b"}
    found = FeatureStore(root, limit).fill(kinds, keys, compute)
    assert [float(row[0]) for row in found["a"]] == [0, 1, 2, 3, 4, 5]
    assert [float(row[0]) for row in found["b"]] == [0, -1, -2, -3, -4, -5]
"""


def test_two_processes_keep_the_limit_together(tmp_path: Path) -> None:
    limit = 6.5 * ROW + 3000
    command = [sys.executable, "-c", FILL_ROWS, str(tmp_path), str(limit), str(SIZE)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    both = [subprocess.Popen([*command, kind], text=True, **pipes) for kind in "pq"]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    largest = 0
    while any(process.poll() is None for process in both):
        largest = max(largest, bytes_in(tmp_path))
        time.sleep(0.005)
    for process in both:
        process.communicate(timeout=60)
    assert [process.returncode for process in both] == [0, 0]
    assert 6 * ROW <= max(largest, bytes_in(tmp_path)) <= limit
    assert parts(tmp_path) == []


def test_a_shard_that_cannot_be_removed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "x", 1.5 * ROW + 1000)

    def fail(path: Path) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda path: path.suffix == ".npy" and fail(path))
        fill(tmp_path, "y", 1.5 * ROW + 1000)
    assert stored(tmp_path) == ["x", "y"]


def test_a_run_whose_rows_exceed_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "GIGABYTE", 10 * ROW)
    fill(tmp_path, "x")
    text = error_of(lambda: fill(tmp_path, "xy", 1.4 * ROW))
    for fact in (str(tmp_path), "need 0.2 GB", "may hold 0.1", "--cache-gb", "--n-augmented"):
        assert fact in text
    assert (stored(tmp_path), parts(tmp_path)) == (["x"], [])


def test_too_little_free_space_is_an_error_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("sonotype.features.store.shutil.disk_usage", lambda _: Usage)
    text = error_of(lambda: fill(tmp_path, "xy"))
    for fact in (str(tmp_path), "need 0.0 GB", "0.0 GB are free", "--n-augmented", "--no-cache"):
        assert fact in text
    assert (shards(tmp_path), parts(tmp_path)) == ([], [])


@pytest.mark.parametrize(
    ("step", "number", "cause"),
    [
        ("sync", errno.ENOSPC, "no space left on the disk"),
        ("sync", errno.EACCES, "Permission denied"),
        ("read_shard", errno.EMFILE, "Too many open files"),
    ],
)
def test_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, cause: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, cause)

    if step == "read_shard":
        fill(tmp_path, "xy")
    before = shards(tmp_path)
    monkeypatch.setattr(feature_store, step, fail)
    text = error_of(lambda: fill(tmp_path, "xy"))
    for fact in (str(tmp_path), cause, "SONOTYPE_CACHE", "--no-cache"):
        assert fact in text
    assert (shards(tmp_path), parts(tmp_path)) == (before, [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_a_disk_that_is_full_while_rows_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, *arguments: str) -> object:
        return opened(Path("/dev/full") if path.name.startswith("kind-a") else path, *arguments)

    monkeypatch.setattr(Path, "open", full)
    assert "no space left on the disk" in error_of(lambda: fill(tmp_path, "xy"))
    assert (shards(tmp_path), parts(tmp_path)) == ([], [])


def test_the_folder_of_the_shared_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path))
    store = shared_store(2.5)
    assert (store.root, store.limit) == (tmp_path / "maps", 2.5e9)
    assert not store.root.exists()
