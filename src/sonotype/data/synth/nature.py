"""Nature: rain, birdsong, wind, crickets, thunder."""

from __future__ import annotations

import numpy as np

from sonotype.data.synth.signals import (
    Scene,
    Signal,
    band,
    burst,
    colour,
    crackle,
    moving_noise,
    noise,
    swell,
    tone,
    wander,
)


def rain(scene: Scene) -> Signal:
    """Many small drops over the hiss of those too far away to be told apart."""
    low = scene.log_uniform(600, 2500)
    high = low * scene.log_uniform(2.5, 8)
    drops = crackle(scene, scene.log_uniform(40, 400))
    drops = colour(scene, drops, band(low, high))
    drops *= 0.05 / (np.std(drops) + 1e-9)
    hiss = noise(scene, band(low / 2, high))
    hiss *= 0.05 / (np.std(hiss) + 1e-9)
    share = scene.uniform(0.3, 0.8)
    return (share * drops + (1 - share) * hiss) * wander(scene, 0.7, 1.3, 1.0)


def birdsong(scene: Scene) -> Signal:
    """Phrases of quick gliding whistles with pauses between them."""
    canvas = scene.silence()
    centre = scene.log_uniform(1800, 4500)
    span = scene.uniform(0.15, 0.5)
    note = scene.log_uniform(0.05, 0.2)
    gap = note * scene.uniform(1.2, 2.0)
    for phrase in scene.onsets(scene.uniform(0.8, 2.0), 0.3):
        glide = scene.uniform(-span, span)
        count = int(scene.rng.integers(2, 8))
        for number in range(count):
            syllable = scene.part(note * scene.uniform(0.8, 1.2))
            start = centre * (1 + 0.3 * scene.uniform(-span, span))
            path = start * np.exp(glide * (2 * syllable.time / syllable.seconds - 1))
            trill = 1 + 0.03 * np.sin(2 * np.pi * scene.uniform(20, 45) * syllable.time)
            whistle = tone(syllable, path * trill, (1, 0.1)) * swell(syllable, 0.3)
            scene.place(canvas, phrase + number * gap, whistle * scene.uniform(0.5, 1))
    return canvas


def wind(scene: Scene) -> Signal:
    """Low rushing noise that comes in gusts, with a whistling edge that rises with them."""
    gust = wander(scene, 0.05, 1, scene.uniform(0.4, 1.2))
    corner = scene.log_uniform(150, 500)
    rush = noise(scene, band(30, corner, order=1))
    rush *= 1 / (np.std(rush) + 1e-9)
    whistle = moving_noise(scene, corner * (1 + 1.5 * gust), scene.log_uniform(30, 120))
    return gust * (rush + scene.uniform(0.2, 0.8) * gust * whistle)


def crickets(scene: Scene) -> Signal:
    """One to three insects, each chirping in short series of equal pulses on one pitch."""
    canvas = scene.silence()
    for _ in range(int(scene.rng.integers(1, 4))):
        pitch = scene.log_uniform(2500, 5500)
        pulse_gap = 1 / scene.uniform(22, 50)
        pulses = int(scene.rng.integers(2, 6))
        gap = pulses * pulse_gap + scene.uniform(0.1, 0.5)
        loudness = scene.uniform(0.2, 1)
        for chirp in scene.onsets(gap, 0.05):
            for number in range(pulses):
                pulse = scene.part(0.6 * pulse_gap)
                sound = loudness * tone(pulse, pitch, (1, 0.15)) * swell(pulse)
                scene.place(canvas, chirp + number * pulse_gap, sound)
    return canvas


def thunder(scene: Scene) -> Signal:
    """A crack, then rolling low rumble that dies away; sometimes another strike."""
    canvas = scene.silence()
    corner = scene.log_uniform(70, 250)
    for strike in scene.onsets(scene.uniform(2.5, 5.0), 0.3):
        crack = scene.part(0.6)
        sharp = noise(crack, band(60, scene.log_uniform(800, 3000), order=1))
        sharp *= scene.uniform(0.2, 1.5) / (np.std(sharp) + 1e-9)
        scene.place(canvas, strike, sharp * burst(crack, 0.01, scene.uniform(0.05, 0.2)))
        roll = scene.part(scene.uniform(2, 5))
        rumble = noise(roll, band(20, corner))
        rumble *= 1 / (np.std(rumble) + 1e-9)
        rolling = wander(roll, 0.1, 1, scene.uniform(2, 6))
        decay = burst(roll, scene.uniform(0.05, 0.4), scene.uniform(0.6, 1.8))
        scene.place(canvas, strike + scene.uniform(0, 0.15), rumble * rolling * decay)
    return canvas


SOUNDS = {
    "rain": rain,
    "birdsong": birdsong,
    "wind": wind,
    "crickets": crickets,
    "thunder": thunder,
}
