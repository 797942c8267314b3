"""Batches: order by seed and epoch, cached maps equal to maps computed in the step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from heads import labelled, two_heads
from training_data import RATE, write_tones

from sonotype.audio.clip import AudioSpec
from sonotype.core.types import IGNORE_INDEX, Clip, Head, heads_of
from sonotype.data.augment.augmented_copies import Augmentation, Waveforms
from sonotype.data.readers.folder import read_folder
from sonotype.features.cache import FeatureCache
from sonotype.features.store import FeatureStore
from sonotype.models.build import cbir_2
from sonotype.models.system import System
from sonotype.training.dataset import (
    EpochBatches,
    LabelledMaps,
    LabelledWaveforms,
    loader,
    targets,
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    return read_folder(write_tones(tmp_path_factory.mktemp("tones"), clips=3)).clips


def system(backbone: str = "mn01", **arguments: object) -> System:
    torch.manual_seed(0)
    return cbir_2(categories=2, events=4, backbone=backbone, width=0.01, **arguments)


def store(folder: Path) -> FeatureStore:
    return FeatureStore(folder / "maps", 1e9)


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
    heads = (*two_heads(("a", "b"), ("x",), (1,)), Head("tags", ("t", "u"), "multi"))
    some = [labelled("1", "b", "x", "1"), labelled("2", "a", None, "2"), labelled("3", "a")]
    tagged = [replace(some[0], labels={**some[0].labels, "tags": ("u",)}), some[1]]
    tagged.append(replace(some[2], labels={**some[2].labels, "tags": ()}))
    assert {name: target.tolist() for name, target in targets(tagged, heads).items()} == {
        "category": [1, 0, 0],
        "event": [0, IGNORE_INDEX, IGNORE_INDEX],
        "tags": [[0, 1], [IGNORE_INDEX, IGNORE_INDEX], [0, 0]],
    }


@pytest.mark.parametrize("unfreeze_from", [None, 3, 1])
def test_cached_maps_equal_maps_computed_in_the_step(
    clips: tuple[Clip, ...], tmp_path: Path, unfreeze_from: int | None
) -> None:
    one = system(adapters=(2, 4), unfreeze_from=unfreeze_from)
    labels = heads_of(clips)
    waveforms = Waveforms(
        clips,
        AudioSpec(32_000, seconds=1.0),
        Augmentation(time_shift=0.5, gain=6.0, n_augmented=3),
        seed=7,
    )
    cache = FeatureCache(waveforms, store(tmp_path))
    cache.fill(one, torch.device("cpu"))
    fast, slow = LabelledMaps(cache, clips, labels), LabelledWaveforms(waveforms, clips, labels)
    versions = set()
    for epoch in range(4):
        keys = [(epoch, index) for index in (3, 0, 11, 7)]
        versions |= {waveforms.copy_number(*key) for key in keys}
        cached, computed = fast[keys], slow[keys]
        feature_maps = one.frozen_part(computed["waveform"])
        assert cached["feature_maps"].keys() == feature_maps.keys()
        for name, x in feature_maps.items():
            assert torch.allclose(cached["feature_maps"][name], x, atol=1e-4), name
        for name, target in computed["targets"].items():
            assert torch.equal(cached["targets"][name], target)
    assert versions == {0, 1, 2}


def test_maps_of_some_clips_from_a_cache_of_more(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    waveforms = Waveforms(
        clips, AudioSpec(32_000, 1.0), Augmentation(time_shift=0.5, n_augmented=2), 7
    )
    cache = FeatureCache(waveforms, store(tmp_path))
    cache.fill(system(), torch.device("cpu"))
    labels = heads_of(clips)
    places = [10, 2, 5]
    some, whole = (
        LabelledMaps(cache, part, labels) for part in ([clips[n] for n in places], clips)
    )
    assert len(some) == 3
    for epoch in range(3):
        found = some[[(epoch, index) for index in (2, 0, 1)]]
        wanted = whole[[(epoch, place) for place in (5, 10, 2)]]
        for name, x in wanted["feature_maps"].items():
            assert torch.equal(found["feature_maps"][name], x), name
        for name, target in wanted["targets"].items():
            assert torch.equal(found["targets"][name], target)


def test_an_error_keeps_its_type_across_a_loading_process(
    clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    gone = labelled(tmp_path / "gone.wav", "low", "hum", "g", None)
    source = LabelledWaveforms(Waveforms([gone], AudioSpec(RATE, 0.5)), [gone], heads_of(clips))
    batch = next(iter(loader(source, 1, shuffle=False, workers=1)))
    assert str(batch["error"]) == f"{tmp_path / 'gone.wav'}: does not exist"


def test_cached_maps_are_copied_to_no_process(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    cache = FeatureCache(Waveforms(clips, AudioSpec(32_000, 1.0)), store(tmp_path))
    source = LabelledMaps(cache, clips, heads_of(clips))
    assert loader(source, 4, shuffle=True, workers=2).num_workers == 0


def test_loading_processes_give_the_same_batches(clips: tuple[Clip, ...]) -> None:
    waveforms = Waveforms(
        clips,
        AudioSpec(RATE, seconds=0.5),
        Augmentation(time_shift=0.2, gain=6, n_augmented=0),
        seed=3,
    )
    source = LabelledWaveforms(waveforms, clips, heads_of(clips))
    here = list(loader(source, 5, shuffle=True, seed=1))
    there = list(loader(source, 5, shuffle=True, seed=1, workers=2))
    assert len(here) == len(there) == 3
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one["waveform"], other["waveform"])
