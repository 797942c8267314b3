"""Effects: laser, boing, whoosh, beep, pop."""

from __future__ import annotations

import numpy as np

from sonotype.data.synth.signals import (
    Scene,
    Signal,
    band,
    burst,
    moving_noise,
    noise,
    swell,
    tone,
)


def laser(scene: Scene) -> Signal:
    """Shots whose pitch plunges, hollow as a square wave."""
    canvas = scene.silence()
    top = scene.log_uniform(2000, 6000)
    fall = scene.uniform(0.03, 0.12)
    length = scene.uniform(0.15, 0.4)
    floor = scene.log_uniform(120, 350)
    for onset in scene.onsets(scene.uniform(0.3, 1.2), 0.3):
        shot = scene.part(length)
        pitch = floor + top * scene.uniform(0.8, 1.1) * np.exp(-shot.time / fall)
        sound = tone(shot, pitch, [1, 0, 1 / 3, 0, 1 / 5, 0, 1 / 7])
        scene.place(canvas, onset, sound * burst(shot, 0.003, 0.6 * length))
    return canvas


def boing(scene: Scene) -> Signal:
    """A spring let go: a twang whose pitch wobbles, faster and narrower as it dies away."""
    canvas = scene.silence()
    pitch = scene.log_uniform(110, 320)
    wobble = scene.uniform(7, 14)
    depth = scene.uniform(0.2, 0.5)
    weights = [scene.uniform(0.4, 1) / k for k in range(1, 13)]
    for onset in scene.onsets(scene.uniform(0.9, 2.0), 0.3):
        spring = scene.part(scene.uniform(0.7, 1.2))
        dying = np.exp(-spring.time / 0.4)
        sway = np.sin(2 * np.pi * wobble * (1 + 0.3 * spring.time) * spring.time)
        path = pitch * (1 + depth * dying * sway + 0.4 * spring.time)
        scene.place(canvas, onset, tone(spring, path, weights) * burst(spring, 0.004, 0.3))
    return canvas


def whoosh(scene: Scene) -> Signal:
    """Something that rushes past: a noise band that sweeps up, down, or up and down again."""
    canvas = scene.silence()
    for onset in scene.onsets(scene.uniform(0.8, 1.8), 0.3):
        rush = scene.part(scene.uniform(0.35, 1.0))
        low = scene.log_uniform(250, 700)
        octaves = scene.uniform(1.5, 3)
        position = rush.time / rush.seconds
        kind = int(scene.rng.integers(0, 3))
        course = (position, 1 - position, swell(rush, 0.6))[kind]
        path = low * 2 ** (octaves * course)
        air = moving_noise(rush, path, 0.5 * low)
        air += 0.5 * moving_noise(rush, 1.6 * path, low)
        scene.place(canvas, onset, air * swell(rush, scene.uniform(0.35, 0.7)))
    return canvas


def beep(scene: Scene) -> Signal:
    """A device that beeps: an even tone, switched on and off, sometimes two pitches in turn."""
    canvas = scene.silence()
    first = scene.log_uniform(600, 3000)
    second = first * float(scene.rng.choice([1, 1, 0.75, 1.26]))
    weights = [1, scene.uniform(0, 0.3), scene.uniform(0, 0.3)]
    length = scene.log_uniform(0.06, 0.35)
    for number, onset in enumerate(scene.onsets(length * scene.uniform(1.6, 3.5), 0.005)):
        sounding = scene.part(length)
        pitch = second if number % 2 else first
        scene.place(canvas, onset, tone(sounding, pitch, weights) * burst(sounding, 0.005, np.inf))
    return canvas


def pop(scene: Scene) -> Signal:
    """Bubbles and corks: a very short tone whose pitch shoots up, with a puff of air."""
    canvas = scene.silence()
    base = scene.log_uniform(220, 700)
    rise = scene.uniform(1.2, 3)
    for onset in scene.onsets(scene.uniform(0.2, 0.9), 0.5):
        bubble = scene.part(scene.uniform(0.05, 0.11))
        size = scene.uniform(0.75, 1.3)
        path = base * size * 2 ** (rise * (bubble.time / bubble.seconds) ** 1.5)
        puff = noise(bubble, band(200, 2500)) / 150 * burst(bubble, 0.002, 0.008)
        sound = tone(bubble, path, (1, 0.2)) * burst(bubble, 0.003, 0.03)
        scene.place(canvas, onset, scene.uniform(0.6, 1) * (sound + puff))
    return canvas


SOUNDS = {
    "laser": laser,
    "boing": boing,
    "whoosh": whoosh,
    "beep": beep,
    "pop": pop,
}
