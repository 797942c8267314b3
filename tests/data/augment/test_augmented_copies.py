"""Training waveforms: reproducible draws, augmentation for training alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import audiomentations
import numpy as np
import pytest
import soundfile
from heads import labelled
from training_data import RATE, write_tones

from sonotype.audio.clip import AudioSpec, load_clip
from sonotype.audio.decode import verify
from sonotype.core.prefetch import prefetch
from sonotype.core.types import Clip
from sonotype.data.augment import augmented_copies as module
from sonotype.data.augment.augmented_copies import Augmentation, Waveforms
from sonotype.data.augment.waveform import Mixing, between_class_mix, mix_same_class
from sonotype.data.decoded import Decoded
from sonotype.data.digest import contents_of
from sonotype.data.readers.folder import read_folder

AUDIO_SPEC = AudioSpec(RATE, seconds=1.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    return read_folder(write_tones(tmp_path_factory.mktemp("tones"), clips=3)).clips


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files in the order in which they are decoded."""
    paths: list[Path] = []

    def load(path: Path, *arguments: object, **options: object) -> np.ndarray:
        paths.append(path)
        return load_clip(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "load_clip", load)
    return paths


def test_without_augmentation_every_epoch_has_the_same_samples(clips: tuple[Clip, ...]) -> None:
    plain = Waveforms(clips, AUDIO_SPEC)
    for epoch in range(3):
        for index, clip in enumerate(clips):
            assert np.array_equal(plain[epoch, index], load_clip(clip.path, AUDIO_SPEC))


def test_a_draw_depends_on_seed_epoch_and_index_alone(clips: tuple[Clip, ...]) -> None:
    how = Augmentation(time_shift=0.3, gain=6.0, mixing=Mixing(), n_augmented=0)
    one, other = (Waveforms(clips, AUDIO_SPEC, how, seed=2) for _ in range(2))
    wanted = {key: one[key] for key in [(0, 0), (0, 5), (3, 0), (3, 5)]}
    for key in reversed(wanted):
        assert np.array_equal(other[key], wanted[key])
    assert not np.array_equal(wanted[0, 0], wanted[3, 0])
    assert not np.array_equal(Waveforms(clips, AUDIO_SPEC, how, seed=3)[0, 0], wanted[0, 0])


def test_copy_0_is_unaugmented_and_the_others_differ(clips: tuple[Clip, ...]) -> None:
    some = Waveforms(clips, AUDIO_SPEC, Augmentation(time_shift=0.3, gain=6.0, n_augmented=3))
    versions = [some.augmented_copy(4, version) for version in range(3)]
    assert np.array_equal(versions[0], load_clip(clips[4].path, AUDIO_SPEC))
    assert not np.array_equal(versions[1], versions[2])
    used = {some.copy_number(epoch, 4) for epoch in range(40)}
    assert used == {0, 1, 2}
    for epoch in range(5):
        assert np.array_equal(some[epoch, 4], versions[some.copy_number(epoch, 4)])


def test_mixing_takes_another_clip_of_the_same_event(
    clips: tuple[Clip, ...], read: list[Path]
) -> None:
    mixed = Waveforms(clips, AUDIO_SPEC, Augmentation(mixing=Mixing(), n_augmented=0))
    event_of = {clip.path: clip.label("event") for clip in clips}
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
    alone = Waveforms(clips[:1], AUDIO_SPEC, Augmentation(mixing=Mixing(), n_augmented=0))
    assert all(len(alone[epoch, 0]) == RATE for epoch in range(6))


def test_half_of_the_copies_are_mixtures(clips: tuple[Clip, ...]) -> None:
    mixed = Waveforms(clips, AUDIO_SPEC, Augmentation(mixing=Mixing(), n_augmented=9), seed=4)
    recorded = [load_clip(clip.path, AUDIO_SPEC) for clip in clips]
    mixtures = 0
    for index, samples in enumerate(recorded):
        versions = [mixed.augmented_copy(index, version) for version in range(9)]
        assert np.array_equal(versions[0], samples)
        changed = [one for one in versions[1:] if not np.array_equal(one, samples)]
        assert len({one.tobytes() for one in changed}) == len(changed)
        mixtures += len(changed)
        for epoch in (0, 5):
            sample = mixed[epoch, index]
            assert np.array_equal(sample, versions[mixed.copy_number(epoch, index)])
    assert mixtures == pytest.approx(8 * len(clips) / 2, rel=0.2), "half of what is drawn"


@pytest.mark.parametrize(
    ("options", "fresh"),
    [
        ({}, False),
        ({"time_shift": 1.0, "n_augmented": 4}, False),
        ({"mixing": Mixing(), "n_augmented": 4}, False),
        ({"time_shift": 1.0, "n_augmented": 0}, True),
        ({"mixing": Mixing(), "n_augmented": 0}, True),
        ({"random_crop": True, "n_augmented": 4}, True),
    ],
)
def test_which_options_draw_copies_in_each_epoch(options: dict[str, object], fresh: bool) -> None:
    assert Augmentation(**options).fresh is fresh  # type: ignore[arg-type]


