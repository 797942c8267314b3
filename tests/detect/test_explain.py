from __future__ import annotations

import json
import math
import re
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from sonotype.core.detections import DetectedEvent, DetectedRecording, ScoreBlock
from sonotype.detect import explain as explain_module
from sonotype.detect.explain import EDGES, MOMENTS, SEPARATION, Explanation, levels_of
from sonotype.detect.explain_text import top_score
from sonotype.detect.timeline import Timeline

A, B = Path("a.wav"), Path("b.wav")
HOP = 0.5


def block(scores: list[list[float]] | np.ndarray, first: int = 0) -> ScoreBlock:
    scores = np.asarray(scores, dtype=np.float64)
    return ScoreBlock((first + np.arange(len(scores) + 1)) * HOP, scores)


def finished(
    path: Path, seconds: float, *events: tuple[float, float, str], error: str = ""
) -> DetectedRecording:
    found = tuple(DetectedEvent(start, end, label, 0.9) for start, end, label in events)
    return DetectedRecording(path, seconds, found, 8000.0, error)


def explained(
    scores: np.ndarray | list[list[float]],
    *events: tuple[float, float, str],
    classes: tuple[str, ...] = ("dog", "rain"),
    threshold: float = 0.5,
) -> Explanation:
    explanation = Explanation(classes, np.full(len(classes), threshold))
    explanation.add(A, block(scores))
    explanation.finish_recording(finished(A, len(scores) * HOP, *events))
    return explanation


# ---------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("threshold", "levels"),
    [
        (0.5, [0.1, 0.25, 0.5, 0.75, 0.9]),
        (0.9, [0.5, 0.75, 0.9, 0.964, 0.988]),
        (0.1, [0.012, 0.036, 0.1, 0.25, 0.5]),
        (0.123456, [0.015, 0.045, 0.123456, 0.3, 0.44 + 0.12]),
        (0.0, [0.0] * 5),
        (1.0, [1.0] * 5),
    ],
)
def test_levels_have_multiples_of_the_odds(threshold: float, levels: list[float]) -> None:
    assert levels_of(np.array([threshold]))[:, 0].tolist() == pytest.approx(levels, abs=1e-12)


def test_runs_continue_across_blocks_and_not_across_recordings() -> None:
    explanation = Explanation(("dog",), [0.5])
    explanation.add(A, block([[0.6], [0.2], [0.8]]))
    explanation.add(B, block([[0.9]]))  # of another recording, in between
    explanation.add(A, block([[0.7], [0.3], [0.5]], first=3))
    explanation.finish_recording(finished(A, 3.0))
    explanation.finish_recording(finished(B, 0.5))
    explanation.add(A, block([[0.9]]))  # the same path once more begins anew
    explanation.finish_recording(finished(A, 0.5))
    [dog] = explanation.summary().classes
    # a.wav: runs at 0.6; 0.8 and 0.7; 0.5. b.wav: one. a.wav: one.
    assert [(one.threshold, one.frames, one.runs) for one in dog.levels] == [
        (0.1, 8, 3),
        (0.25, 7, 4),
        (0.5, 6, 5),
        (0.75, 3, 3),
        (0.9, 2, 2),
    ]
    assert explanation.summary().recordings == 3
    assert explanation.summary().frames == 8


def test_the_background_is_the_mean_of_frames_without_a_class() -> None:
    scores = [[0.6, 0.4], [0.1, 0.2], [0.3, 0.0], [0.2, 0.5]]
    summary = explained(scores).summary()
    dog, rain = summary.classes
    assert dog.background == pytest.approx((0.1 + 0.3) / 2)
    assert rain.background == pytest.approx((0.2 + 0.0) / 2)
    assert (summary.above, summary.near) == (2, 1)  # 0.3 is near: 0.25 or more
    assert (dog.highest, rain.highest) == (0.6, 0.5)


def test_a_class_present_in_every_frame_leaves_no_background() -> None:
    explanation = explained([[0.9, 0.1], [0.9, 0.2]], (0, 1, "dog"))
    assert [entry.background for entry in explanation.summary().classes] == [None, None]
    assert "in every frame" in explanation.text()


def test_the_histogram_distinguishes_low_and_high_scores() -> None:
    values = [0.0, 0.001, 0.01, 0.5, 0.99, 0.999, 1.0]
    [dog] = explained([[v] for v in values], classes=("dog",)).summary().classes
    # ln(0.001 / 0.999) = -6.907; the bins have edges -8, -7.5, ..., 8.
    expected = [0, 2, 6, 16, 25, 29, 31]
    assert np.flatnonzero(dog.histogram).tolist() == expected
    assert sum(dog.histogram) == 7


