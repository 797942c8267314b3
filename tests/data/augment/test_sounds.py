"""The separate sounds in clips, and backgrounds that are repeated."""

from __future__ import annotations

import numpy as np

from sonotype.data.augment.event_mixture import repeat
from sonotype.data.augment.sounds import bursts

RATE = 32_000


def test_bursts_are_where_a_clip_sounds() -> None:
    rng = np.random.default_rng(0)
    clip = 1e-3 * rng.standard_normal(5 * RATE)
    clip[4 * RATE :] = 0  # digital silence counts for nothing
    loud = rng.standard_normal(5 * RATE)
    for first, end in ((0.5, 0.8), (1.2, 1.3), (2.5, 2.6)):  # the first two are one
        here = slice(round(first * RATE), round(end * RATE))
        clip[here] = loud[here]
    time = np.arange(5 * RATE) / RATE
    clip += 3 * np.sin(2 * np.pi * 30 * time)  # louder than all, but no sound of interest
    found = np.array(bursts(clip.astype(np.float32), RATE)) / RATE
    np.testing.assert_allclose(found, [(0.5, 1.3), (2.5, 2.6)], atol=0.021)


def test_long_quiet_sounds_and_short_remains_are_no_bursts() -> None:
    clip = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
    gain = np.zeros(5 * RATE, np.float32)
    gain[: 2 * RATE] = 0.1  # 20 dB below the others
    for first, samples in ((3 * RATE, RATE // 10), (4 * RATE, RATE // 2), (5 * RATE - 9, 9)):
        gain[first : first + samples] = 1
    found = np.array(bursts(gain * clip, RATE)) / RATE
    np.testing.assert_allclose(found, [(3, 3.1), (4, 4.5)], atol=0.021)
    gain[4 * RATE :] = 0
    found = np.array(bursts(gain * clip, RATE)) / RATE
    np.testing.assert_allclose(found, [(3, 3.1)], atol=0.021)


def test_a_sound_without_pauses_is_one_burst() -> None:
    noise = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
    assert bursts(noise, RATE) == [(0, 5 * RATE)]


def test_repeated_noise_keeps_its_power_at_the_seams() -> None:
    rng = np.random.default_rng(0)
    clip = rng.standard_normal(2 * RATE)
    period = len(clip) - RATE // 2
    noise = repeat(clip, 10 * RATE, RATE, rng)
    assert len(noise) == 10 * RATE
    np.testing.assert_array_equal(noise[:period], noise[period : 2 * period])
    blocks = noise[: 9 * RATE].reshape(-1, RATE // 10)
    powers = np.square(blocks).mean(axis=1)
    assert (powers > 0.85).all()
    assert (powers < 1.15).all()
