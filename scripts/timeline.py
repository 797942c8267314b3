"""Make the timeline of the documentation: ``python scripts/timeline.py docs/timeline.png``.

The recording is 24 clips of ``examples/esc10``, one after the other; the scores are those of the
built-in model, which has seen none of them. Its events are plain runs of scores of at least 0.5.
The script also prints the explanation of these scores. It needs no network.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import sonotype
from sonotype.audio.decode import Samples, load_audio
from sonotype.core.detections import DetectedEvent, DetectedRecording, ScoreBlock
from sonotype.core.text import duration
from sonotype.detect.explain import Explanation
from sonotype.detect.timeline import Timeline
from sonotype.modelfile.pretrained import builtin_path

DATA = Path(__file__).resolve().parent.parent / "examples" / "esc10"
CLIPS, HOP, THRESHOLD, SEED = 24, 0.5, 0.5, 4
NAME = Path("24_clips.wav")


def main() -> int:
    """Draw and explain; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    picture = parser.parse_args().picture
    classifier = sonotype.load(builtin_path())
    classes = classifier.heads[-1].classes
    sound = joined(classifier.audio_spec.sample_rate)
    seconds = len(sound) / classifier.audio_spec.sample_rate
    block = scored(classifier, sound, seconds)
    events = sorted(runs(block, classes), key=lambda event: (event.start, event.label))
    recording = DetectedRecording(NAME, seconds, tuple(events), 8000.0)

    thresholds = np.full(len(classes), THRESHOLD)
    timeline, explanation = Timeline(classes, thresholds), Explanation(classes, thresholds)
    timeline.add(block)
    timeline.save(picture, recording)
    explanation.add(NAME, block)
    explanation.finish_recording(recording)
    print(explanation.text())
    print(f"\n{picture}: {duration(seconds)}")
    return 0


def joined(sample_rate: int) -> Samples:
    """``[samples]`` clips of all classes in a random order that is always the same."""
    paths = random.Random(SEED).sample(sorted(DATA.glob("*/*.ogg")), CLIPS)
    return np.concatenate([load_audio(path, sample_rate=sample_rate).samples for path in paths])


def scored(classifier: sonotype.inference.Classifier, sound: Samples, seconds: float) -> ScoreBlock:
    """Scores of windows; a frame is the time that is nearer to the middle of its window."""
    rate = classifier.audio_spec.sample_rate
    windows = list(classifier.predict_windows(sound, HOP, sample_rate=rate))
    middles = np.array([window.start for window in windows]) + classifier.audio_spec.seconds / 2
    between = (middles[1:] + middles[:-1]) / 2
    scores = np.stack([window.proba[classifier.heads[-1].name] for window in windows])
    return ScoreBlock(np.concatenate([[0.0], between, [seconds]]), scores)


def runs(block: ScoreBlock, classes: tuple[str, ...]) -> Iterator[DetectedEvent]:
    """Runs of frames that reach the threshold."""
    for index, label in enumerate(classes):
        above = block.scores[:, index] >= THRESHOLD
        change = np.flatnonzero(np.diff(above.astype(int), prepend=0, append=0))
        for first, last in change.reshape(-1, 2):
            score = float(block.scores[first:last, index].max())
            yield DetectedEvent(block.times[first], block.times[last], label, score)


if __name__ == "__main__":
    sys.exit(main())