def test_top_score() -> None:
    histogram = [0] * (len(EDGES) - 1)
    histogram[16], histogram[20], histogram[31] = 990, 10, 0  # from 0 and from 2
    assert top_score(histogram, EDGES.tolist()) == pytest.approx(1 / (1 + math.exp(-2)))
    histogram[20], histogram[16] = 9, 991
    assert top_score(histogram, EDGES.tolist()) == 0.5


# ----------------------------------------------------------------------------------------- moments


def moments(explanation: Explanation) -> list[tuple[str, float, str, float]]:
    found = explanation.summary().moments
    return [(one.path, one.seconds, one.label, round(one.score, 3)) for one in found]


def test_moments_of_one_sound_are_one_moment() -> None:
    scores = np.full((60, 2), 0.01)
    scores[10:14, 0] = (0.3, 0.45, 0.4, 0.44)
    scores[12, 1] = 0.42  # another class, less than 3 s away
    scores[40, 1] = 0.2
    assert moments(explained(scores))[:2] == [
        ("a.wav", 5.5, "dog", 0.45),
        ("a.wav", 20.0, "rain", 0.2),
    ]


def test_events_of_the_class_are_no_moments_but_those_of_others_are() -> None:
    scores = np.full((60, 2), 0.01)
    scores[10:14] = (0.9, 0.4)  # dog and, less probable, rain
    scores[15, 0] = 0.49  # one second after the event: its edge
    scores[50, 0] = 0.7  # above the threshold, and removed as too short
    assert moments(explained(scores, (5, 7, "dog")))[:2] == [
        ("a.wav", 25.0, "dog", 0.7),
        ("a.wav", 5.0, "rain", 0.4),
    ]


def test_moments_are_ordered_by_their_distance_from_the_threshold() -> None:
    explanation = Explanation(("dog", "rain"), [0.9, 0.1])
    scores = np.full((40, 2), 0.001)
    scores[5, 0], scores[25, 1] = 0.6, 0.09
    explanation.add(A, block(scores))
    explanation.finish_recording(finished(A, 20.0))
    # Log-odds: 0.6 is 1.79 below 0.9; 0.09 is 0.12 below 0.1.
    assert [entry[2] for entry in moments(explanation)[:2]] == ["rain", "dog"]
    assert [one.threshold for one in explanation.summary().moments[:2]] == [0.1, 0.9]


def test_a_moment_of_a_merged_column_has_the_time_of_its_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explain_module, "CELLS", 16)
    scores = np.full((100, 2), 0.01)
    scores[51, 0] = 0.4
    # 8 columns for 100 frames: columns of 16 frames, 8 s each; frame 51 is in the fourth.
    assert moments(explained(scores))[0] == ("a.wav", 24.0, "dog", 0.4)


def slow_summary(
    recordings: list[tuple[Path, np.ndarray, list[tuple[float, float, str]]]],
    classes: tuple[str, ...],
    thresholds: list[float],
) -> tuple[list[list[tuple[int, int]]], list[float], list[tuple[str, float, str, float]]]:
    """Frames and runs of each class and level, means of the background, and moments, by loops."""
    levels = [
        [float(row[index]) for row in levels_of(np.array(thresholds))]
        for index in range(len(classes))
    ]
    counts = []
    for index in range(len(classes)):
        counts.append([])
        for level in levels[index]:
            frames = runs = 0
            for _, scores, _ in recordings:
                above = [bool(score >= level) for score in scores[:, index]]
                frames += sum(above)
                runs += sum(now and not before for before, now in pairwise([False, *above]))
            counts[-1].append((frames, runs))
    quiet = [
        row
        for _, scores, _ in recordings
        for row in scores
        if all(score < threshold for score, threshold in zip(row, thresholds, strict=True))
    ]
    means = [sum(float(row[index]) for row in quiet) / len(quiet) for index in range(len(classes))]

    def margin(score: float, threshold: float) -> float:
        return math.log(score / (1 - score)) - math.log(threshold / (1 - threshold))

    found = []
    for path, scores, events in recordings:
        left = [
            (margin(scores[frame, index], thresholds[index]), frame, index)
            for frame in range(len(scores))
            for index, label in enumerate(classes)
            if not any(
                label == name
                and frame * HOP < end + SEPARATION
                and (frame + 1) * HOP > start - SEPARATION
                for start, end, name in events
            )
        ]
        while left:
            best = max(left, key=lambda one: (one[0], -one[1], -one[2]))
            found.append((best[0], str(path), best[1] * HOP, classes[best[2]]))
            left = [
                one
                for one in left
                if one[1] * HOP >= (best[1] + 1) * HOP + SEPARATION
                or (one[1] + 1) * HOP <= best[1] * HOP - SEPARATION
            ]
    found.sort(key=lambda one: -one[0])
    return counts, means, found[:MOMENTS]


