"""Batches: order by seed and epoch, cached maps equal to maps computed in the step."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from training_data import RATE, write_tones

from sonotype.audio.clip import ClipFormat
from sonotype.data.folder import read_folder
from sonotype.data.waveforms import Augmentation, Waveforms
from sonotype.models.systems import System, cbir_2
from sonotype.training.batches import (
    EpochBatches,
    LabelledMaps,
    LabelledWaveforms,
    loader,
    targets,
)
from sonotype.training.stages import StageCache
from sonotype.types import NO_EVENT, Clip, Labels


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    return read_folder(write_tones(tmp_path_factory.mktemp("tones"), clips=3)).clips


def system(backbone: str = "mn01", **arguments: object) -> System:
    torch.manual_seed(0)
    return cbir_2(categories=2, events=4, backbone=backbone, width=0.01, **arguments)


def test_every_clip_comes_once_an_epoch_and_the_order_changes() -> None:
    batches = EpochBatches(10, 4, shuffle=True, seed=5)
    orders = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        keys = [key for batch in batches for key in batch]
        assert sorted(keys) == [(epoch, index) for index in range(10)]
        orders.append([index for _, index in keys])
    assert orders[0] != orders[1] != orders[2]
    again = EpochBatches(10, 4, shuffle=True, seed=5)
    again.set_epoch(2)
    assert [index for batch in again for _, index in batch] == orders[2]


def test_validation_keeps_the_order() -> None:
    batches = EpochBatches(5, 2, shuffle=False)
    assert [[index for _, index in batch] for batch in batches] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("length", "shuffle", "sizes"),
    [
        (9, True, [4, 4]),
        (9, False, [4, 4, 1]),
        (8, True, [4, 4]),
        (10, True, [4, 4, 2]),
        (1, True, [1]),
    ],
)
def test_a_last_batch_of_one_is_left_out_in_training(
    length: int, shuffle: bool, sizes: list[int]
) -> None:
    batches = EpochBatches(length, 4, shuffle=shuffle)
    assert [len(batch) for batch in batches] == sizes
    assert len(batches) == len(sizes)


def test_targets_follow_the_labels() -> None:
    labels = Labels(("a", "b"), ("x",), (1,))
    some = [Clip(Path("1"), "b", "x", "1", None), Clip(Path("2"), "a", None, "2", None)]
    category, event = targets(some, labels)
    assert category.tolist() == [1, 0]
    assert event.tolist() == [0, NO_EVENT]


@pytest.mark.parametrize("unfreeze_from", [None, 3, 1])
def test_cached_maps_equal_maps_computed_in_the_step(
    clips: tuple[Clip, ...], tmp_path: Path, unfreeze_from: int | None
) -> None:
    one = system(adapters=(2, 4), unfreeze_from=unfreeze_from)
    labels = Labels.of(clips)
    waveforms = Waveforms(
        clips,
        ClipFormat(32_000, seconds=1.0),
        Augmentation(shift=0.5, gain=6.0, variants=3),
        seed=7,
    )
    cache = StageCache(tmp_path / "maps", waveforms, "id")
    cache.fill(one, torch.device("cpu"))
    fast, slow = LabelledMaps(cache, clips, labels), LabelledWaveforms(waveforms, labels)
    versions = set()
    for epoch in range(4):
        keys = [(epoch, index) for index in (3, 0, 11, 7)]
        versions |= {waveforms.version_of(*key) for key in keys}
        cached, computed = fast[keys], slow[keys]
        stage = one.frozen_part(computed["waveform"])
        assert cached["stage"].keys() == stage.keys()
        for name, x in stage.items():
            assert torch.allclose(cached["stage"][name], x, atol=1e-4), name
        assert torch.equal(cached["category"], computed["category"])
        assert torch.equal(cached["event"], computed["event"])
    assert versions == {0, 1, 2}


def test_a_filled_cache_is_read_again_and_a_stale_one_made_anew(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = system()
    waveforms = Waveforms(clips, ClipFormat(32_000, seconds=1.0))
    StageCache(tmp_path / "maps", waveforms, "first").fill(one, torch.device("cpu"))
    count = {"computed": 0}
    compute = StageCache._compute

    def counted(self: StageCache, *arguments: object) -> None:
        count["computed"] += 1
        compute(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(StageCache, "_compute", counted)
    StageCache(tmp_path / "maps", waveforms, "first").fill(one, torch.device("cpu"))
    assert count["computed"] == 0
    StageCache(tmp_path / "maps", waveforms, "second").fill(one, torch.device("cpu"))
    assert count["computed"] == 1


def test_a_disk_without_room_is_told_before_anything_is_written(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sonotype.errors import SonotypeError

    class Usage:
        free = 1000

    monkeypatch.setattr("sonotype.training.stages.shutil.disk_usage", lambda _: Usage)
    cache = StageCache(tmp_path / "maps", Waveforms(clips, ClipFormat(32_000, 1.0)), "id")
    with pytest.raises(
        SonotypeError, match=r"need 0\.0 GB, 0\.0 GB are free; use fewer --variants"
    ):
        cache.fill(system(), torch.device("cpu"))
    assert written(tmp_path) == []


def written(folder: Path) -> list[str]:
    """What lies there beside the lock of the maps."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_maps_of_some_clips_from_a_cache_of_more(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    waveforms = Waveforms(clips, ClipFormat(32_000, 1.0), Augmentation(shift=0.5, variants=2), 7)
    cache = StageCache(tmp_path / "maps", waveforms, "id")
    cache.fill(system(), torch.device("cpu"))
    labels = Labels.of(clips)
    places = [10, 2, 5]
    some, whole = (
        LabelledMaps(cache, part, labels) for part in ([clips[n] for n in places], clips)
    )
    assert len(some) == 3
    for epoch in range(3):
        found = some[[(epoch, index) for index in (2, 0, 1)]]
        wanted = whole[[(epoch, place) for place in (5, 10, 2)]]
        for name, x in wanted["stage"].items():
            assert torch.equal(found["stage"][name], x), name
        for name in ("category", "event"):
            assert torch.equal(found[name], wanted[name])


