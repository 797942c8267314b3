"""The feature cache: which change of a sound, an option or a network changes a key."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from training_data import RATE, tone, write_tones

from sonotype.audio.clip import AudioSpec
from sonotype.core.errors import AudioError, SonotypeError
from sonotype.core.types import Clip
from sonotype.data.augment.augmented_copies import Augmentation, Waveforms
from sonotype.data.augment.waveform import Mixing
from sonotype.data.readers.folder import read_folder
from sonotype.features.cache import FeatureCache, frozen_identity, map_kinds
from sonotype.features.store import FeatureStore
from sonotype.models.build import cbir_2
from sonotype.models.system import System

CPU = torch.device("cpu")
AUDIO_SPEC = AudioSpec(32_000, seconds=1.0)
AUGMENTATION = Augmentation(time_shift=0.3, gain=6.0, n_augmented=4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    return read_folder(write_tones(tmp_path_factory.mktemp("tones"), clips=2)).clips


def build(seed: int = 0, **arguments: Any) -> System:
    torch.manual_seed(seed)
    options = {"backbone": "mn01", "width": 0.01, "categories": 2, "events": 4}
    return cbir_2(**options | arguments)


def filled(clips: tuple[Clip, ...] | list[Clip], folder: Path, system: System) -> FeatureCache:
    cache = FeatureCache(Waveforms(clips, AUDIO_SPEC), FeatureStore(folder / "maps", 1e9))
    cache.fill(system, CPU)
    return cache


def stored_files(folder: Path) -> list[Path]:
    """Shards and folders of unfinished runs."""
    return [path for path in (folder / "maps").iterdir() if path.suffix in (".npy", ".part")]


# Keys of sounds


def recipes(waveforms: Waveforms) -> list[str]:
    return [waveforms.recipe(n, copy) for n in range(len(waveforms)) for copy in range(4)]


@pytest.mark.parametrize(
    ("audio_spec", "augmentation", "seed", "same_originals"),
    [
        (replace(AUDIO_SPEC, sample_rate=16_000), AUGMENTATION, 0, False),
        (replace(AUDIO_SPEC, seconds=0.5), AUGMENTATION, 0, False),
        (replace(AUDIO_SPEC, pad="start"), AUGMENTATION, 0, False),
        (replace(AUDIO_SPEC, crop="centre"), AUGMENTATION, 0, False),
        (replace(AUDIO_SPEC, trim=True), AUGMENTATION, 0, False),
        (AUDIO_SPEC, replace(AUGMENTATION, time_shift=0.2), 0, True),
        (AUDIO_SPEC, replace(AUGMENTATION, gain=5.0), 0, True),
        (AUDIO_SPEC, replace(AUGMENTATION, mixing=Mixing(1.0, 6.0, 10.0)), 0, True),
        (AUDIO_SPEC, AUGMENTATION, 1, True),
    ],
)
def test_a_changed_setting_changes_the_keys(
    clips: tuple[Clip, ...],
    audio_spec: AudioSpec,
    augmentation: Augmentation,
    seed: int,
    same_originals: bool,
) -> None:
    before = recipes(Waveforms(clips, AUDIO_SPEC, AUGMENTATION, 0))
    after = recipes(Waveforms(clips, audio_spec, augmentation, seed))
    assert len(set(before)) == len(before)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        assert (old == new) is (same_originals and number % 4 == 0)


def test_more_augmented_copies_keep_the_keys(clips: tuple[Clip, ...]) -> None:
    before = recipes(Waveforms(clips, AUDIO_SPEC, AUGMENTATION, 0))
    more = replace(AUGMENTATION, n_augmented=6)
    assert recipes(Waveforms(clips, AUDIO_SPEC, more, 0)) == before


def test_the_index_of_a_clip_does_not_change_its_copies(clips: tuple[Clip, ...]) -> None:
    fewer = Waveforms(clips[1:], AUDIO_SPEC, AUGMENTATION)
    whole = Waveforms(clips, AUDIO_SPEC, AUGMENTATION)
    for copy in range(4):
        assert fewer.recipe(0, copy) == whole.recipe(1, copy)
        assert np.array_equal(fewer.augmented_copy(0, copy), whole.augmented_copy(1, copy))


@pytest.mark.parametrize("mix", [{"between_class_mix": 0.7}, {"mixing": Mixing(0.5, 6.0, 10.0)}])
def test_keys_depend_on_the_second_clip_of_a_mixture(
    clips: tuple[Clip, ...], tmp_path: Path, mix: dict[str, Any]
) -> None:
    """Recipes are equal if and only if the samples are, whichever clip changes."""
    root = clips[0].path.parents[2]
    shutil.copytree(root, tmp_path / "tones")
    copied = [replace(c, path=tmp_path / "tones" / c.path.relative_to(root)) for c in clips]
    augmentation = replace(AUGMENTATION, n_augmented=8, **mix)

    def sounds() -> dict[tuple[int, int], tuple[str, bytes]]:
        waveforms = Waveforms(copied, AUDIO_SPEC, augmentation, 3)
        return {
            (n, copy): (waveforms.recipe(n, copy), waveforms.augmented_copy(n, copy).tobytes())
            for n in range(len(copied))
            for copy in range(8)
        }

    before = sounds()
    soundfile.write(copied[2].path, tone(333.0, 99), RATE, subtype="PCM_16")
    others = 0
    for key, (recipe, sound) in sounds().items():
        assert (recipe == before[key][0]) is (sound == before[key][1])
        others += key[0] != 2 and recipe != before[key][0]
    assert others, "clip 2 is mixed into no other clip"


def test_the_key_is_the_content_not_the_path(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    system = build()
    filled(clips, tmp_path, system)
    before = stored_files(tmp_path)
    moved = [replace(clip, path=tmp_path / f"{n}.wav") for n, clip in enumerate(clips)]
    for clip, copy in zip(clips, moved, strict=True):
        shutil.copy(clip.path, copy.path)
    cache = filled(moved, tmp_path, system)
    assert stored_files(tmp_path) == before
    seconds = moved[0].path.stat().st_mtime
    soundfile.write(moved[0].path, tone(777.0, 5), RATE, subtype="PCM_16")
    os.utime(moved[0].path, (seconds, seconds))
    changed = filled(moved, tmp_path, system)
    assert len(stored_files(tmp_path)) == len(before) + 2
    rows, again = cache.rows([(0, 0), (0, 1)]), changed.rows([(0, 0), (0, 1)])
    for name, x in rows.items():
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert not torch.equal(x[0], again[name][0])
        assert torch.equal(x[1], again[name][1])


def test_a_file_that_changes_while_it_is_read_is_an_error(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, path = build(), tmp_path / "clip.wav"
    shutil.copy(clips[0].path, path)
    computed = system.frozen_part

    def change(waveform: Tensor) -> dict[str, Tensor]:
        soundfile.write(path, tone(777.0, 5, seconds=0.5), RATE, subtype="PCM_16")
        return computed(waveform)

    monkeypatch.setattr(system, "frozen_part", change)
    with pytest.raises(SonotypeError, match="changed while it was being read") as caught:
        filled([replace(clips[0], path=path)], tmp_path, system)
    assert str(path) in str(caught.value)
    assert stored_files(tmp_path) == []


def test_a_missing_clip(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"gone\.wav: does not exist"):
        filled([replace(clips[0], path=tmp_path / "gone.wav")], tmp_path, build())


# Kinds of feature maps


def weights(system: System) -> None:
    with torch.no_grad():
        next(system.branch_1.blocks[2].parameters()).flatten()[0].add_(1e-6)


def statistics(system: System) -> None:
    modules = system.branch_1.blocks[2].modules()
    next(x for x in modules if isinstance(x, torch.nn.BatchNorm2d)).running_var[0] += 1e-6


def front_end(system: System) -> None:
    next(system.branch_1.front_end.mel.buffers())[0, 0] += 1e-6


def head(system: System) -> None:
    with torch.no_grad():
        system.classifiers["category"].weight.add_(1.0)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (weights, {"branch_1.3", "branch_1.4"}),
        (statistics, {"branch_1.3", "branch_1.4"}),
        (front_end, {"branch_1.1", "branch_1.3", "branch_1.4"}),
        (head, set()),
    ],
)
def test_a_changed_network_changes_the_kinds_that_it_computes(
    change: Callable[[System], None], changed: set[str]
) -> None:
    system = build(pool_blocks=(1, 3, 4))
    before, identity = map_kinds(system), frozen_identity(system)
    assert set(before) == {"branch_1.1", "branch_1.3", "branch_1.4", "branch_2.0"}
    change(system)
    after = map_kinds(system)
    assert {name for name in before if before[name] != after[name]} == changed
    assert (frozen_identity(system) == identity) is not changed


def test_systems_share_their_common_kinds() -> None:
    plain = map_kinds(build())
    for options in ({"adapters": (2, 4)}, {"unfreeze_from": 4, "adapters": (3,)}, {"width": 0}):
        kinds = map_kinds(build(**options))
        for name in kinds.keys() & plain.keys():
            assert kinds[name] == plain[name]
    other_seed = map_kinds(build(seed=1))
    assert other_seed["branch_1.4"] != plain["branch_1.4"]
    assert other_seed["branch_2.0"] == plain["branch_2.0"]
    assert set(map_kinds(build(backbone="vggish")).values()).isdisjoint(plain.values())


def test_changed_code_or_another_device_changes_the_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    system = build()
    before = map_kinds(system, CPU)
    assert set(map_kinds(system, torch.device("cuda")).values()).isdisjoint(before.values())
    monkeypatch.setattr("sonotype.frontends.efficientat_logmel.LOG_OFFSET", 0.5)
    assert set(map_kinds(system, CPU).values()).isdisjoint(before.values())
