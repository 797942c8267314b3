"""Two clips of different classes together: levels, shares, partners, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from training_data import RATE, write_tones

from sonotype.audio.clip import AudioSpec, load_clip
from sonotype.core.errors import DataError, OptionsError
from sonotype.core.types import Clip
from sonotype.data.augment.augmented_copies import (
    LEAST_SHARE,
    Augmentation,
    BetweenClassMix,
    Waveforms,
)
from sonotype.data.augment.waveform import between_class_mix
from sonotype.data.readers.folder import read_folder
from sonotype.data.readers.unlabelled import unlabelled_clips

AUDIO_SPEC = AudioSpec(RATE, seconds=1.0)
ALWAYS = Augmentation(between_class_mix=1.0, n_augmented=6)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    return read_folder(write_tones(tmp_path_factory.mktemp("tones"), clips=3)).clips


@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_both_clips_get_the_level_of_the_first(share: float) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal(RATE).astype(np.float32) for _ in range(2))
    second[RATE // 2 :] = 0  # silence does not count: the loudest tenth of a second does
    quiet = between_class_mix(first, 0.01 * second, RATE, share)
    assert quiet == pytest.approx(between_class_mix(first, second, RATE, share), abs=1e-5)
    tenths = [one.astype(np.float64).reshape(10, -1) for one in (first, second)]
    loudest = [np.sqrt((one**2).mean(1)).max() for one in tenths]
    wanted = share * first + (1 - share) * loudest[0] / loudest[1] * second
    wanted /= np.sqrt(share**2 + (1 - share) ** 2)
    assert quiet == pytest.approx(wanted, abs=1e-5)
    assert quiet.dtype == np.float32


def test_silence_has_no_share() -> None:
    sound, silence = np.ones(RATE, np.float32), np.zeros(RATE, np.float32)
    assert np.array_equal(between_class_mix(sound, silence, RATE, 0.6), sound)
    assert np.array_equal(between_class_mix(silence, sound, RATE, 0.6), sound)
    assert np.array_equal(between_class_mix(silence, silence, RATE, 0.6), silence)


def test_a_partner_is_of_another_class_and_of_the_same_pool(clips: tuple[Clip, ...]) -> None:
    groups = [index % 2 for index in range(len(clips))]
    some = Waveforms(clips, AUDIO_SPEC, ALWAYS, groups=groups)
    partners = set()
    for index, clip in enumerate(clips):
        assert some.mix_of(index, 0) == BetweenClassMix(index), "copy 0 is the recording"
        for version in range(1, 6):
            what = some.mix_of(index, version)
            assert LEAST_SHARE <= what.share < 1
            assert clips[what.partner].label("event") != clip.label("event")
            assert groups[what.partner] == groups[index]
            partners.add(what.partner)
    assert partners == set(range(len(clips)))


def test_samples_equal_the_mixture(clips: tuple[Clip, ...]) -> None:
    some = Waveforms(clips, AUDIO_SPEC, ALWAYS)
    what = some.mix_of(2, 3)
    first, second = (load_clip(clips[index].path, AUDIO_SPEC) for index in (2, what.partner))
    assert np.array_equal(
        some.augmented_copy(2, 3), between_class_mix(first, second, RATE, what.share)
    )
    fresh = Waveforms(clips, AUDIO_SPEC, Augmentation(between_class_mix=1.0, n_augmented=0))
    what = fresh.mix_in((4, 2))
    second = load_clip(clips[what.partner].path, AUDIO_SPEC)
    assert np.array_equal(fresh[4, 2], between_class_mix(first, second, RATE, what.share))
    assert fresh.mix_in((5, 2)) != what


def test_the_same_blend_at_another_rate(clips: tuple[Clip, ...]) -> None:
    """A teacher that wants another rate uses the same clips with the same shares and shifts."""
    how = Augmentation(time_shift=0.4, gain=6.0, between_class_mix=0.7, n_augmented=5)
    low = Waveforms(clips, AUDIO_SPEC, how, seed=3)
    high = Waveforms(clips, AudioSpec(2 * RATE, seconds=1.0), how, seed=3)
    for version in range(5):
        assert low.mix_of(1, version) == high.mix_of(1, version)
        one, other = low.augmented_copy(1, version), high.augmented_copy(1, version)[::2]
        assert np.corrcoef(one, other)[0, 1] > 0.9  # shifts may differ by a sample


def test_the_share_of_mixtures(clips: tuple[Clip, ...]) -> None:
    some = Waveforms(clips, AUDIO_SPEC, Augmentation(between_class_mix=0.3, n_augmented=201))
    mixed = [some.mix_of(5, version).share < 1 for version in range(1, 201)]
    assert 0.2 < np.mean(mixed) < 0.4


def test_a_single_class_is_not_mixed(clips: tuple[Clip, ...]) -> None:
    alone = [clip for clip in clips if clip.label("event") == clips[0].label("event")]
    some = Waveforms(alone, AUDIO_SPEC, ALWAYS)
    assert some.mix_of(0, 1) == BetweenClassMix(0)
    assert np.array_equal(some.augmented_copy(0, 1), load_clip(alone[0].path, AUDIO_SPEC))


def test_sounds_without_labels(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=2)
    (tones / "notes.txt").write_text("no sound")
    found = unlabelled_clips([tones / "high", tones / "low"])
    assert [clip.path for clip in found] == sorted(tones.rglob("*.wav"))
    assert {(clip.label("category"), clip.label("event"), clip.fold) for clip in found} == {
        (None, None, None)
    }
    again = unlabelled_clips([tones], labelled=found[:3])
    assert [clip.path for clip in again] == sorted(clip.path for clip in found[3:])
    with pytest.raises(OptionsError, match="all its sounds are among the labelled clips"):
        unlabelled_clips([tones], labelled=found)
    some = Waveforms(found, AUDIO_SPEC, ALWAYS)
    assert all(some.mix_of(index, 1).partner != index for index in range(len(found)))


def test_faults_of_sounds_without_labels(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="empty: no such folder; name a folder of sounds"):
        unlabelled_clips([tmp_path / "empty"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionsError, match="empty: holds no sound files"):
        unlabelled_clips([tmp_path / "empty"])
    with pytest.raises(OptionsError, match="/dev/null: is a device; name a folder of sounds"):
        unlabelled_clips(["/dev/null"])
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_text("no sound")
    soundfile.write(tmp_path / "c.wav", np.zeros(99), RATE)
    with pytest.raises(DataError) as caught:
        unlabelled_clips([tmp_path])
    assert [Path(issue.file).name for issue in caught.value.issues] == ["a.wav", "b.wav"]
    (tmp_path / "d.wav").symlink_to("gone.wav")
    with pytest.raises(DataError, match=r"d\.wav: is a broken link"):
        unlabelled_clips([tmp_path])
