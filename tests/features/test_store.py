"""The cache of maps: what hits, what must not, what is shared, what is removed."""

from __future__ import annotations

import contextlib
import errno
import json
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from filelock import FileLock
from torch import Tensor
from training_data import RATE, tone, write_tones

from sonotype.audio.clip import AudioSpec
from sonotype.core.errors import AudioError, SonotypeError
from sonotype.core.types import Clip
from sonotype.data.augment.augmented_copies import Augmentation, Waveforms
from sonotype.data.augment.waveform import Mixing
from sonotype.data.readers.folder import read_folder
from sonotype.features import store as feature_store
from sonotype.features.cache import FeatureCache, frozen_identity, map_kinds, shared_store
from sonotype.features.store import FeatureStore, remove
from sonotype.models.build import cbir_2
from sonotype.models.system import System

CPU = torch.device("cpu")
AUDIO_SPEC = AudioSpec(32_000, seconds=1.0)
PLENTY = 1e9


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    return read_folder(write_tones(tmp_path_factory.mktemp("tones"), clips=2)).clips


def system(seed: int = 0, **arguments: Any) -> System:
    torch.manual_seed(seed)
    options = {"backbone": "mn01", "width": 0.01, "categories": 2, "events": 4}
    return cbir_2(**options | arguments)


class Counted:
    """Rows of two kinds that follow from places alone, and which places were asked for."""

    def __init__(self, size: int = 4) -> None:
        self.size = size
        self.asked: list[list[int]] = []

    def __call__(self, places: Sequence[int]) -> Iterator[Mapping[str, Tensor]]:
        self.asked.append(list(places))
        for first in range(0, len(places), 2):
            some = torch.tensor(places[first : first + 2]).float()[:, None]
            yield {"a": some.expand(-1, self.size), "b": -some}


KINDS = {"a": "kind-a", "b": "kind-b"}


def same(found: Mapping[str, Sequence[np.ndarray]], wanted: Sequence[int], size: int = 4) -> None:
    assert [row.tolist() for row in found["a"]] == [[float(one)] * size for one in wanted]
    assert [row.tolist() for row in found["b"]] == [[-float(one)] for one in wanted]


def shards(root: Path) -> list[Path]:
    found = (one.parent for one in root.glob("*/*/rows.npy"))
    return sorted(one for one in found if one.parent.suffix != ".part")


def leftovers(root: Path) -> list[str]:
    """What lies there beside kinds and locks."""
    return [one.name for one in root.iterdir() if one.suffix in (".part", ".gone")]


# What is there is not computed again


def test_only_what_is_missing_is_computed(tmp_path: Path) -> None:
    compute = Counted()
    same(FeatureStore(tmp_path, PLENTY).fill(KINDS, ["x", "y", "z"], compute), [0, 1, 2])
    # Another run, in another order, with one more: that alone is computed.
    same(FeatureStore(tmp_path, PLENTY).fill(KINDS, ["z", "new", "x"], compute), [2, 1, 0])
    same(FeatureStore(tmp_path, PLENTY).fill(KINDS, ["new", "y"], compute), [1, 1])
    assert compute.asked == [[0, 1, 2], [1]]
    assert len(shards(tmp_path)) == 4


def test_a_sound_that_comes_twice_is_computed_once(tmp_path: Path) -> None:
    compute = Counted()
    found = FeatureStore(tmp_path, PLENTY).fill(KINDS, ["x", "y", "x"], compute)
    assert len(compute.asked[0]) == 2
    assert found["a"][0].tolist() == found["a"][2].tolist() != found["a"][1].tolist()


def test_a_kind_that_another_system_has_is_not_written_again(tmp_path: Path) -> None:
    store, compute = FeatureStore(tmp_path, PLENTY), Counted()
    store.fill(KINDS, ["x", "y"], compute)
    same(store.fill({"a": "kind-a", "b": "other"}, ["x", "y"], compute), [0, 1])
    assert compute.asked == [[0, 1], [0, 1]]
    assert [one.parent.name for one in shards(tmp_path)] == ["kind-a", "kind-b", "other"]