@pytest.mark.parametrize("seed", range(10))
def test_streamed_statistics_agree_with_loops_over_all_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = ("dog", "rain", "wind")
    thresholds = [0.5, 0.3, 0.9]
    explanation = Explanation(classes, thresholds)
    recordings = []
    for number in range(3):
        frames = int(rng.integers(1, 150))
        noise = rng.normal(size=(frames + 4, 3))  # neighbours are alike
        smooth = sum(noise[delay : frames + delay] for delay in range(5))
        scores = (1 / (1 + np.exp(1 - smooth))).astype(np.float32)
        events = [(10.0 * n, 10.0 * n + 2, classes[n % 3]) for n in range(number * 2)]
        recordings.append((Path(f"{number}.wav"), scores, events))
    for path, scores, events in recordings:
        cuts = sorted(rng.integers(0, len(scores) + 1, 3).tolist())
        for first, last in pairwise([0, *cuts, len(scores)]):
            explanation.add(path, block(scores[first:last], first))
        explanation.finish_recording(finished(path, len(scores) * HOP, *events))
    summary = explanation.summary()
    counts, means, found = slow_summary(recordings, classes, thresholds)
    assert [[(one.frames, one.runs) for one in entry.levels] for entry in summary.classes] == counts
    assert [entry.background for entry in summary.classes] == pytest.approx(means)
    assert [(one.path, one.seconds, one.label) for one in summary.moments] == [
        one[1:] for one in found
    ]


# ------------------------------------------------------------------------------------------ advice


def advice_of(explanation: Explanation) -> str:
    return " ".join(explanation.to_json()["advice"])


def check_advised_thresholds(explanation: Explanation) -> list[tuple[str, float]]:
    """Each advised threshold has the number of runs that was counted at it."""
    advised = []
    pattern = r"--threshold '?(\w+)=([\d.]+)'? (?:gives|leaves .*?)\s?([\d,]+) runs? of frames"
    for label, threshold, runs in re.findall(pattern, advice_of(explanation)):
        [entry] = [one for one in explanation.summary().classes if one.label == label]
        counted = {one.threshold: one.runs for one in entry.levels}
        assert counted[float(threshold)] == int(runs.replace(",", ""))
        advised.append((label, float(threshold)))
    return advised


def test_nothing_near_a_threshold() -> None:
    scores = np.full((100, 2), 0.001)
    scores[50, 0] = 0.05
    explanation = explained(scores)
    advice = advice_of(explanation)
    assert "highest is 0.05 for dog (threshold 0.5)" in advice
    assert "not those of the classes" in advice
    assert "--threshold" not in advice
    scores[50, 0] = 0.12
    assert check_advised_thresholds(explained(scores)) == [("dog", 0.1)]


def test_scores_near_a_threshold() -> None:
    scores = np.full((100, 2), 0.001)
    scores[[10, 30, 50], 0] = 0.3
    scores[20, 1] = 0.45
    explanation = explained(scores)
    assert "dog (3), rain (1)" in advice_of(explanation)
    assert check_advised_thresholds(explanation) == [("dog", 0.25)]


def test_runs_that_post_processing_removed() -> None:
    scores = np.full((100, 2), 0.001)
    scores[[10, 30], 0] = 0.6
    advice = advice_of(explained(scores))
    assert "dog (2 runs of frames)" in advice
    assert "shortest duration" in advice
    assert "2 runs of frames" not in advice_of(explained(scores, (5, 5.5, "dog")))


def test_a_class_that_is_the_background() -> None:
    scores = np.full((100, 2), 0.001)
    scores[:83, 1] = 0.6
    scores[[10, 20], 1] = 0.8
    explanation = explained(scores, (0, 41.5, "rain"))
    advice = advice_of(explanation)
    assert "rain is at or above its threshold in 83 % of the frames" in advice
    assert "background to the training data" in advice
    assert "leaves 2.0 % of the frames" in advice
    assert check_advised_thresholds(explanation) == [("rain", 0.75)]
    scores[:83, 1] = 0.95
    assert "0.9 leaves 83 %" in advice_of(explained(scores, (0, 41.5, "rain")))


