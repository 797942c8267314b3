"""Training waveforms: reproducible draws, augmentation for training alone."""

from __future__ import annotations

from pathlib import Path

import audiomentations
import numpy as np
import pytest
from training_data import RATE, write_tones

from sonotype.audio.clip import ClipFormat, read_clip
from sonotype.data import waveforms as module
from sonotype.data.augment import Mixing
from sonotype.data.folder import read_folder
from sonotype.data.waveforms import Augmentation, Waveforms
from sonotype.types import Clip

FORM = ClipFormat(RATE, seconds=1.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    return read_folder(write_tones(tmp_path_factory.mktemp("tones"), clips=3)).clips


def test_without_augmentation_every_epoch_hears_the_recording(clips: tuple[Clip, ...]) -> None:
    plain = Waveforms(clips, FORM)
    for epoch in range(3):
        for index, clip in enumerate(clips):
            assert np.array_equal(plain[epoch, index], read_clip(clip.path, FORM))


def test_a_draw_depends_on_seed_epoch_and_index_alone(clips: tuple[Clip, ...]) -> None:
    how = Augmentation(shift=0.3, gain=6.0, mixing=Mixing(), variants=0)
    one, other = Waveforms(clips, FORM, how, seed=2), Waveforms(clips, FORM, how, seed=2)
    wanted = {key: one[key] for key in [(0, 0), (0, 5), (3, 0), (3, 5)]}
    for key in reversed(wanted):
        assert np.array_equal(other[key], wanted[key])
    assert not np.array_equal(wanted[0, 0], wanted[3, 0])
    assert not np.array_equal(Waveforms(clips, FORM, how, seed=3)[0, 0], wanted[0, 0])


def test_the_first_variant_is_the_recording_and_the_others_differ(clips: tuple[Clip, ...]) -> None:
    some = Waveforms(clips, FORM, Augmentation(shift=0.3, gain=6.0, variants=3))
    versions = [some.version(4, version) for version in range(3)]
    assert np.array_equal(versions[0], read_clip(clips[4].path, FORM))
    assert not np.array_equal(versions[1], versions[2])
    heard = {some.version_of(epoch, 4) for epoch in range(40)}
    assert heard == {0, 1, 2}
    for epoch in range(5):
        assert np.array_equal(some[epoch, 4], versions[some.version_of(epoch, 4)])


def test_mixing_takes_another_clip_of_the_same_event(
    clips: tuple[Clip, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def noted(path: Path, *arguments: object) -> np.ndarray:
        read.append(path)
        return read_clip(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_clip", noted)
    mixed = Waveforms(clips, FORM, Augmentation(mixing=Mixing(), variants=0))
    event_of = {clip.path: clip.event for clip in clips}
    pairs = 0
    for epoch in range(20):
        for index in range(len(clips)):
            read.clear()
            mixed.recorded.clear()
            mixed[epoch, index]
            assert read[0] == clips[index].path
            if len(read) == 2:
                pairs += 1
                assert read[1] != read[0]
                assert event_of[read[1]] == event_of[read[0]]
    assert pairs == pytest.approx(20 * len(clips) / 2, rel=0.2), "half of an epoch is mixtures"


def test_an_only_clip_of_its_class_is_mixed_with_itself(clips: tuple[Clip, ...]) -> None:
    alone = Waveforms(clips[:1], FORM, Augmentation(mixing=Mixing(), variants=0))
    assert all(len(alone[epoch, 0]) == RATE for epoch in range(6))


def test_mixtures_are_among_the_versions_of_a_clip(clips: tuple[Clip, ...]) -> None:
    mixed = Waveforms(clips, FORM, Augmentation(mixing=Mixing(), variants=9), seed=4)
    recorded = [read_clip(clip.path, FORM) for clip in clips]
    mixtures = 0
    for index, samples in enumerate(recorded):
        versions = [mixed.version(index, version) for version in range(9)]
        assert np.array_equal(versions[0], samples)
        changed = [one for one in versions[1:] if not np.array_equal(one, samples)]
        assert len({one.tobytes() for one in changed}) == len(changed)
        mixtures += len(changed)
        for epoch in (0, 5):
            heard = mixed[epoch, index]
            assert np.array_equal(heard, versions[mixed.version_of(epoch, index)])
    assert mixtures == pytest.approx(8 * len(clips) / 2, rel=0.2), "half of what is drawn"


@pytest.mark.parametrize(
    ("options", "fresh"),
    [
        ({}, False),
        ({"shift": 1.0, "variants": 4}, False),
        ({"mixing": Mixing(), "variants": 4}, False),
        ({"shift": 1.0, "variants": 0}, True),
        ({"mixing": Mixing(), "variants": 0}, True),
        ({"random_cut": True, "variants": 4}, True),
    ],
)
def test_what_each_epoch_hears_anew(options: dict[str, object], fresh: bool) -> None:
    assert Augmentation(**options).fresh is fresh  # type: ignore[arg-type]


def test_audiomentations_is_a_plain_callable(clips: tuple[Clip, ...]) -> None:
    transform = audiomentations.PolarityInversion(p=1.0)
    turned = Waveforms(clips, FORM, Augmentation(transform=transform, variants=0))
    assert np.array_equal(turned[0, 0], -read_clip(clips[0].path, FORM))


def test_a_transform_that_changes_the_length_is_refused(clips: tuple[Clip, ...]) -> None:
    bad = Waveforms(clips, FORM, Augmentation(transform=lambda x, _: x[1:], variants=0))
    with pytest.raises(ValueError, match=r"turned \(16000,\) samples into \(15999,\)"):
        bad[0, 0]


def test_random_cuts_of_long_clips_move_with_the_epoch(clips: tuple[Clip, ...]) -> None:
    form = ClipFormat(RATE, seconds=0.25)
    cut = Waveforms(clips, form, Augmentation(random_cut=True))
    whole = read_clip(clips[0].path, FORM)
    pieces = [cut[epoch, 0] for epoch in range(4)]
    for piece in pieces:
        assert len(piece) == RATE // 4
        windows = np.lib.stride_tricks.sliding_window_view(whole, len(piece))
        assert (windows == piece).all(axis=1).any()
    assert len({piece.tobytes() for piece in pieces}) == 4