@pytest.mark.parametrize("damage", ["keys", "no list", "short", "other"])
def test_a_damaged_shard_is_computed_anew(tmp_path: Path, damage: str) -> None:
    compute = Counted()
    FeatureStore(tmp_path, PLENTY).fill(KINDS, ["x", "y"], compute)
    for shard in shards(tmp_path):
        if damage == "keys":
            (shard / "keys.json").write_text("[")
        elif damage == "no list":
            (shard / "keys.json").write_text("5")
        elif damage == "short":
            whole = (shard / "rows.npy").read_bytes()
            (shard / "rows.npy").write_bytes(whole[:-4])
        else:
            (shard / "keys.json").write_text('["x"]')
    same(FeatureStore(tmp_path, PLENTY).fill(KINDS, ["x", "y"], compute), [0, 1])
    assert compute.asked == [[0, 1], [0, 1]]


# What must not hit


def recipes(waveforms: Waveforms, versions: int = 4) -> list[str]:
    return [waveforms.recipe(n, v) for n in range(len(waveforms)) for v in range(versions)]


HOW = Augmentation(time_shift=0.3, gain=6.0, n_augmented=4)


@pytest.mark.parametrize(
    ("audio_spec", "how", "seed", "as_recorded"),
    [
        (replace(AUDIO_SPEC, sample_rate=16_000), HOW, 0, False),
        (replace(AUDIO_SPEC, seconds=0.5), HOW, 0, False),
        (replace(AUDIO_SPEC, pad="start"), HOW, 0, False),
        (replace(AUDIO_SPEC, crop="centre"), HOW, 0, False),
        (replace(AUDIO_SPEC, trim=True), HOW, 0, False),
        # What only draws follow from leaves clips as recorded what they are.
        (AUDIO_SPEC, replace(HOW, time_shift=0.2), 0, True),
        (AUDIO_SPEC, replace(HOW, gain=5.0), 0, True),
        (AUDIO_SPEC, replace(HOW, mixing=Mixing(1.0, 6.0, 10.0)), 0, True),
        (AUDIO_SPEC, HOW, 1, True),
    ],
)
def test_another_setting_is_another_sound(
    clips: tuple[Clip, ...], audio_spec: AudioSpec, how: Augmentation, seed: int, as_recorded: bool
) -> None:
    before = recipes(Waveforms(clips, AUDIO_SPEC, HOW, 0))
    after = recipes(Waveforms(clips, audio_spec, how, seed))
    assert len(set(before)) == len(before)
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        assert (one == other) is (as_recorded and number % 4 == 0)


def test_more_versions_are_more_sounds_and_the_others_stay(clips: tuple[Clip, ...]) -> None:
    before = recipes(Waveforms(clips, AUDIO_SPEC, HOW, 0))
    assert recipes(Waveforms(clips, AUDIO_SPEC, replace(HOW, n_augmented=6), 0)) == before


def test_another_place_among_the_clips_is_the_same_draw(clips: tuple[Clip, ...]) -> None:
    turned = Waveforms(clips[1:], AUDIO_SPEC, HOW)
    whole = Waveforms(clips, AUDIO_SPEC, HOW)
    for version in range(4):
        assert turned.recipe(0, version) == whole.recipe(1, version)
        assert np.array_equal(turned.version(0, version), whole.version(1, version))


@pytest.mark.parametrize("how", [{"between_class_mix": 0.7}, {"mixing": Mixing(0.5, 6.0, 10.0)}])
def test_the_second_clip_of_a_version_counts(
    clips: tuple[Clip, ...], tmp_path: Path, how: dict[str, Any]
) -> None:
    """Equal recipes, equal sounds, and the other way round, whatever clip has changed."""
    folder = tmp_path / "tones"
    root = clips[0].path.parents[2]
    shutil.copytree(root, folder)
    here = [replace(one, path=folder / one.path.relative_to(root)) for one in clips]
    augmented = replace(HOW, n_augmented=8, **how)

    def sounds_by_copy() -> dict[tuple[int, int], tuple[str, bytes]]:
        waveforms = Waveforms(here, AUDIO_SPEC, augmented, 3)
        return {
            (n, v): (waveforms.recipe(n, v), waveforms.version(n, v).tobytes())
            for n in range(len(here))
            for v in range(8)
        }

    before = sounds_by_copy()
    soundfile.write(here[2].path, tone(333.0, 99), RATE, subtype="PCM_16")
    after = sounds_by_copy()
    others = 0
    for key, (recipe, sound) in after.items():
        assert (recipe == before[key][0]) is (sound == before[key][1])
        others += key[0] != 2 and recipe != before[key][0]
    assert others, "some version of another clip has it as its second"


