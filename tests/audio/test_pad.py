from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest

from sonotype.audio.pad import Crop, Pad, SilenceTrimmer, crop_offset, fit_length, trim_silence

SIX = np.arange(1, 7, dtype=np.float32)


@pytest.mark.parametrize(
    ("pad", "length", "expected"),
    [
        ("centre", 10, [0, 0, 1, 2, 3, 4, 5, 6, 0, 0]),
        ("centre", 9, [0, 1, 2, 3, 4, 5, 6, 0, 0]),
        ("centre", 7, [1, 2, 3, 4, 5, 6, 0]),
        ("start", 9, [1, 2, 3, 4, 5, 6, 0, 0, 0]),
        ("repeat", 9, [1, 2, 3, 4, 5, 6, 1, 2, 3]),
        ("repeat", 14, [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2]),
    ],
)
def test_short_sounds_are_padded(pad: str, length: int, expected: list[float]) -> None:
    fitted = fit_length(SIX, length, pad=pad)
    np.testing.assert_array_equal(fitted, expected)
    assert fitted.dtype == np.float32


@pytest.mark.parametrize(
    ("crop", "length", "expected"),
    [
        ("front", 4, [1, 2, 3, 4]),
        ("centre", 4, [2, 3, 4, 5]),
        ("centre", 3, [2, 3, 4]),
        ("centre", 1, [3]),
        ("front", 1, [1]),
    ],
)
def test_long_sounds_are_cut(crop: str, length: int, expected: list[float]) -> None:
    np.testing.assert_array_equal(fit_length(SIX, length, crop=crop), expected)


@pytest.mark.parametrize("pad", get_args(Pad))
@pytest.mark.parametrize("crop", get_args(Crop))
def test_what_fits_stays(pad: str, crop: str) -> None:
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(fit_length(SIX, 6, pad=pad, crop=crop, rng=rng), SIX)


@pytest.mark.parametrize(
    ("pad", "expected"),
    [("centre", [0, 0, 7, 0, 0]), ("start", [7, 0, 0, 0, 0]), ("repeat", [7] * 5)],
)
def test_one_sample_is_enough(pad: str, expected: list[float]) -> None:
    one = np.array([7], dtype=np.float32)
    np.testing.assert_array_equal(fit_length(one, 5, pad=pad), expected)


def test_random_cuts_reach_every_part_evenly() -> None:
    rng = np.random.default_rng(0)
    firsts = [fit_length(SIX, 4, crop="random", rng=rng)[0] for _ in range(600)]
    counts = [firsts.count(first) for first in (1, 2, 3)]
    assert sum(counts) == 600
    assert min(counts) > 160


def test_random_cuts_need_a_generator() -> None:
    with pytest.raises(ValueError, match=r"^crop='random' needs a random generator$"):
        crop_offset(5, "random")


def bursts() -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(8_000).astype(np.float32)
    time = np.arange(16_000) / 16_000
    silence = np.zeros(16_000, dtype=np.float32)
    click = silence.copy()
    click[10_000] = 1
    return {
        "noise between silences": np.concatenate([silence, noise, silence]),
        "noise in faint noise": np.concatenate([noise * 3e-4, noise, noise * 3e-4]),
        "noise in noise 50 dB lower": np.concatenate([noise * 3e-3, noise, noise * 3e-3]),
        "fading": (np.exp(-12 * time) * np.sin(2 * np.pi * 440 * time)).astype(np.float32),
        "silence before": np.concatenate([silence, noise]),
        "silence after": np.concatenate([noise, silence]),
        "two bursts": np.concatenate([silence, noise, silence, noise, silence]),
        "click": click,
        "noise": noise,
        "constant": np.ones(5_000, dtype=np.float32),
        "shorter than a frame": noise[:700],
        "one sample": noise[:1],
        "silent": silence,
        "odd length": np.concatenate([silence[:777], noise[:3_333], silence[:5_001]]),
    }


LIBROSA = {
    "noise between silences": (15_360, 25_088),
    "noise in faint noise": (7_168, 17_408),
    "noise in noise 50 dB lower": (0, 24_000),
    "fading": (0, 10_240),
    "silence before": (15_360, 24_000),
    "silence after": (0, 9_216),
    "two bursts": (15_360, 49_152),
    "click": (9_216, 11_264),
    "noise": (0, 8_000),
    "constant": (0, 5_000),
    "shorter than a frame": (0, 700),
    "one sample": (0, 1),
    "silent": (0, 16_000),
    "odd length": (0, 5_632),
}
"""The second result of librosa.effects.trim(samples, top_db=60), librosa 0.11."""


@pytest.mark.parametrize("name", LIBROSA)
def test_silence_is_trimmed_as_librosa_trims_it(name: str) -> None:
    samples = bursts()[name]
    first, end = LIBROSA[name]
    np.testing.assert_array_equal(trim_silence(samples), samples[first:end])
    in_blocks = SilenceTrimmer()
    for block in np.array_split(samples, 7):
        in_blocks.add(block)
    assert in_blocks.bounds() == (first, end)


def test_the_level_does_not_matter() -> None:
    # librosa's floor of 1e-5 would keep the silence around a sound below -40 dB.
    loud = bursts()["noise between silences"]
    faint = loud * np.float32(2**-12)
    np.testing.assert_array_equal(trim_silence(faint) * np.float32(2**12), trim_silence(loud))