def test_a_cache_has_its_name_only_when_it_is_whole(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, cpu = system(), torch.device("cpu")
    waveforms = Waveforms(clips, ClipFormat(32_000, seconds=1.0))
    seen: list[list[str]] = []

    def broken(*_: object) -> None:
        seen.append(written(tmp_path))
        raise RuntimeError("stopped half-way")

    part = f"maps.{os.getpid()}.part"
    for before in ([], ["maps"]):  # nothing there yet; then one under another identity
        with monkeypatch.context() as patched:
            patched.setattr(one, "frozen_part", broken)
            with pytest.raises(RuntimeError, match="stopped half-way"):
                StageCache(tmp_path / "maps", waveforms, "second").fill(one, cpu)
        assert seen.pop() == [*before, part]
        assert written(tmp_path) == before
        StageCache(tmp_path / "maps", waveforms, "first").fill(one, cpu)
        assert written(tmp_path) == ["maps"]
        assert json.loads((tmp_path / "maps" / "done.json").read_text()) == {
            "identity": "first",
            "maps": ["branch_1.4", "branch_2.0"],
        }


def test_two_that_want_the_same_maps_compute_them_once(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, cpu = system(), torch.device("cpu")
    waveforms = Waveforms(clips, ClipFormat(32_000, seconds=1.0))
    started: list[int] = []
    compute = StageCache._compute

    def slowly(self: StageCache, *arguments: object) -> None:
        started.append(len(started))
        time.sleep(0.2)  # so that the other one comes meanwhile
        compute(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(StageCache, "_compute", slowly)
    caches = [StageCache(tmp_path / "maps", waveforms, "id") for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda cache: cache.fill(one, cpu), caches))
    assert started == [0]
    first, second = (cache.rows([(0, 3), (0, 7)]) for cache in caches)
    assert all(torch.equal(first[name], x) for name, x in second.items())


def test_a_fault_comes_back_whole_from_a_loading_process(
    clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    gone = Clip(tmp_path / "gone.wav", "low", "hum", "g", None)
    source = LabelledWaveforms(Waveforms([gone], ClipFormat(RATE, 0.5)), Labels.of(clips))
    batch = next(iter(loader(source, 1, shuffle=False, workers=1)))
    assert str(batch["fault"]) == f"{tmp_path / 'gone.wav'}: does not exist"


def test_cached_maps_are_sent_to_no_process(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    cache = StageCache(tmp_path / "maps", Waveforms(clips, ClipFormat(32_000, 1.0)), "id")
    source = LabelledMaps(cache, clips, Labels.of(clips))
    assert loader(source, 4, shuffle=True, workers=2).num_workers == 0


def test_loading_processes_hear_the_same(clips: tuple[Clip, ...]) -> None:
    waveforms = Waveforms(
        clips, ClipFormat(RATE, seconds=0.5), Augmentation(shift=0.2, gain=6, variants=0), seed=3
    )
    source = LabelledWaveforms(waveforms, Labels.of(clips))
    here = list(loader(source, 5, shuffle=True, seed=1))
    there = list(loader(source, 5, shuffle=True, seed=1, workers=2))
    assert len(here) == len(there) == 3
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one["waveform"], other["waveform"])
