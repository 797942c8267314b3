"""Urban: engine, siren, hand saw, clock tick, train."""

from __future__ import annotations

import numpy as np

from sonotype.data.synth.signals import (
    Scene,
    Signal,
    band,
    burst,
    moving_noise,
    noise,
    struck,
    swell,
    tone,
    wander,
)


def engine(scene: Scene) -> Signal:
    """A buzz of many harmonics whose pitch follows the wandering speed, over exhaust noise."""
    idle = scene.log_uniform(22, 80)
    speed = idle * wander(scene, 1, scene.uniform(1.05, 1.8), scene.uniform(0.3, 1.5))
    slope = scene.uniform(0.4, 1.1)
    weights = [scene.uniform(0.2, 1) / number**slope for number in range(1, 41)]
    buzz = tone(scene, speed, weights)
    firing = 1 + scene.uniform(0.3, 0.9) * np.sin(np.pi * np.cumsum(speed) / scene.sample_rate)
    exhaust = noise(scene, band(80, scene.log_uniform(400, 1500), order=1))
    exhaust *= scene.uniform(0.1, 0.5) * np.std(buzz) / (np.std(exhaust) + 1e-9)
    return (buzz + exhaust) * firing


def siren(scene: Scene) -> Signal:
    """A loud tone that wails up and down, or steps between two pitches."""
    low = scene.log_uniform(400, 800)
    high = low * scene.uniform(1.3, 2.2)
    turns = scene.log_uniform(0.25, 3) * scene.time + scene.uniform(0, 1)
    sway = np.sin(2 * np.pi * turns)
    if scene.rng.random() < 0.4:
        sway = np.tanh(30 * sway)
    pitch = low * (high / low) ** (0.5 + 0.5 * sway)
    weights = [scene.uniform(0.3, 1) / number for number in range(1, 9)]
    return tone(scene, pitch, weights)


def hand_saw(scene: Scene) -> Signal:
    """Strokes to and fro: rasping noise, rippled by the teeth, the push harder than the pull."""
    canvas = scene.silence()
    stroke_seconds = 1 / scene.uniform(2.5, 6)
    centre = scene.log_uniform(1200, 4000)
    teeth = scene.uniform(50, 140)
    pull = scene.uniform(0.2, 0.7)
    for number, onset in enumerate(scene.onsets(stroke_seconds, 0.06)):
        stroke = scene.part(0.85 * stroke_seconds)
        shape = swell(stroke, scene.uniform(0.4, 0.6))
        path = centre * (1 if number % 2 else 0.8) * (0.8 + 0.3 * shape)
        rasp = moving_noise(stroke, path, 0.35 * centre)
        rasp += 0.3 * noise(stroke, band(300, 2 * centre, order=1)) / np.sqrt(2 * centre)
        bite = np.cumsum(teeth * shape) / scene.sample_rate
        ripple = 1 + 0.7 * np.sin(2 * np.pi * bite)
        scene.place(canvas, onset, rasp * shape * ripple * (1 if number % 2 else pull))
    return canvas


def clock_tick(scene: Scene) -> Signal:
    """Even short clicks of a small hard body, tick and tock a little different."""
    canvas = scene.silence()
    base = scene.log_uniform(900, 2600)
    ratios = np.array([1, 1.6, 2.3, 3.4])
    tock = scene.uniform(0.75, 0.95)
    ringing = scene.log_uniform(0.003, 0.012)
    loudness = scene.uniform(0.6, 1)
    for number, onset in enumerate(scene.onsets(1 / scene.uniform(1, 4.5), 0.01)):
        click = scene.part(0.1)
        even = number % 2 == 0
        modes = list(base * ratios * (1 if even else tock))
        body = struck(click, modes, list(ringing / np.sqrt(ratios)), [1, 0.8, 0.6, 0.4])
        body += noise(click, band(800, 6000)) / 150 * burst(click, 0.0005, 0.002)
        scene.place(canvas, onset, body * (1 if even else loudness))
    return canvas


def train(scene: Scene) -> Signal:
    """Rolling rumble and the double knocks of wheels that cross the joints of the rails."""
    rolling = noise(scene, band(40, scene.log_uniform(200, 700), order=1))
    rolling *= scene.uniform(0.2, 0.7) / (np.std(rolling) + 1e-9)
    canvas = rolling * wander(scene, 0.7, 1, 1.5)
    gap = scene.uniform(0.45, 1.1)
    pair = gap * scene.uniform(0.18, 0.3)
    body = scene.log_uniform(90, 220)
    for joint in scene.onsets(gap, 0.02):
        for axle in (0.0, pair):
            knock = scene.part(0.3)
            steel = struck(knock, [body, 2.3 * body, 5.1 * body], [0.05, 0.03, 0.02], [1, 0.7, 0.4])
            grit = noise(knock, band(300, 2500)) / 40 * burst(knock, 0.001, 0.025)
            scene.place(canvas, joint + axle, scene.uniform(1.5, 2.5) * (steel + grit))
    squeal = tone(scene, scene.log_uniform(1500, 3500) * wander(scene, 0.98, 1.02, 3), (1, 0.3))
    return canvas + scene.uniform(0, 0.15) * squeal * wander(scene, 0, 1, 0.8)


SOUNDS = {
    "engine": engine,
    "siren": siren,
    "hand_saw": hand_saw,
    "clock_tick": clock_tick,
    "train": train,
}