def test_the_same_content_under_another_path_hits(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, store = system(), FeatureStore(tmp_path / "maps", PLENTY)
    FeatureCache(Waveforms(clips, AUDIO_SPEC), store).fill(one, CPU)
    moved = []
    for number, clip in enumerate(clips):
        shutil.copy(clip.path, tmp_path / f"{number}.wav")  # and another time of writing
        moved.append(replace(clip, path=tmp_path / f"{number}.wav"))
    before = shards(tmp_path / "maps")
    cache = FeatureCache(Waveforms(moved, AUDIO_SPEC), store)
    cache.fill(one, CPU)
    assert shards(tmp_path / "maps") == before
    # Other content under the same path does not.
    seconds = moved[0].path.stat().st_mtime
    soundfile.write(moved[0].path, tone(777.0, 5), RATE, subtype="PCM_16")
    import os

    os.utime(moved[0].path, (seconds, seconds))
    changed = FeatureCache(Waveforms(moved, AUDIO_SPEC), store)
    changed.fill(one, CPU)
    assert len(shards(tmp_path / "maps")) == len(before) + 2
    rows, again = cache.rows([(0, 0), (0, 1)]), changed.rows([(0, 0), (0, 1)])
    for name, x in rows.items():
        assert not torch.equal(x[0], again[name][0])
        assert torch.equal(x[1], again[name][1])


def weights(one: System) -> None:
    with torch.no_grad():
        next(one.branch_1.blocks[2].parameters()).flatten()[0].add_(1e-6)


def statistics(one: System) -> None:
    norm = next(x for x in one.branch_1.blocks[2].modules() if isinstance(x, torch.nn.BatchNorm2d))
    norm.running_var[0] += 1e-6


def front_end(one: System) -> None:
    next(one.branch_1.front_end.mel.buffers())[0, 0] += 1e-6


def head(one: System) -> None:
    with torch.no_grad():
        one.classifiers["category"].weight.add_(1.0)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (weights, {"branch_1.3", "branch_1.4"}),
        (statistics, {"branch_1.3", "branch_1.4"}),
        (front_end, {"branch_1.1", "branch_1.3", "branch_1.4"}),
        (head, set()),
    ],
)
def test_a_change_of_what_computes_a_map_is_another_kind(change: Any, changed: set[str]) -> None:
    one = system(pool_blocks=(1, 3, 4))
    before = map_kinds(one)
    assert set(before) == {"branch_1.1", "branch_1.3", "branch_1.4", "branch_2.0"}
    change(one)
    after = map_kinds(one)
    assert {name for name in before if before[name] != after[name]} == changed
    assert (frozen_identity(one) == frozen_identity(system(pool_blocks=(1, 3, 4)))) is not changed


def test_systems_share_the_kinds_that_they_have_in_common() -> None:
    plain = map_kinds(system())
    for other in (system(adapters=(2, 4)), system(unfreeze_from=4, adapters=(3,)), system(width=0)):
        kinds = map_kinds(other)
        for name in kinds.keys() & plain.keys():
            assert kinds[name] == plain[name]
    assert map_kinds(system(seed=1))["branch_1.4"] != plain["branch_1.4"]
    assert map_kinds(system(seed=1))["branch_2.0"] == plain["branch_2.0"]
    vggish = map_kinds(system(backbone="vggish"))
    assert set(vggish.values()).isdisjoint(plain.values())