def test_audiomentations_is_a_plain_callable(clips: tuple[Clip, ...]) -> None:
    transform = audiomentations.PolarityInversion(p=1.0)
    turned = Waveforms(clips, AUDIO_SPEC, Augmentation(transform=transform, n_augmented=0))
    assert np.array_equal(turned[0, 0], -load_clip(clips[0].path, AUDIO_SPEC))


def test_a_transform_that_changes_the_length_is_refused(clips: tuple[Clip, ...]) -> None:
    bad = Waveforms(clips, AUDIO_SPEC, Augmentation(transform=lambda x, _: x[1:], n_augmented=0))
    with pytest.raises(ValueError, match=r"\(16000,\) to \(15999,\)"):
        bad[0, 0]


def test_random_cuts_of_long_clips_move_with_the_epoch(clips: tuple[Clip, ...]) -> None:
    audio_spec = AudioSpec(RATE, seconds=0.25)
    cut = Waveforms(clips, audio_spec, Augmentation(random_crop=True))
    whole = load_clip(clips[0].path, AUDIO_SPEC)
    pieces = [cut[epoch, 0] for epoch in range(4)]
    for piece in pieces:
        assert len(piece) == RATE // 4
        windows = np.lib.stride_tricks.sliding_window_view(whole, len(piece))
        assert (windows == piece).all(axis=1).any()
    assert len({piece.tobytes() for piece in pieces}) == 4


def words_of(digest: str) -> list[int]:
    return [int.from_bytes(bytes.fromhex(digest)[n : n + 4], "little") for n in range(0, 32, 4)]


def slow_version(
    clips: Sequence[Clip],
    audio_spec: AudioSpec,
    how: Augmentation,
    seed: int,
    index: int,
    version: int,
) -> np.ndarray:
    """A version of a clip from its own decode, its draws from the digest of its sound."""
    digests = [verify(clip.path) for clip in clips]

    def rng(stream: int) -> np.random.Generator:
        return np.random.default_rng([seed, stream, 0, version, *words_of(digests[index])])

    samples = load_clip(clips[index].path, audio_spec)
    if not version:
        return samples
    rate, wave = audio_spec.sample_rate, rng(1)
    own = clips[index].label("category"), clips[index].label("event")

    def ordered(same: bool) -> list[int]:
        others = [
            n
            for n, clip in enumerate(clips)
            if ((clip.label("category"), clip.label("event")) == own) is same and n != index
        ]
        return sorted(
            others, key=lambda n: (clips[n].label("category"), clips[n].label("event"), digests[n])
        )

    if how.mixing is not None:
        choice = rng(6)
        if choice.uniform() < 0.5:
            second = ordered(same=True)[choice.integers(len(ordered(same=True)))]
            other = load_clip(clips[second].path, audio_spec)
            samples = mix_same_class(samples, other, rate, how.mixing, rng(7))
    samples = np.roll(samples, round(wave.uniform(-how.time_shift, how.time_shift) * rate))
    choice = rng(4)
    if how.between_class_mix and choice.uniform() < how.between_class_mix:
        share = choice.uniform(0.5, 1)
        second = ordered(same=False)[choice.integers(len(ordered(same=False)))]
        other = load_clip(clips[second].path, audio_spec)
        other = np.roll(other, round(rng(5).uniform(-how.time_shift, how.time_shift) * rate))
        samples = between_class_mix(samples, other, rate, share)
    factor = 10 ** (wave.uniform(-how.gain, how.gain) / 20)
    return (samples * factor).astype(np.float32)


@pytest.mark.parametrize(
    "extra", [{}, {"between_class_mix": 0.6}, {"mixing": Mixing(0.4, 6.0, 10.0)}]
)
@pytest.mark.parametrize("kept", [False, True])
def test_copies_equal_the_reference(
    clips: tuple[Clip, ...], extra: dict[str, Any], kept: bool
) -> None:
    how = Augmentation(time_shift=0.3, gain=6.0, n_augmented=4, **extra)
    decoded = Decoded() if kept else None
    if kept:
        contents_of([clip.path for clip in clips], decoded=decoded)
    some = Waveforms(clips, AUDIO_SPEC, how, seed=5, decoded=decoded)
    for index in range(0, len(clips), 5):
        for version in range(4):
            slow = slow_version(clips, AUDIO_SPEC, how, 5, index, version)
            assert np.array_equal(some.augmented_copy(index, version), slow)


