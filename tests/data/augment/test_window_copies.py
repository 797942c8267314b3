"""Waveforms of windows: the samples of the recording, with draws of their own."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_files import noise

from sonotype.audio.clip import AudioSpec, load_clip
from sonotype.audio.decode import load_audio
from sonotype.core.errors import AudioError
from sonotype.core.prefetch import prefetch
from sonotype.core.types import Clip
from sonotype.data.augment.augmented_copies import Augmentation, Waveforms
from sonotype.data.augment.waveform import Mixing
from sonotype.data.decoded import Decoded
from sonotype.data.digest import contents_of

RATE = 16_000
FILE_RATE = 22_050
SECONDS = 12.3
SPEC = AudioSpec(RATE, seconds=2.0)
DRAWS = Augmentation(time_shift=0.3, gain=6.0, n_augmented=0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "night.wav"
    soundfile.write(path, noise(SECONDS, rate=FILE_RATE), FILE_RATE, "PCM_16")
    return path


def window(path: Path, start: float | None, label: str = "x") -> Clip:
    return Clip(path, {"category": (label,)}, "", None, None, start, None if start is None else 2.0)


def windows(path: Path, *starts: float) -> list[Clip]:
    return [window(path, start, "xy"[number % 2]) for number, start in enumerate(starts)]


def decoded_of(path: Path) -> Decoded:
    decoded = Decoded()
    contents_of([path], decoded=decoded)
    assert decoded.get(path) is not None
    return decoded


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("rate", [RATE, FILE_RATE])
def test_samples_of_the_interval(recording: Path, kept: bool, rate: int) -> None:
    clips = windows(recording, 0, 0.5, 3.333, 10.3, 7.1)
    decoded = decoded_of(recording) if kept else None
    spec = replace(SPEC, sample_rate=rate)
    waveforms = Waveforms(clips, spec, decoded=decoded)
    for index, clip in enumerate(clips):
        wanted = load_audio(recording, sample_rate=rate, start=clip.start or 0, duration=2).samples
        found = waveforms[0, index]
        assert len(found) == spec.length
        np.testing.assert_array_equal(found[: len(wanted)], wanted[: spec.length])
        assert not found[len(wanted) :].any()


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("pad", ["centre", "start", "repeat"])
def test_silence_follows_the_end_of_a_recording(recording: Path, kept: bool, pad: str) -> None:
    decoded = decoded_of(recording) if kept else None
    spec = replace(SPEC, pad=pad)  # type: ignore[arg-type]
    found = Waveforms([window(recording, 11.5)], spec, decoded=decoded)[0, 0]
    rest = load_audio(recording, sample_rate=RATE, start=11.5).samples
    assert len(rest) == pytest.approx(0.8 * RATE, abs=2)
    np.testing.assert_array_equal(found[: len(rest)], rest)
    assert not found[len(rest) :].any()


@pytest.mark.parametrize("pad", ["centre", "start", "repeat"])
def test_a_recording_shorter_than_a_window_is_padded_like_a_clip(tmp_path: Path, pad: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0.7, rate=RATE), RATE)
    spec = replace(SPEC, pad=pad)  # type: ignore[arg-type]
    found = Waveforms([window(path, 0.0)], spec)[0, 0]
    np.testing.assert_array_equal(found, load_clip(path, spec))


@pytest.mark.parametrize("kept", [False, True])
def test_a_window_beyond_the_recording(recording: Path, kept: bool) -> None:
    decoded = decoded_of(recording) if kept else None
    with pytest.raises(AudioError, match=r"night\.wav: the start is at 20 s"):
        Waveforms([window(recording, 20.0)], SPEC, decoded=decoded)[0, 0]


def test_each_window_has_its_own_draws_and_recipe(recording: Path) -> None:
    clips = [*windows(recording, 0, 2, 2.001), window(recording, None)]
    waveforms = Waveforms(clips, SPEC, DRAWS)
    states = [waveforms._rng(1, (1, 0), index).random() for index in range(4)]
    assert len(set(states)) == 4
    for copy in (0, 1):
        assert len({waveforms.recipe(index, copy) for index in range(4)}) == 4
    longer = replace(clips[0], seconds=3.0)
    assert Waveforms([longer], SPEC).recipe(0, 0) != waveforms.recipe(0, 0)


def test_draws_depend_on_the_window_alone(recording: Path, tmp_path: Path) -> None:
    clips = windows(recording, 0, 2, 4, 6)
    one = Waveforms(clips, SPEC, DRAWS, seed=3)
    copy = tmp_path / "copy.wav"
    copy.write_bytes(recording.read_bytes())
    other = Waveforms(windows(copy, 0, 2, 4, 6)[::-1], SPEC, DRAWS, seed=3)
    for index in range(4):
        np.testing.assert_array_equal(one[5, index], other[5, 3 - index])
        assert one.recipe(index, 1) == other.recipe(3 - index, 1)
    assert not np.array_equal(one[5, 1], one[6, 1])
    seeded = Waveforms(clips, SPEC, DRAWS, seed=4)
    assert not np.array_equal(one[5, 1], seeded[5, 1])


def test_whole_files_keep_their_seeds(recording: Path) -> None:
    """The seed words of a clip are those of its digest, as before there were windows."""
    waveforms = Waveforms([window(recording, None)], SPEC, DRAWS, seed=3)
    words = np.frombuffer(bytes.fromhex(waveforms.contents[recording].sound), "<u4").tolist()
    wanted = np.random.default_rng([3, 1, 1, 5, *words]).random()
    assert waveforms._rng(1, (1, 5), 0).random() == wanted
    np.testing.assert_array_equal(
        Waveforms([window(recording, None)], SPEC)[0, 0], load_clip(recording, SPEC)
    )


def test_windows_are_not_cropped_at_random(recording: Path) -> None:
    clips = windows(recording, 3.0)
    random_crop = Waveforms(clips, SPEC, Augmentation(random_crop=True))
    np.testing.assert_array_equal(random_crop[7, 0], Waveforms(clips, SPEC)[0, 0])


@pytest.mark.parametrize(
    "how", [Augmentation(between_class_mix=1.0, n_augmented=4), Augmentation(mixing=Mixing())]
)
def test_mixtures_of_windows_of_one_recording(recording: Path, how: Augmentation) -> None:
    """The partners do not depend on the order of the windows, although their digests are equal."""
    starts = [float(n) for n in range(10)]
    how = replace(how, n_augmented=4)
    clips = windows(recording, *starts)
    order = np.random.default_rng(0).permutation(10).tolist()
    one = Waveforms(clips, SPEC, how)
    other = Waveforms([clips[index] for index in order], SPEC, how)
    for place, index in enumerate(order):
        for copy in range(1, 4):
            np.testing.assert_array_equal(
                one.augmented_copy(index, copy), other.augmented_copy(place, copy)
            )
            assert one.recipe(index, copy) == other.recipe(place, copy)
    if how.between_class_mix:
        mixes = [one.mix_of(index, 1) for index in range(10)]
        assert all(
            clips[mix.partner].labels != clips[index].labels for index, mix in enumerate(mixes)
        )


def test_windows_without_a_class_are_partners_of_the_others(recording: Path) -> None:
    how = Augmentation(between_class_mix=1.0, n_augmented=2)
    clips = windows(recording, 0, 2, 4)
    empty = [replace(clip, labels={"category": ()}) for clip in windows(recording, 6, 8)]
    waveforms = Waveforms([*clips, *empty], SPEC, how)
    for index in (3, 4):
        assert waveforms.mix_of(index, 1).partner in (0, 1, 2)
    only = Waveforms(empty, SPEC, how)
    assert only.mix_of(0, 1).share == 1


def test_threads_and_pickled_copies(recording: Path) -> None:
    starts = np.arange(0, 10, 0.1).tolist()
    waveforms = Waveforms(windows(recording, *starts), SPEC)
    wanted = [load_audio(recording, sample_rate=RATE, start=s, duration=2).samples for s in starts]
    keys = [(0, index) for index in range(len(starts))]
    for source in (waveforms, pickle.loads(pickle.dumps(waveforms))):
        found = list(prefetch(source.__getitem__, keys, threads=4))
        source.clear()
        np.testing.assert_array_equal(found, wanted)