def test_other_code_or_another_device_is_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    one = system()
    before = map_kinds(one, CPU)
    assert set(map_kinds(one, torch.device("cuda")).values()).isdisjoint(before.values())
    monkeypatch.setattr("sonotype.frontends.efficientat_logmel.LOG_OFFSET", 0.5)
    assert set(map_kinds(one, CPU).values()).isdisjoint(before.values())


def test_a_file_that_changes_while_it_is_read_is_told_and_nothing_kept(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = system()
    path = tmp_path / "one.wav"
    shutil.copy(clips[0].path, path)
    computed = one.frozen_part

    def meanwhile(waveform: Tensor) -> dict[str, Tensor]:
        soundfile.write(path, tone(777.0, 5, seconds=0.5), RATE, subtype="PCM_16")
        return computed(waveform)

    monkeypatch.setattr(one, "frozen_part", meanwhile)
    cache = FeatureCache(
        Waveforms([replace(clips[0], path=path)], AUDIO_SPEC),
        FeatureStore(tmp_path / "maps", PLENTY),
    )
    with pytest.raises(SonotypeError) as caught:
        cache.fill(one, CPU)
    assert str(caught.value) == f"{path} changed while it was being read; start again"
    assert shards(tmp_path / "maps") == leftovers(tmp_path / "maps") == []


def test_a_clip_that_is_gone(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    gone = replace(clips[0], path=tmp_path / "gone.wav")
    cache = FeatureCache(Waveforms([gone], AUDIO_SPEC), FeatureStore(tmp_path / "maps", PLENTY))
    with pytest.raises(AudioError, match=r"gone\.wav: does not exist"):
        cache.fill(system(), CPU)


# Several runs at a time, and runs that break off


def test_two_that_want_the_same_at_a_time_do_no_harm(tmp_path: Path) -> None:
    compute = Counted()

    def slowly(places: Sequence[int]) -> Iterator[Mapping[str, Tensor]]:
        for batch in compute(places):
            time.sleep(0.1)  # so that the other one comes meanwhile
            yield batch

    stores = [FeatureStore(tmp_path, PLENTY) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda one: one.fill(KINDS, ["x", "y", "z"], slowly), stores))
    for one in found:
        same(one, [0, 1, 2])
    assert leftovers(tmp_path) == []
    count = len(compute.asked)
    same(FeatureStore(tmp_path, PLENTY).fill(KINDS, ["x", "y", "z"], compute), [0, 1, 2])
    assert len(compute.asked) == count


def keys_kept(root: Path) -> dict[str, list[list[str]]]:
    """By kind the keys of each shard."""
    kept: dict[str, list[list[str]]] = {}
    for shard in shards(root):
        keys = json.loads((shard / "keys.json").read_text())
        kept.setdefault(shard.parent.name, []).append(keys)
    return {kind: sorted(lists) for kind, lists in kept.items()}


FILL = """
import sys, time
from pathlib import Path
import torch
from sonotype.features.store import FeatureStore
root, key, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
def compute(places):
    rows = torch.zeros(1, 4)
    yield {"a": rows, "b": rows[:, :1]}
    print("begun", flush=True)
    time.sleep(seconds)
FeatureStore(root, 1e9).fill({"a": "kind-a", "b": "kind-b"}, [key], compute)
"""


def other_process(root: Path, key: str, seconds: float) -> subprocess.Popen[str]:
    """A process that has begun to compute the rows of a key, and is not done with it."""
    process = subprocess.Popen(
        [sys.executable, "-c", FILL, str(root), key, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_runs_on_other_clips_do_not_wait_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    with other_process(tmp_path, "other", 60) as process:
        start = time.monotonic()
        same(FeatureStore(tmp_path, PLENTY).fill(KINDS, ["x"], Counted()), [0])
        assert time.monotonic() - start < 2
        assert len(leftovers(tmp_path)) == 1, "the part of the other run, which is alive"
        process.kill()
    assert len(leftovers(tmp_path)) == 1
    FeatureStore(tmp_path, PLENTY).fill(KINDS, ["y"], Counted())
    assert leftovers(tmp_path) == []
    assert [one.name for one in tmp_path.glob("*.lock")] in ([], ["room.lock"])
    assert keys_kept(tmp_path)["kind-a"] == [["x"], ["y"]]


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """A lock that another thread holds."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(lock):
            taken.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_common_lock_that_is_not_let_go_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "NOTICE_AFTER", 0.1)
    monkeypatch.setattr(feature_store, "GIVE_UP_AFTER", 0.9)
    said: list[str] = []
    store = FeatureStore(tmp_path, PLENTY, said.append)
    with held(tmp_path / "room.lock"):
        text = told(lambda: store.fill(KINDS, ["x"], Counted()))
    lock = tmp_path / "room.lock"
    assert said == [f"{lock}: another process holds this lock; waiting for it"]
    assert text == (
        f"{lock}: another process has held this lock for 1 s; end that process, name another "
        "folder in SONOTYPE_CACHE, or use --no-cache"
    )
    same(store.fill(KINDS, ["x"], Counted()), [0])


def test_a_store_goes_to_another_process_without_where_lines_go(tmp_path: Path) -> None:
    said: list[str] = []
    store = FeatureStore(tmp_path, PLENTY, lambda line: said.append(line))
    sent = pickle.loads(pickle.dumps(store))
    assert (sent.root, sent.limit) == (tmp_path, PLENTY)
    sent.on_message("x")
    store.on_message("y")
    assert said == ["y"]


def promise(root: Path, size: int) -> Path:
    """The part of a run that is about to write so many bytes; its lock."""
    (root / "other.part").mkdir()
    (root / "other.part" / "promised").write_text(str(size))
    return root / "other.lock"


def test_a_wait_for_room_is_said_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "STALLED", 0.5)
    said: list[str] = []
    store = FeatureStore(tmp_path, 1e8, said.append)
    with held(promise(tmp_path, 100_000_000)):
        text = told(lambda: store.fill(KINDS, ["x"], Counted()))
    (line,) = said
    assert line == (
        f"{tmp_path}: waiting for other runs, which are writing 0.1 of the 0.1 GB that the cache "
        "may hold; to avoid this, raise --cache-gb or use --no-cache"
    )
    assert "other runs have reserved 0.1 GB, and have written nothing for 0 minutes; end" in text
    assert leftovers(tmp_path) == ["other.part"]


def test_what_a_dead_run_was_to_write_needs_no_wait(tmp_path: Path) -> None:
    promise(tmp_path, 100_000_000)
    said: list[str] = []
    same(FeatureStore(tmp_path, 1e8, said.append).fill(KINDS, ["x"], Counted()), [0])
    assert (said, leftovers(tmp_path)) == ([], [])


def test_what_was_waited_for_is_not_computed_again(tmp_path: Path) -> None:
    """Both need most of the room; the second finds the maps of the first when that is done."""
    limit = 3.5 * ROW + 1000
    begun, waiting = threading.Event(), threading.Event()

    def first(places: Sequence[int]) -> Iterator[Mapping[str, Tensor]]:
        batches = Counted(1000)(places)
        yield next(batches)
        begun.set()
        assert waiting.wait(30)
        yield from batches

    asked = Counted(1000)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(FeatureStore(tmp_path, limit).fill, KINDS, ["x", "y", "z"], first)
        assert begun.wait(30)
        store = FeatureStore(tmp_path, limit, lambda _: waiting.set())
        same(store.fill(KINDS, ["x", "y", "z"], asked), [0, 1, 2], 1000)
        same(other.result(), [0, 1, 2], 1000)
    assert len(asked.asked) == 1
    assert keys_kept(tmp_path) == {"kind-a": [["x", "y", "z"]], "kind-b": [["x", "y", "z"]]}


@pytest.mark.parametrize("error", [RuntimeError("half-way"), KeyboardInterrupt()])
def test_what_breaks_off_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def broken(places: Sequence[int]) -> Iterator[Mapping[str, Tensor]]:
        yield from list(Counted()(places))[:1]
        assert leftovers(tmp_path) != []
        assert shards(tmp_path) == []
        raise error

    store = FeatureStore(tmp_path, PLENTY)
    with pytest.raises(type(error)):
        store.fill(KINDS, ["x", "y", "z"], broken)
    assert (shards(tmp_path), leftovers(tmp_path)) == ([], [])
    compute = Counted()
    same(store.fill(KINDS, ["x", "y", "z"], compute), [0, 1, 2])
    assert compute.asked == [[0, 1, 2]]


def test_what_a_killed_run_began_goes_and_what_a_living_one_began_stays(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, PLENTY)
    for name in ("dead", "alive"):
        (tmp_path / f"{name}.part").mkdir()
    with FileLock(tmp_path / "alive.lock"):
        store.fill(KINDS, ["x"], Counted())
    assert leftovers(tmp_path) == ["alive.part"]


def test_a_shard_whose_removal_broke_off_goes(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, PLENTY)
    store.fill(KINDS, ["x"], Counted())
    shard = shards(tmp_path)[0]
    shard.rename(shard.with_name(f"{shard.name}.gone"))
    store.fill({"a": "other", "b": "kind-b"}, ["y"], Counted())
    assert list(tmp_path.rglob("*.gone")) == []


# Bounds


def used(root: Path, keys: str) -> set[str]:
    """Of some keys those whose larger row is kept."""
    large = [one for one in shards(root) if one.parent.name == "kind-a"]
    there = {key for one in large for key in json.loads((one / "keys.json").read_text())}
    return there & set(keys)


def fill(root: Path, limit: float, keys: str, size: int = 1000) -> FeatureStore:
    store = FeatureStore(root, limit)
    store.fill({"a": "kind-a", "b": "kind-b"}, list(keys), Counted(size))
    time.sleep(0.02)  # file systems tell times apart by less than that
    return store


ROW = 4 * 1000 + 4


def test_what_was_not_used_for_the_longest_time_goes_first(tmp_path: Path) -> None:
    limit = 3.5 * ROW + 1000  # headers and keys take a little
    for key in "xyz":
        fill(tmp_path, limit, key)
    assert used(tmp_path, "xyz") == {"x", "y", "z"}
    fill(tmp_path, limit, "x")  # is used, so y is the oldest now
    fill(tmp_path, limit, "w")
    assert used(tmp_path, "wxyz") == {"w", "x", "z"}
    assert sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file()) <= limit


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
def test_what_a_living_run_reads_stays_readable_when_it_is_removed(tmp_path: Path) -> None:
    limit = 2.5 * ROW + 2000
    living = FeatureStore(tmp_path, limit).fill(KINDS, ["x", "y"], Counted(1000))
    fill(tmp_path, limit, "zw")
    assert used(tmp_path, "xyzw") == {"z", "w"}
    same(living, [0, 1], 1000)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
def test_what_a_run_needs_of_a_shard_that_must_go_it_keeps(tmp_path: Path) -> None:
    limit = 10.5 * ROW + 3000
    fill(tmp_path, limit, "abcdefghi")
    keys = list("abxyz")
    found = FeatureStore(tmp_path, limit).fill(KINDS, keys, Counted(1000))
    same({name: rows[2:] for name, rows in found.items()}, [2, 3, 4], 1000)
    same({name: rows[:2] for name, rows in found.items()}, [0, 1], 1000)
    assert used(tmp_path, "abcdefghixyz") == {"x", "y", "z"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
def test_what_another_run_removes_meanwhile_is_kept(tmp_path: Path) -> None:
    limit = 6.5 * ROW + 3000
    fill(tmp_path, limit, "abc")

    def disturbed(places: Sequence[int]) -> Iterator[Mapping[str, Tensor]]:
        other = {"a": "other-a", "b": "other-b"}
        FeatureStore(tmp_path, limit).fill(other, list("123456"), Counted(1000))
        yield from Counted(1000)(places)

    same(FeatureStore(tmp_path, limit).fill(KINDS, list("abcd"), disturbed), [0, 1, 2, 3], 1000)


def test_runs_at_a_time_keep_the_bound_together(tmp_path: Path) -> None:
    limit = 6.5 * ROW + 3000
    largest = 0

    def slowly(places: Sequence[int]) -> Iterator[Mapping[str, Tensor]]:
        nonlocal largest
        for batch in Counted(1000)(places):
            time.sleep(0.05)
            largest = max(largest, size_of(tmp_path))
            yield batch

    def one(name: str) -> Mapping[str, Sequence[np.ndarray]]:
        kinds = {"a": f"{name}-a", "b": f"{name}-b"}
        return FeatureStore(tmp_path, limit).fill(kinds, list("123456"), slowly)

    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(one, "pq"):
            same(found, range(6), 1000)
    assert max(largest, size_of(tmp_path)) <= limit


def size_of(root: Path) -> int:
    """Bytes in all files; some may go while they are counted."""
    total = 0
    for file in root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def test_of_its_own_maps_a_run_removes_the_last(tmp_path: Path) -> None:
    limit = 3.5 * ROW + 1000
    store = fill(tmp_path, limit, "x")
    fill(tmp_path, limit, "y")
    fill(tmp_path, limit, "z")
    store.fill({"a": "kind-a", "b": "kind-b"}, ["w"], Counted(1000))
    assert used(tmp_path, "wxyz") == {"w", "x", "z"}


def test_a_shard_that_cannot_be_removed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, PLENTY, "x")

    def refused(*_: object) -> None:
        raise PermissionError("in use")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refused)
        assert not remove(shards(tmp_path)[0])
    assert used(tmp_path, "x") == {"x"}
    assert remove(shards(tmp_path)[0])


def told(call: Any) -> str:
    with pytest.raises(SonotypeError) as caught:
        call()
    return str(caught.value)


def test_a_run_whose_maps_alone_are_too_many(tmp_path: Path) -> None:
    fill(tmp_path, 1e9, "x", size=100_000_000 // 4)
    text = told(lambda: fill(tmp_path, 0.15e9, "xy", size=100_000_000 // 4))
    assert text == (
        f"{tmp_path}: the feature maps need 0.2 GB, the cache may hold 0.1; raise --cache-gb, use "
        "fewer --n-augmented, or --no-cache"
    )
    assert used(tmp_path, "xy") == {"x"}
    assert leftovers(tmp_path) == []


def test_a_disk_without_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("sonotype.features.store.shutil.disk_usage", lambda _: Usage)
    assert told(lambda: fill(tmp_path, PLENTY, "xy")) == (
        f"{tmp_path}: the feature maps need 0.0 GB, 0.0 GB are free; use fewer --n-augmented, or "
        "--no-cache"
    )
    assert (shards(tmp_path), leftovers(tmp_path)) == ([], [])


@pytest.mark.parametrize(
    ("number", "cause"),
    [(errno.ENOSPC, "no space left on the disk"), (errno.EACCES, "Permission denied")],
)
def test_a_disk_that_fails_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "Permission denied")

    monkeypatch.setattr(feature_store._Writer, "write", full)
    assert told(lambda: fill(tmp_path, PLENTY, "xy")) == (
        f"{tmp_path}: the feature maps cannot be stored ({cause}); free some space there, name "
        "another folder in SONOTYPE_CACHE, or use --no-cache"
    )
    assert (shards(tmp_path), leftovers(tmp_path)) == ([], [])


def test_too_many_open_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, PLENTY, "x")

    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(feature_store, "_mapped", refused)
    assert "cannot be stored (Too many open files)" in told(lambda: fill(tmp_path, PLENTY, "x"))


def test_where_the_shared_maps_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path))
    store = shared_store(2.5)
    assert (store.root, store.limit) == (tmp_path / "maps", 2.5e9)
    assert not store.root.exists()


def test_maps_come_back_in_the_layout_that_convolutions_want(
    clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    one = system()
    cache = FeatureCache(Waveforms(clips, AUDIO_SPEC), FeatureStore(tmp_path, PLENTY))
    cache.fill(one, CPU)
    for x in cache.rows([(0, 1), (0, 0)]).values():
        assert x.is_contiguous(memory_format=torch.channels_last)