def test_several_classes_that_share_the_background() -> None:
    scores = np.full((100, 3), 0.01)
    scores[np.arange(100), np.arange(100) % 3] = 0.6
    classes = ("dog", "rain", "wind")
    explanation = explained(scores, *((0, 50, one) for one in classes), classes=classes)
    assert "In 100 % of the frames some class" in advice_of(explanation)


def test_many_events_per_hour() -> None:
    scores = np.full((2 * 120, 1), 0.001)
    scores[::8, 0] = 0.6
    scores[::24, 0] = 0.97
    events = [(second, second + 0.5, "dog") for second in range(0, 120, 4)]
    explanation = explained(scores, *events, classes=("dog",))
    assert "dog has 900 events per hour" in advice_of(explanation)
    assert check_advised_thresholds(explanation) == [("dog", 0.75)]
    assert "10 runs of frames of 30" in advice_of(explanation)


def test_numbers_without_a_problem() -> None:
    scores = np.full((100, 2), 0.001)
    scores[10:12, 0] = 0.9
    assert "no problem" in advice_of(explained(scores, (5, 6, "dog")))


def test_no_recording_could_be_read() -> None:
    explanation = Explanation(("dog",), [0.5])
    explanation.finish_recording(finished(A, 0.0, error="not a sound file"))
    text = explanation.text()
    assert "no recording could be read" in text
    assert "1 not read to the end" in text
    assert len(text.splitlines()) < 6


# -------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize("kind", ["quiet", "crowded", "mixed"])
def test_the_text_fits_a_terminal(kind: str) -> None:
    rng = np.random.default_rng(3)
    classes = (
        "\u72ac\u306e\u9cf4\u304d\u58f0" * 9,
        "x" * 200,
        "line\nend",
        "dog \x1b[31m",
        *"abcdefg",
    )
    level = {"quiet": -9.0, "crowded": 1.0, "mixed": -1.0}[kind]
    scores = 1 / (1 + np.exp(-rng.normal(level, 1, size=(4000, len(classes)))))
    events = [(n * 2.0, n * 2.0 + 1, classes[n % 3]) for n in range(1000)]
    events = [] if kind == "quiet" else events
    explanation = Explanation(classes, np.linspace(0.05, 0.9995, len(classes)))
    path = Path("archive") / ("long folder name " * 9) / "file.wav"
    explanation.add(path, block(scores))
    explanation.finish_recording(finished(path, 2000.0, *events))
    lines = explanation.text().splitlines()
    assert len(lines) <= 50
    assert all(cell_len(line) <= 80 and line == line.rstrip() for line in lines)
    assert "\x1b" not in explanation.text()


def test_the_text_names_what_the_numbers_are() -> None:
    scores = np.full((7300, 2), 0.01)
    scores[7290, 0] = 0.48
    text = explained(scores).text()
    assert re.search(r"0\.48 +0\.5 +1:00:45 +dog +a\.wav", text)
    assert "dog 0.01" in text
    assert re.search(r"dog +0\.1: 1 +0\.25: 1 +0\.5: 0 +0\.75: 0 +0\.9: 0", text)
    assert "not of events" in text


def test_json_has_the_statistics_and_the_advice() -> None:
    explanation = explained([[0.9, 0.1], [0.9, 0.2]], (0, 1, "dog"))
    plain = json.loads(json.dumps(explanation.to_json(), allow_nan=False))
    assert plain["classes"][0]["levels"][2] == {"threshold": 0.5, "frames": 2, "runs": 1}
    assert plain["classes"][0]["background"] is None
    assert plain["events"] == 1
    assert len(plain["log_odds"]) == len(plain["classes"][0]["histogram"]) + 1
    assert plain["advice"]


@pytest.mark.parametrize("level", [-5.0, 2.0])
def test_a_day_of_scores_takes_seconds(level: float) -> None:
    classes = tuple(f"class {index}" for index in range(50))
    explanation, timeline = (kind(classes, np.full(50, 0.5)) for kind in (Explanation, Timeline))
    scores = np.random.default_rng(0).normal(level, 1.5, size=(14_400, 50))
    hour = (1 / (1 + np.exp(-scores))).astype(np.float32)
    begin = time.process_time()
    for number in range(24):
        one = ScoreBlock((number * 14_400 + np.arange(14_401)) * 0.25, hour)
        explanation.add(A, one)
        timeline.add(one)
    day = finished(A, 86_400.0)
    explanation.finish_recording(day)
    explanation.text()
    assert time.process_time() - begin < 15  # about 2 s; much more if frames were looped over
