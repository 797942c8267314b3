"""Human: footsteps, clapping, snoring, laughing, heartbeat."""

from __future__ import annotations

import numpy as np

from sonotype.data.synth.signals import (
    Scene,
    Signal,
    band,
    burst,
    colour,
    formants,
    noise,
    struck,
    swell,
    tone,
    wander,
)


def footsteps(scene: Scene) -> Signal:
    """The dull heel and, a moment later, the scuffing sole, left and right a little different."""
    canvas = scene.silence()
    heel_hz = scene.log_uniform(70, 180)
    ground = scene.log_uniform(800, 4000)
    gravel = scene.uniform(0.1, 0.8)
    for number, onset in enumerate(scene.onsets(1 / scene.uniform(1.4, 2.8), 0.06)):
        side = 1 if number % 2 else scene.uniform(0.85, 1.1)
        step = scene.part(0.3)
        heel = struck(step, [heel_hz * side, 2.7 * heel_hz], [0.03, 0.015], [1, 0.5])
        click = noise(step, band(300, ground)) / np.sqrt(ground) * burst(step, 0.001, 0.012)
        sole = noise(step, band(500, 1.5 * ground, order=1)) / np.sqrt(ground)
        scene.place(canvas, onset, side * (heel + 1.5 * click))
        late = onset + scene.uniform(0.06, 0.12)
        scene.place(canvas, late, gravel * sole * burst(step, 0.02, 0.05))
    return canvas


def clapping(scene: Scene) -> Signal:
    """One to four people who clap hands, each with a resonance and a beat of their own."""
    canvas = scene.silence()
    for _ in range(int(scene.rng.integers(1, 5))):
        hands = scene.log_uniform(900, 2400)
        ringing = scene.uniform(0.006, 0.02)
        loudness = scene.uniform(0.4, 1)
        for onset in scene.onsets(1 / scene.uniform(2.5, 5), 0.08):
            clap = scene.part(0.15)
            air = noise(clap, formants([hands, 2.2 * hands], [250, 900], [1, 0.3])) / 20
            sound = air * burst(clap, 0.0015, ringing * scene.uniform(0.8, 1.2))
            scene.place(canvas, onset, loudness * scene.uniform(0.7, 1.1) * sound)
    return canvas


def snoring(scene: Scene) -> Signal:
    """A fluttering low buzz on breathing in, a soft sigh on breathing out."""
    canvas = scene.silence()
    flutter = scene.log_uniform(28, 75)
    throat = scene.uniform(250, 600)
    breath = scene.uniform(1.8, 3.2)
    for onset in scene.onsets(breath, 0.08):
        inhale = scene.part(breath * scene.uniform(0.4, 0.5))
        rate = flutter * wander(inhale, 0.8, 1.2, 6)
        buzz = tone(inhale, rate, [1.0] * 30)
        air = noise(inhale, band(100, 2000, order=1)) / 12
        air *= 1 + np.sin(2 * np.pi * np.cumsum(rate) / scene.sample_rate)
        tract = formants([throat, 2.6 * throat, 2300], [90, 200, 400], [1, 0.5, 0.15])
        voiced = colour(inhale, buzz / 6 + air, tract)
        scene.place(canvas, onset, voiced * swell(inhale, 0.6))
        exhale = scene.part(0.4 * breath)
        sigh = noise(exhale, formants([900, 2000], [400, 700], [1, 0.6])) / 300
        scene.place(canvas, onset + 0.5 * breath, scene.uniform(0.5, 2) * sigh * swell(exhale))
    return canvas


def laughing(scene: Scene) -> Signal:
    """Runs of "ha" that grow lower and weaker: breath noise first, then a vowel."""
    canvas = scene.silence()
    voice = scene.log_uniform(130, 380)
    size = (voice / 220) ** 0.25
    vowel = formants(
        [size * scene.uniform(600, 850), size * scene.uniform(1050, 1700), size * 2700],
        [90, 130, 250],
        [1, 0.6, 0.25],
    )
    beat = 1 / scene.uniform(3.8, 6)
    for run in scene.onsets(scene.uniform(1.4, 2.4), 0.3):
        count = int(scene.rng.integers(3, 9))
        for number in range(count):
            burst_scene = scene.part(0.75 * beat)
            fall = 1.25 - 0.4 * number / count
            bend = 1 + 0.12 * np.sin(np.pi * burst_scene.time / burst_scene.seconds)
            glottis = tone(burst_scene, voice * fall * bend, [1 / k for k in range(1, 26)])
            breath = noise(burst_scene, band(400, 4000, order=1)) / 40
            vocal = glottis * swell(burst_scene, 0.5) + breath * swell(burst_scene, 0.15)
            sound = colour(burst_scene, vocal, vowel) * burst(burst_scene, 0.01, np.inf)
            scene.place(canvas, run + number * beat, sound * (1 - 0.6 * number / count))
    return canvas


def heartbeat(scene: Scene) -> Signal:
    """Two muffled thumps a beat, the second higher, shorter and softer."""
    canvas = scene.silence()
    beat = 1 / scene.uniform(0.9, 1.9)
    thump = scene.log_uniform(38, 75)
    delay = scene.uniform(0.28, 0.36) * min(1.0, beat + 0.2)
    second = scene.uniform(0.4, 0.8)
    for onset in scene.onsets(beat, 0.04):
        for late, ratio, loudness in ((0.0, 1.0, 1.0), (delay, 1.35, second)):
            beat_scene = scene.part(0.3)
            modes = [thump * ratio, 1.9 * thump * ratio, 3.2 * thump * ratio]
            body = struck(beat_scene, modes, [0.05 / ratio, 0.03, 0.015], [1, 0.6, 0.25])
            rub = noise(beat_scene, band(40, 250)) / 60 * burst(beat_scene, 0.005, 0.03)
            scene.place(canvas, onset + late, loudness * (body + rub))
    return canvas


SOUNDS = {
    "footsteps": footsteps,
    "clapping": clapping,
    "snoring": snoring,
    "laughing": laughing,
    "heartbeat": heartbeat,
}
