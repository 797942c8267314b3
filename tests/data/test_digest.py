"""Digests of clips: what is the same sound, how often files are read, what is kept of them."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from heads import labelled

from sonotype.audio.clip import AudioSpec, crop_for_clip, load_clip, pad_or_trim
from sonotype.audio.decode import Samples, load_audio, verify
from sonotype.core.errors import AudioError, SonotypeError
from sonotype.core.types import Content
from sonotype.data import decoded as decoded_module
from sonotype.data.decoded import Decoded, Recent
from sonotype.data.digest import (
    Contents,
    clips_seen,
    contents_of,
    equally_long,
    prefixes,
    united,
)

RATE = 16_000


def noise(seed: int, seconds: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)


def write(path: Path, seed: int, **how: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whole numbers: libsndfile rounds floats in another way for each format.
    soundfile.write(path, np.int16(noise(seed) * 32_000), RATE, **how)
    return path


def slow_united(keys: list[set[str]]) -> list[int]:
    """Join sets that meet until nothing changes."""
    roots = list(range(len(keys)))
    changed = True
    while changed:
        changed = False
        for one in range(len(keys)):
            for other in range(len(keys)):
                low = min(roots[one], roots[other])
                if keys[one] & keys[other] and (roots[one], roots[other]) != (low, low):
                    roots[one] = roots[other] = low
                    changed = True
    return roots


def test_items_that_share_keys_are_united_also_through_others() -> None:
    assert united([["a"], ["b"], ["a", "b"], ["c"], []]) == [0, 0, 0, 3, 4]
    rng = np.random.default_rng(0)
    for _ in range(50):
        keys = [{str(n) for n in rng.integers(12, size=rng.integers(3))} for _ in range(10)]
        assert united(keys) == slow_united(keys)


def test_contents_are_the_digests_of_bytes_and_of_samples(tmp_path: Path) -> None:
    wav, flac = write(tmp_path / "a.wav", 0), write(tmp_path / "a.flac", 0)
    other = write(tmp_path / "b.wav", 1)
    (tmp_path / "c.wav").write_bytes(b"no sound")
    gone = tmp_path / "gone.wav"
    paths = [wav, flac, other, tmp_path / "c.wav", gone, wav]
    contents, issues = contents_of(paths)
    assert contents[wav].file == hashlib.sha256(wav.read_bytes()).hexdigest()
    assert contents[wav].sound == verify(wav) == contents[flac].sound == verify(flac)
    assert contents[wav].file != contents[flac].file
    assert contents[other].sound != contents[wav].sound
    digest = hashlib.sha256(b"no sound").hexdigest()
    assert contents[tmp_path / "c.wav"] == Content(digest)
    assert gone not in contents
    assert [(issue.file, issue.cause.split("(")[0]) for issue in issues] == [
        (str(tmp_path / "c.wav"), "is not a readable sound "),
        (str(gone), "does not exist"),
    ]
    hashed, issues = contents_of(paths, decode=False)
    assert issues == []
    assert hashed == {path: Content(one.file) for path, one in contents.items()}


def test_only_files_of_one_length_can_have_equal_bytes(tmp_path: Path) -> None:
    sizes = {"a": 5, "b": 5, "c": 7, "d": 0, "e": 0, "f": 7, "g": 8}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    assert [path.name for path in equally_long(sorted(tmp_path.iterdir()))] == ["a", "b", "c", "f"]


def test_seen_clips_match_by_either_digest() -> None:
    one, other, third = (Content(n * 64, n.upper() * 64) for n in "abc")
    assert prefixes(one) == {"a" * 16, "A" * 16}
    seen = {"a" * 16, "B" * 16}
    assert clips_seen(seen, [one, other, third, one]) == 3
    assert clips_seen(set(), [one]) == 0


def test_known_contents_are_used_and_others_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 0)
    clip = labelled(path, "x", None, "a", None, Content("f", "s", None))
    assert Contents([clip])[path].sound == "s"
    assert Contents([replace(clip, content=Content("f"))])[path].sound == verify(path)
    with pytest.raises(AudioError, match="does not exist"):
        Contents()[tmp_path / "gone.wav"]


def test_a_file_that_changed_since_validation_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 0)
    contents, _ = contents_of([path])
    clips = [labelled(path, "x", None, "a", None, contents[path])]
    known = Contents(clips)
    assert known[path] is contents[path]
    known.require_unchanged()
    os.utime(path, ns=(0, 0))
    unused = Contents(clips)
    unused.require_unchanged()
    with pytest.raises(SonotypeError, match=r"a\.wav changed while it was being read"):
        known.require_unchanged()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("trim", [False, True])
def test_a_kept_sound_gives_the_clip_that_its_file_gives(
    tmp_path: Path, channels: int, trim: bool
) -> None:
    path = tmp_path / "a.wav"
    samples = np.stack([noise(seed, 1.3) for seed in range(channels)], axis=1)
    soundfile.write(path, samples, 22_050)
    kept = Decoded()
    contents_of([path], decoded=kept)
    sound = kept.get(path)
    assert sound is not None
    whole = load_audio(path)
    assert (sound.sample_rate, sound.file_seconds) == (whole.sample_rate, whole.file_seconds)
    assert np.array_equal(sound.samples, whole.samples)
    for seconds in (0.5, 2.0):
        audio_spec = AudioSpec(RATE, seconds=seconds, trim=trim)
        assert np.array_equal(
            pad_or_trim(crop_for_clip(sound, audio_spec), audio_spec), load_clip(path, audio_spec)
        )


def test_kept_sounds_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / f"{n}.wav", n) for n in range(3)]  # of 32,000 bytes
    kept = Decoded(70_000)
    contents_of(paths, decoded=kept)
    assert sum(kept.get(path) is not None for path in paths) == 2
    monkeypatch.setattr(decoded_module, "LONGEST_BYTES", 31_999)
    long = Decoded()
    contents_of(paths, decoded=long)
    assert [long.get(path) for path in paths] == [None] * 3
    assert pickle.loads(pickle.dumps(kept)).get(paths[0]) is None
    kept.clear()
    assert [kept.get(path) for path in paths] == [None] * 3


def test_recent_arrays_are_computed_once_and_the_oldest_goes_first() -> None:
    computed: list[int] = []

    def get(recent: Recent, number: int) -> float:
        def compute() -> Samples:
            computed.append(number)
            return np.full(10, number, np.float32)

        return float(recent.get(number, compute)[0])

    recent = Recent(80)  # two arrays
    assert [get(recent, number) for number in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert computed == [1, 2, 3, 2]
    computed.clear()
    small = Recent(1)
    assert [get(small, number) for number in (1, 1, 2, 2)] == [1, 1, 2, 2]
    assert computed == [1, 2]
    assert get(pickle.loads(pickle.dumps(recent)), 1) == 1
    assert computed == [1, 2, 1]

    def fails() -> Samples:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        recent.get(9, fails)
    assert get(recent, 9) == 9
