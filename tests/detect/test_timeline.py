from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from sonotype.core.detections import DetectedEvent, DetectedRecording, ScoreBlock
from sonotype.core.errors import OptionsError
from sonotype.detect import timeline_plot
from sonotype.detect.timeline import Timeline

ODD = ("price $5 and $6", "\u6f22\u5b57", "x" * 200, "a_b^c{", "line\nend", "W" * 30)


def recording(
    seconds: float, events: list[tuple[float, float, str]], error: str = ""
) -> DetectedRecording:
    found = tuple(DetectedEvent(start, end, label, 0.9) for start, end, label in sorted(events))
    return DetectedRecording(Path("night.wav"), seconds, found, 8000.0, error)


def timeline(seconds: float, classes: tuple[str, ...], hop: float = 0.25) -> Timeline:
    drawn = Timeline(classes, np.full(len(classes), 0.5))
    times = np.arange(0, seconds + hop / 2, hop)
    scores = np.random.default_rng(0).random((len(times) - 1, len(classes)))
    for rows in np.array_split(np.arange(len(scores)), 7):
        if len(rows):
            drawn.add(ScoreBlock(times[rows[0] : rows[-1] + 2], scores[rows]))
    return drawn


def names(number: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(number))


def inked_border(image: np.ndarray) -> int:
    """Pixels on the outermost rows and columns that are not white: something was cut off."""
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return int((rim[:, :3] < 0.9).any(axis=1).sum())


def test_a_picture_is_whole_and_nothing_is_beside_it(tmp_path: Path) -> None:
    cases: dict[str, tuple[Timeline, DetectedRecording]] = {
        "short": (timeline(5, names(2)), recording(5, [(1, 2, "class 0")])),
        "odd": (timeline(60, ODD), recording(60, [(5, 6, label) for label in ODD])),
        "none": (timeline(600, names(9)), recording(600, [])),
        "one": (timeline(60, ("dog",)), recording(60, [(0, 60, "dog")])),
        "long": (
            timeline(86_400, names(40), 10),
            recording(86_400, [(n * 100.0, n * 100.0 + 2, f"class {n % 40}") for n in range(800)]),
        ),
        "unread": (Timeline(names(3), np.full(3, 0.5)), recording(0, [], "not a sound file" * 20)),
    }
    for name, (drawn, found) in cases.items():
        path = tmp_path / name / "timeline.png"
        drawn.save(path, found)
        image = imread(path)
        assert inked_border(image) == 0, name
        assert 700 < image.shape[1] < 1500, name
        assert image[:, :, :3].std() > 0.01, name
        assert [entry.name for entry in path.parent.iterdir()] == ["timeline.png"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    figures: list[Any] = []
    monkeypatch.setattr(timeline_plot, "save_figure", lambda figure, *_: figures.append(figure))
    return figures


def texts(figure: Any) -> str:
    return "\n".join(
        text.get_text() for axes in figure.axes for text in (*axes.texts, *axes.get_yticklabels())
    )


def test_rows_are_the_classes_with_most_events(drawn: list[Any], tmp_path: Path) -> None:
    # Class n has n events; class 0 has no row, and 30 - 25 classes with 1 to 5 events have none.
    events = [(i, i + 1, f"class {n}") for n in range(31) for i in range(n)]
    timeline(60, names(31)).save(tmp_path / "a.png", recording(60, events))
    axes = drawn[0].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"class {n}" for n in range(30, 5, -1)]
    shown = texts(drawn[0])
    assert "night.wav: 465 events of 30 classes in 60 s" in shown
    assert "15 events of 5 other classes not shown" in shown
    bars = axes.collections[-25:]
    assert [len(bar.get_paths()) for bar in bars] == list(range(30, 5, -1))


def test_without_an_event_the_five_highest_classes_are_shown(
    drawn: list[Any], tmp_path: Path
) -> None:
    picture = Timeline(names(7), [0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.5])
    scores = np.array([[0.1, 0.2, 0.3, 0.15, 0.4, 0.05, 0.0]])
    picture.add(ScoreBlock(np.array([0.0, 4.0]), scores))
    picture.save(tmp_path / "a.png", recording(4, []))
    labels = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    assert labels == ["class 4", "class 2", "class 1", "class 3", "class 0"]
    shown = texts(drawn[0])
    assert "night.wav: no event in 4 s" in shown
    assert "the 5 of 7 classes with the highest scores" in shown
    assert "0.40" in shown


def test_a_long_recording_shows_the_number_of_events_in_bins(
    drawn: list[Any], tmp_path: Path
) -> None:
    # 4 h in at most 100 bins: 5 min. Three events begin in the first bin; one lasts 20 min.
    events = [(10, 11, "dog"), (20, 21, "dog"), (100, 1300, "dog"), (14_399, 14_400, "dog")]
    timeline(14_400, ("dog",), 1).save(tmp_path / "a.png", recording(14_400, events))
    axes = drawn[0].axes[0]
    bins = {round(bar.get_x() / 300): round(abs(bar.get_height()), 4) for bar in axes.patches}
    low, span = timeline_plot.EVENT_SPAN
    full = span - low
    one = round(full * (0.15 + 0.85 / 3), 4)
    assert bins == {0: round(full, 4), 1: one, 2: one, 3: one, 4: one, 47: one}
    assert drawn[0].legends[0].texts[0].get_text() == "events per 5 min; full height: 3"


@pytest.mark.parametrize(
    ("seconds", "unit", "first", "last"),
    [
        (0.4, "s", "0.05", "0.4"),
        (5, "s", "0.5", "5"),
        (60, "s", "5", "60"),
        (120, "mm:ss", "0:10", "2:00"),
        (600, "mm:ss", "1:00", "10:00"),
        (6600, "h:mm", "0:10", "1:50"),
        (86_400, "h:mm", "2:00", "24:00"),
        (9 * 86_400, "days", "1", "9"),
        (4000 * 86_400, "days", "333", "4000"),
    ],
)
def test_ticks_suit_the_length(
    drawn: list[Any], tmp_path: Path, seconds: float, unit: str, first: str, last: str
) -> None:
    picture = timeline(seconds, ("dog",), seconds / 10)
    picture.save(tmp_path / "a.png", recording(seconds, []))
    axes = drawn[0].axes[0]
    ticks = axes.get_xticks()
    labels = axes.xaxis.get_major_formatter().format_ticks(ticks)
    assert (labels[1], labels[-1]) == (first, last)
    assert len(ticks) <= timeline_plot.TICKS + 1
    assert f"({unit})" in axes.get_xlabel()


def test_a_short_event_is_visible(drawn: list[Any], tmp_path: Path) -> None:
    timeline(3600, ("dog",)).save(tmp_path / "a.png", recording(3600, [(1800, 1800.01, "dog")]))
    [path] = drawn[0].axes[0].collections[-1].get_paths()
    start, end = path.vertices[:, 0].min(), path.vertices[:, 0].max()
    assert (end - start) / 3600 * 7 * 120 == pytest.approx(2.5)  # pixels
    assert (start + end) / 2 == pytest.approx(1800, abs=0.1)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionsError, match=r"a\.png cannot be written"):
        timeline(5, ("dog",)).save(tmp_path / "file" / "a.png", recording(5, []))
