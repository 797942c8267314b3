"""Music: plucked string, drums, organ, bell, bass."""

from __future__ import annotations

import numpy as np

from sonotype.data.synth.signals import (
    Scene,
    Signal,
    band,
    burst,
    noise,
    plucked,
    struck,
    tone,
)

PENTATONIC = (0, 2, 4, 7, 9)
TRIADS = ((0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 4, 9))


def _step(scene: Scene, octaves: int = 1) -> int:
    """A random degree of a pentatonic scale, in semitones."""
    degree = int(scene.rng.integers(0, len(PENTATONIC) * octaves))
    octave, tone_index = divmod(degree, len(PENTATONIC))
    return 12 * octave + PENTATONIC[tone_index]


def plucked_string(scene: Scene) -> Signal:
    """A tune on one string, each note cut off by the next."""
    canvas = scene.silence()
    root = scene.log_uniform(110, 260)
    gap = scene.uniform(0.18, 0.6)
    brightness = scene.log_uniform(3, 12)
    damping = scene.uniform(0.3, 1.2)
    for onset in scene.onsets(gap, 0.03):
        note = scene.part(gap * scene.uniform(0.95, 1.6))
        pitch = root * 2 ** (_step(scene, octaves=2) / 12)
        loudness = scene.uniform(0.6, 1)
        scene.place(canvas, onset, loudness * plucked(note, pitch, brightness, damping))
    return canvas


def drums(scene: Scene) -> Signal:
    """A bar of eight with bass drum, snare and hi-hat, and a few strokes left to chance."""
    canvas = scene.silence()
    gap = 60 / scene.uniform(75, 150) / 2
    bass_hz = scene.log_uniform(45, 75)
    snare_hz = scene.log_uniform(160, 260)
    hat_low = scene.log_uniform(4000, 6500)
    hat_level = scene.uniform(0.1, 0.5)
    for number, onset in enumerate(scene.onsets(gap, 0.01)):
        eighth = number % 8
        extra = scene.rng.random() < 0.15
        stroke = scene.part(0.4)
        if eighth in (0, 4) or (extra and eighth in (3, 5)):
            pitch = bass_hz * (1 + 3 * np.exp(-stroke.time / 0.02))
            scene.place(canvas, onset, tone(stroke, pitch) * burst(stroke, 0.002, 0.1))
        if eighth in (2, 6) or (extra and eighth == 7):
            skin = struck(stroke, [snare_hz, 1.6 * snare_hz], [0.06, 0.05], [0.5, 0.3])
            wires = noise(stroke, band(1200, 7000, order=1)) / 90 * burst(stroke, 0.001, 0.07)
            scene.place(canvas, onset, skin + wires)
        metal = noise(stroke, band(hat_low, 14_000)) / 70 * burst(stroke, 0.001, 0.03)
        scene.place(canvas, onset, hat_level * metal)
    return canvas


def organ(scene: Scene) -> Signal:
    """Sustained chords with drawbar harmonics and a slow tremolo."""
    canvas = scene.silence()
    root = scene.log_uniform(120, 300)
    bars = [scene.uniform(0.1, 1) if k in (1, 2, 3, 4, 6, 8) else 0.02 for k in range(1, 9)]
    tremolo = scene.uniform(3, 7)
    depth = scene.uniform(0, 0.3)
    gap = scene.uniform(0.9, 2.2)
    for onset in scene.onsets(gap, 0.03):
        chord = scene.part(gap)
        base = root * 2 ** (_step(scene) / 12)
        triad = TRIADS[int(scene.rng.integers(0, len(TRIADS)))]
        total = chord.silence()
        for semitone in triad:
            total += tone(chord, base * 2 ** (semitone / 12), bars)
        shake = 1 + depth * np.sin(2 * np.pi * tremolo * chord.time)
        scene.place(canvas, onset, total * shake * burst(chord, 0.04, np.inf))
    return canvas


def bell(scene: Scene) -> Signal:
    """A church bell: hum, prime, minor third, fifth, nominal and higher partials, long ringing."""
    canvas = scene.silence()
    prime = scene.log_uniform(250, 900)
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.2, 5.4])
    ratios = ratios * scene.rng.uniform(0.985, 1.015, len(ratios))
    weights = scene.rng.uniform(0.3, 1, len(ratios)) / np.sqrt(ratios)
    decays = scene.uniform(0.6, 1.6) / ratios**0.8
    for onset in scene.onsets(scene.uniform(0.9, 2.5), 0.08):
        ring = scene.part(2.5)
        clapper = noise(ring, band(1000, 5000)) / 100 * burst(ring, 0.001, 0.006)
        loudness = scene.uniform(0.6, 1)
        struck_bell = struck(ring, list(prime * ratios), list(decays), list(weights))
        scene.place(canvas, onset, loudness * (struck_bell + clapper))
    return canvas


def bass(scene: Scene) -> Signal:
    """A line on a bass guitar: low notes of a few harmonics that lose their brightness quickly."""
    canvas = scene.silence()
    root = scene.log_uniform(38, 75)
    gap = 60 / scene.uniform(80, 150) / int(scene.rng.choice([1, 2]))
    slope = scene.uniform(0.8, 1.6)
    for onset in scene.onsets(gap, 0.02):
        note = scene.part(gap * scene.uniform(0.6, 1))
        pitch = root * 2 ** (_step(scene) / 12)
        dull = tone(note, pitch, [1, 0.5, 0.25]) * burst(note, 0.008, 0.6)
        bright = tone(note, pitch, [1 / k**slope for k in range(1, 16)])
        scene.place(canvas, onset, dull + bright * burst(note, 0.004, 0.12))
    return canvas


SOUNDS = {
    "plucked_string": plucked_string,
    "drums": drums,
    "organ": organ,
    "bell": bell,
    "bass": bass,
}
