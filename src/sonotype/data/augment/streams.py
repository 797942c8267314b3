"""Simulate annotated recordings from labelled clips, for models that are to detect events.

The separate sounds of clips are mixed into background recordings or noise, at known times. The
clips are divided into folds that share no group. Every simulated recording has clips and background
of one fold only and has this fold as its group, so that scores by cross-fitting are those of new
clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile

from sonotype.audio.decode import Samples, load_audio
from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.errors import DataError, DataIssue
from sonotype.core.io import replacing
from sonotype.core.progress import track
from sonotype.core.types import Clip
from sonotype.data.augment.backgrounds import Background, background_of, shares
from sonotype.data.augment.event_mixture import (
    EVENTS_PER_SECOND,
    LEAST_GAP,
    OVERLAPPING,
    add_sounds,
    arrange,
    clip_deck,
    deck,
)
from sonotype.data.augment.sounds import Floats, cut_sound, has_sound, rms
from sonotype.data.manifest import Manifest
from sonotype.data.splits.crossfit import balanced_folds

HIGHEST_PEAK = 0.9
LEAST_BACKGROUND = 0.01
"""RMS of a lull in the background relative to the whole background; events follow no deeper."""
LOWEST_RMS = 1e-4
"""As if the background were at least as loud, where it is silent."""
EVENTS_PER_CLASS = 24
LEAST_MINUTES, MOST_MINUTES = 20.0, 60.0
"""Of recordings, by default."""
MOST_COVERED = 0.6
"""Share of a recording that events cover at most."""

Decks = Mapping[str, Iterator[tuple[Clip, Samples]]]


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """What to simulate.

    Attributes:
        level: of the labels of the clips.
        sample_rate: of the recordings in Hz.
        minutes: of all recordings with events, at least; every fold has a recording.
        seconds: length of a recording.
    """

    level: str
    sample_rate: int
    minutes: float = 20.0
    seconds: float = 120.0


@dataclass(frozen=True)
class _Plan:
    """A recording: its number, fold, number of events, background, and generator."""

    name: str
    fold: int
    events: int
    background: Background | None
    rng: np.random.Generator


def minutes_for(classes: int) -> float:
    """Minutes of recordings in which each class has about ``EVENTS_PER_CLASS`` events."""
    minutes = classes * EVENTS_PER_CLASS / (60 * sum(EVENTS_PER_SECOND) / 2)
    return float(np.clip(minutes, LEAST_MINUTES, MOST_MINUTES))


def simulate_streams(
    clips: Sequence[Clip],
    folder: Path,
    options: StreamOptions,
    *,
    background: Sequence[Path] = (),
    seed: int = 0,
    progress: bool = False,
) -> tuple[AnnotatedRecording, ...]:
    """Write recordings with the sounds of clips, and give their events; equal for equal arguments.

    Clips with one label at the level give events, and negatives give sounds that are no events;
    other clips are not used. Of background recordings that are longer than needed, other parts are
    recordings without events.

    Args:
        clips: the labelled clips.
        folder: for the recordings, FLAC files; those of the same names are replaced.
        options: what to simulate.
        background: recordings without events; without any, noise is made.
        seed: of all random choices.
        progress: draw a bar.

    Raises:
        AudioError: a clip or a background cannot be read.
        DataError: no clip has one label at the level, or all are silent.
    """
    used = [clip for clip in clips if not clip.labels or len(_labels(clip, options)) == 1]
    if not any(clip.labels for clip in used):
        issue = DataIssue("the clips", 0, f"no clip has one label of level {options.level}")
        raise DataError("the clips", [issue])
    manifest = Manifest("clips", tuple(used))
    folds = balanced_folds(manifest, range(len(used)), seed=seed) or (tuple(range(len(used))),)
    decks = [
        _decks([used[index] for index in fold], options, np.random.default_rng([seed, number]))
        for number, fold in enumerate(folds)
    ]
    plans = list(_plans(len(folds), options, background, seed))
    recordings = []
    for plan in track(plans, "simulating", len(plans), show=progress):
        labels, sounds = decks[plan.fold]
        chosen = list(islice(labels, plan.events))
        recordings.append(_compose(plan, chosen, sounds, folder, options))
    if not any(one.events for one in recordings):
        raise DataError("the clips", [DataIssue("the clips", 0, "all clips are silent")])
    return tuple(recordings)


def _labels(clip: Clip, options: StreamOptions) -> tuple[str, ...]:
    return clip.labels.get(options.level, ())


def _decks(
    clips: Sequence[Clip], options: StreamOptions, rng: np.random.Generator
) -> tuple[Iterator[str], Decks]:
    """The labels in turn, and for each the clips with a sound in turn; "" for negatives."""
    names = sorted({clip.label(options.level) or "" for clip in clips})
    sounds = {
        name: _sounding(
            [clip for clip in clips if (clip.label(options.level) or "") == name], options, rng
        )
        for name in names
    }
    return deck(names, rng), sounds


def _sounding(
    clips: Sequence[Clip], options: StreamOptions, rng: np.random.Generator
) -> Iterator[tuple[Clip, Samples]]:
    """Clips in turn with their samples, without silent clips; ends where all are silent."""
    silent = 0
    for clip in clip_deck(clips, rng):
        samples = load_audio(
            clip.path,
            sample_rate=options.sample_rate,
            start=clip.start or 0.0,
            duration=clip.seconds,
            partial=True,
        ).samples
        if has_sound(samples, options.sample_rate):
            silent = 0
            yield clip, samples
        elif (silent := silent + 1) > len(clips):
            return


def _plans(
    folds: int, options: StreamOptions, background: Sequence[Path], seed: int
) -> Iterator[_Plan]:
    """The recordings of all folds, as many with events in each; then those without events."""
    count = max(1, round(options.minutes * 60 / options.seconds / folds))
    fewest, most = (round(rate * options.seconds) for rate in EVENTS_PER_SECOND)
    for fold, share in enumerate(shares(background, folds, options.seconds)):
        rng = np.random.default_rng([seed, fold, folds])
        parts = [share[index] for index in rng.permutation(len(share))]
        for number in range(count + min(count, max(0, len(parts) - count))):
            events = int(rng.integers(fewest, most + 1)) if number < count else 0
            part = parts[number % len(parts)] if parts else None
            own = np.random.default_rng([seed, fold, folds, number])
            yield _Plan(f"fold_{fold + 1}_{number + 1:03}", fold, events, part, own)


def _compose(
    plan: _Plan, labels: Sequence[str], decks: Decks, folder: Path, options: StreamOptions
) -> AnnotatedRecording:
    """Mix a recording and write it."""
    rate, length = options.sample_rate, round(options.seconds * options.sample_rate)
    scene = background_of(plan.background, length, rate, plan.rng)
    names, sounds = _sounds(labels, decks, length, rate, plan.rng)
    pairs = int(len(names) * OVERLAPPING / 2 + plan.rng.random())
    onsets = arrange([*map(len, sounds)], names, length, rate, pairs, plan.rng)
    lowest = max(LEAST_BACKGROUND * rms(scene), LOWEST_RMS)
    mix, _ = add_sounds(scene, sounds, onsets, lowest, plan.rng)
    mix *= min(1.0, HIGHEST_PEAK / max(float(np.abs(mix).max()), LOWEST_RMS))
    path = folder / f"{plan.name}.flac"
    with replacing(path) as part:
        soundfile.write(part, mix.astype(np.float32), rate, format="FLAC", subtype="PCM_24")
    events = [
        Event(onset / rate, (onset + len(sound)) / rate, name)
        for onset, sound, name in zip(onsets, sounds, names, strict=True)
        if name
    ]
    return AnnotatedRecording(
        path=path,
        seconds=length / rate,
        events=tuple(sorted(events, key=lambda event: (event.start, event.end, event.label))),
        spans=((0.0, length / rate),),
        group=f"simulated fold {plan.fold + 1}",
        fold=plan.fold + 1,
    )


def _sounds(
    labels: Sequence[str], decks: Decks, length: int, rate: int, rng: np.random.Generator
) -> tuple[list[str], list[Floats]]:
    """Sounds with these labels, as many as leave room for the background."""
    names: list[str] = []
    sounds: list[Floats] = []
    room = MOST_COVERED * length
    for label in labels:
        if (found := next(decks[label], None)) is None:
            continue
        _, sound = cut_sound(found[1], rate, rng)
        room -= len(sound) + LEAST_GAP * rate
        if room < 0:
            break
        names.append(label)
        sounds.append(sound)
    return names, sounds