@pytest.mark.parametrize("n_augmented", [0, 4])
def test_a_new_file_leaves_the_augmented_copies_of_the_others(
    clips: tuple[Clip, ...], tmp_path: Path, n_augmented: int
) -> None:
    new = tmp_path / "aaa.wav"
    soundfile.write(new, np.random.default_rng(0).uniform(-0.1, 0.1, RATE), RATE)
    more = [labelled(new, "high", "beep", "new", None), *reversed(clips)]
    how = Augmentation(time_shift=0.3, gain=6.0, n_augmented=n_augmented)
    one, other = Waveforms(clips, AUDIO_SPEC, how, seed=1), Waveforms(more, AUDIO_SPEC, how, seed=1)
    for index in range(len(clips)):
        there = len(clips) - index
        for epoch in range(3):
            assert np.array_equal(one[epoch, index], other[epoch, there])
            if n_augmented:
                assert one.recipe(index, epoch) == other.recipe(there, epoch)


def test_shift_and_gain_stay_when_the_partners_change(clips: tuple[Clip, ...]) -> None:
    """Copies that are not mixed are equal in both sets; mixtures have the same share in both."""
    how = Augmentation(time_shift=0.3, gain=6.0, between_class_mix=0.5, n_augmented=12)
    one, other = Waveforms(clips, AUDIO_SPEC, how), Waveforms(clips[:-1], AUDIO_SPEC, how)
    alone = 0
    for version in range(1, 12):
        mine, theirs = one.mix_of(2, version), other.mix_of(2, version)
        assert mine.share == theirs.share
        if mine.share == 1:
            alone += 1
            assert np.array_equal(one.augmented_copy(2, version), other.augmented_copy(2, version))
    assert alone > 2


@pytest.mark.parametrize("extra", [{"between_class_mix": 0.6}, {"mixing": Mixing(0.4, 6.0, 10.0)}])
def test_names_and_order_of_files_change_nothing(
    clips: tuple[Clip, ...], tmp_path: Path, extra: dict[str, Any]
) -> None:
    how = Augmentation(time_shift=0.3, n_augmented=3, **extra)
    order = [int(n) for n in np.random.default_rng(0).permutation(len(clips))]
    moved = []
    for place, index in enumerate(order):
        path = tmp_path / f"{place}.flac"
        samples, rate = soundfile.read(clips[index].path, dtype="int16")
        soundfile.write(path, samples, rate)
        moved.append(replace(clips[index], path=path))
    one, other = Waveforms(clips, AUDIO_SPEC, how, 3), Waveforms(moved, AUDIO_SPEC, how, 3)
    for place, index in enumerate(order):
        for version in range(3):
            assert np.array_equal(
                one.augmented_copy(index, version), other.augmented_copy(place, version)
            )
            assert one.recipe(index, version) == other.recipe(place, version)


def test_one_sound_under_two_labels_has_partners_of_either_class(
    clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    copy = shutil.copy(clips[0].path, tmp_path / "copy.wav")
    both = [*clips, labelled(Path(copy), "low", "hum", "copy", None)]
    assert clips[0].label("category") == "high"
    some = Waveforms(
        both, AUDIO_SPEC, Augmentation(time_shift=0.2, between_class_mix=1.0, n_augmented=40)
    )
    last = len(clips)
    for version in range(1, 40):
        for index in (0, last):
            partner = some.mix_of(index, version).partner
            assert both[partner].label("event") != both[index].label("event")
        assert some.mix_of(0, version).share == some.mix_of(last, version).share
    recipes = {some.recipe(n, version) for n in (0, last) for version in range(1, 40)}
    assert 40 < len(recipes) <= 78, "the second clip counts"


def test_each_clip_is_decoded_once(clips: tuple[Clip, ...], read: list[Path]) -> None:
    some = Waveforms(
        clips, AUDIO_SPEC, Augmentation(time_shift=0.3, between_class_mix=0.5, n_augmented=6)
    )
    versions = [(index, version) for index in range(len(clips)) for version in range(6)]
    list(prefetch(lambda one: some.augmented_copy(*one), versions, threads=4))
    assert sorted(read) == [clip.path for clip in clips]


def test_random_cuts_and_delays_agree_at_two_rates(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    ramp = np.linspace(-0.5, 0.5, 5 * RATE).astype(np.float32)
    soundfile.write(path, ramp, RATE, subtype="FLOAT")
    clip = labelled(path, "x", None, "a", None)
    how = Augmentation(random_crop=True, time_shift=0.2, n_augmented=0)
    for epoch in range(20):
        low, high = (
            Waveforms([clip], AudioSpec(rate, seconds=1.0), how)[epoch, 0]
            for rate in (RATE, 2 * RATE)
        )
        # The value tells the place in the recording: 1 / (5 RATE) for each sample.
        middle = abs(low - high[::2])
        assert np.median(middle) < 2.5 / (5 * RATE)
