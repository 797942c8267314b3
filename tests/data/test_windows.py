"""Windows of annotated recordings: their labels, their starts, and which of them are used."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.types import Clip, Content
from sonotype.data import windows as module
from sonotype.data.windows import (
    WindowOptions,
    labelled_windows,
    training_windows,
    window_starts,
)

Events = list[tuple[float, float, str]]
Facts = tuple[tuple[str, ...] | None, tuple[str, ...]]


def recording(
    seconds: float,
    events: Events,
    *spans: tuple[float, float],
    name: str = "a.wav",
    group: str = "",
) -> AnnotatedRecording:
    """A recording that was listened to as a whole, unless parts are named."""
    found = tuple(Event(*event) for event in sorted(events))
    return AnnotatedRecording(Path(name), seconds, found, spans or ((0.0, seconds),), group)


def facts(clips: tuple[Clip, ...] | list[Clip]) -> dict[float | None, Facts]:
    """Labels and uncertain classes of each window by its start; ``None`` without known labels."""
    return {
        clip.start: (clip.labels.get("category"), clip.uncertain.get("category", ()))
        for clip in clips
    }


def labels_at(
    one: AnnotatedRecording, options: WindowOptions, classes: str = "xyz"
) -> dict[float | None, Facts]:
    return facts(list(labelled_windows(one, set(classes), options)))


TWO = WindowOptions(2.0, 1.0)


def test_an_event_counts_from_half_of_its_length_on() -> None:
    one = recording(6, [(1.5, 2.5, "x")])
    assert labels_at(one, TWO) == {
        0: (("x",), ()),
        1: (("x",), ()),
        2: (("x",), ()),
        3: ((), ()),
        4: ((), ()),
    }


def test_an_event_with_less_in_the_window_is_uncertain() -> None:
    one = recording(6, [(1.6, 2.6, "x"), (0, 1, "y")])
    assert labels_at(one, TWO) == {
        0: (("y",), ("x",)),
        1: (("x",), ()),
        2: (("x",), ()),
        3: ((), ()),
        4: ((), ()),
    }
    strict = replace(TWO, min_overlap=0.7)
    assert labels_at(one, strict)[2.0] == ((), ("x",))


def test_of_a_long_event_the_share_of_the_window_counts() -> None:
    one = recording(12, [(2.9, 9.1, "x")])
    found = labels_at(one, TWO)
    assert found[1.0] == ((), ("x",))  # 0.9 s of 2 s
    assert found[2.0] == (("x",), ())  # 1.1 s
    assert found[8.0] == (("x",), ())
    assert found[9.0] == ((), ("x",))
    assert found[0.0] == found[10.0] == ((), ())


def test_an_event_of_exactly_the_least_share_counts() -> None:
    one = recording(5, [(0.3, 0.5, "x"), (2.7, 4.2, "y")])
    hops = WindowOptions(0.4, 0.1, min_overlap=0.5)
    found = labels_at(one, hops)
    assert found[0.0] == (("x",), ())  # 0.1 of 0.2 s, though the quotient may be 0.49999...
    assert found[0.4] == (("x",), ())
    assert found[0.5] == ((), ())
    assert found[2.5] == (("y",), ())  # 0.2 s of a window of 0.4 s
    assert found[2.4] == ((), ("y",))
    assert found[4.0] == (("y",), ())
    assert found[4.1] == ((), ("y",))
    assert found[4.2] == ((), ())


def test_an_event_that_touches_a_window_is_not_in_it() -> None:
    """The end 0.1 + 0.2 is above 0.3 by a rounding."""
    one = recording(2, [(0.1, 0.1 + 0.2, "x"), (1.2, 1.5, "x")])
    options = WindowOptions(0.3, 0.3)
    assert labels_at(one, options)[0.3] == ((), ())
    assert labels_at(one, options)[0.9] == ((), ())
    assert labels_at(one, replace(options, problem="single"))[0.3] == (None, ())


def test_two_events_of_a_class_and_events_of_other_classes() -> None:
    one = recording(4, [(0, 1, "x"), (1.9, 3.9, "x"), (0.5, 1.5, "y"), (0, 4, "other")])
    found = list(labelled_windows(one, {"x", "y"}, WindowOptions(2.0, 2.0)))
    assert facts(found) == {0.0: (("x", "y"), ()), 2.0: (("x",), ())}


def test_beyond_the_parts_listened_to_all_absent_classes_are_uncertain() -> None:
    one = recording(10, [(3, 4, "x"), (5.9, 6.9, "y")], (3.0, 7.0))
    assert labels_at(one, TWO) == {
        2.0: (("x",), ("y", "z")),
        3.0: (("x",), ()),
        4.0: ((), ("y",)),  # 0.1 s of y
        5.0: (("y",), ()),
        6.0: (("y",), ("x", "z")),
    }


def test_a_window_without_labels_beyond_these_parts_is_not_used() -> None:
    one = recording(20, [(3, 4, "x")], (2.0, 6.0), (10.0, 13.0))
    assert sorted(filter(None, labels_at(one, TWO))) == [2, 3, 4, 10, 11]
    assert window_starts(one, TWO) == [1, 2, 3, 4, 5, 9, 10, 11, 12]


def test_a_window_in_which_every_class_is_uncertain_is_not_used() -> None:
    one = recording(4, [(1.9, 3.9, "x")])
    assert labels_at(one, TWO, "x") == {1.0: (("x",), ()), 2.0: (("x",), ())}
    assert labels_at(one, TWO, "xy")[0.0] == ((), ("x",))


def test_one_label_a_window() -> None:
    one = recording(8, [(0, 2, "y"), (0.5, 1.5, "x"), (3.9, 5, "x"), (6, 7, "y"), (7, 8, "x")])
    found = labels_at(one, WindowOptions(2.0, 2.0, problem="single"))
    assert found == {
        0.0: (("y",), ()),
        4.0: (("x",), ()),
        6.0: (("x",), ()),  # equally long: by name
    }  # from 2 s on, x is there for 0.1 s: neither x nor background
    quiet = recording(8, [(0, 1, "x")])
    assert labels_at(quiet, WindowOptions(2.0, 4.0, problem="single"))[4.0] == (None, ())


def test_the_label_with_most_seconds_wins_also_in_several_events() -> None:
    one = recording(4, [(0, 0.5, "x"), (1, 1.5, "x"), (2, 2.5, "x"), (3, 4, "y")])
    options = WindowOptions(4.0, problem="single")
    assert labels_at(one, options) == {0.0: (("x",), ())}


def test_a_short_recording_has_one_window() -> None:
    one = recording(0.7, [(0.1, 0.3, "x")])
    assert labels_at(one, TWO) == {0.0: (("x",), ())}
    assert labels_at(recording(2, [(0, 2, "x")]), TWO) == {0.0: (("x",), ())}
    filled = recording(0.7, [(0, 0.3, "x"), (0.2, 0.7, "y")], (0.0, 0.7))
    assert labels_at(filled, TWO) == {0.0: (("x", "y"), ())}
    partly = recording(0.7, [(0, 0.3, "x")], (0.0, 0.4))
    assert labels_at(partly, TWO) == {0.0: (("x",), ("y", "z"))}


def test_a_recording_that_nobody_listened_to_has_no_windows() -> None:
    for seconds in (1.0, 10.0):
        one = AnnotatedRecording(Path("a.wav"), seconds, (), ())
        assert window_starts(one, TWO) == []
        assert labels_at(one, TWO) == {}


@pytest.mark.parametrize("hop", [0.1, 0.3, 0.7, 1.1, 2.0, 3.0])
@pytest.mark.parametrize("seconds", [2.0, 2.05, 3.3, 10.0, 59.9])
def test_starts_are_multiples_of_the_hop_and_the_last_window_ends_with_the_recording(
    hop: float, seconds: float
) -> None:
    starts = window_starts(recording(seconds, []), WindowOptions(2.0, hop))
    steps = [start / hop for start in starts[:-1]]
    assert steps == pytest.approx(range(len(steps)), abs=1e-7)
    assert starts[-1] == pytest.approx(seconds - 2, abs=1e-6)
    assert starts == sorted(set(starts))
    assert len(starts) == pytest.approx((seconds - 2) / hop + 1, abs=1.000001)
    assert all(start == round(start, 9) for start in starts)


def test_no_window_twice_where_the_hop_divides_the_length_but_for_a_rounding() -> None:
    assert window_starts(recording(0.1 * 3 + 2, []), WindowOptions(2.0, 0.1)) == [0, 0.1, 0.2, 0.3]
    assert window_starts(recording(2 + 1e-9, []), TWO) == [0]
    assert WindowOptions(2.0).step == 0.5


def test_clips_know_their_recording() -> None:
    content = Content("f", "s")
    one = replace(recording(4, [(0, 1, "x")], group="night"), fold=3, content=content)
    first = next(labelled_windows(one, "x", TWO))
    assert (first.path, first.group, first.fold, first.content) == (one.path, "night", 3, content)
    assert (first.start, first.seconds) == (0, 2)
    alone = next(labelled_windows(replace(one, group=""), "x", TWO))
    assert alone.group == "a.wav"


def test_labels_on_another_level() -> None:
    one = recording(4, [(0, 1, "x"), (2.9, 3.5, "y"), (1.7, 2.7, "x")])
    first = next(labelled_windows(one, "xy", replace(TWO, level="event")))
    assert (first.labels, first.uncertain) == ({"event": ("x",)}, {})


def test_given_starts() -> None:
    one = recording(10, [(3, 4, "x")])
    found = labelled_windows(one, "xy", TWO, [2.25, 0.5])
    assert facts(list(found)) == {2.25: (("x",), ()), 0.5: ((), ())}


# Which windows are used


def background(clips: tuple[Clip, ...]) -> list[Clip]:
    return [clip for clip in clips if not clip.labels.get("category")]


def quiet(seconds: float = 200, name: str = "a.wav") -> AnnotatedRecording:
    return recording(seconds, [(10, 12, "x"), (50, 52, "y")], name=name)


@pytest.mark.parametrize("problem", ["single", "multi"])
@pytest.mark.parametrize(("ratio", "wanted"), [(0.0, 0), (0.5, 3), (1.0, 6), (10.0, 60)])
def test_background_windows_for_each_window_with_an_event(
    ratio: float, wanted: int, problem: str
) -> None:
    options = replace(TWO, background=ratio, problem=problem)  # type: ignore[arg-type]
    found = training_windows([quiet()], options)
    assert len(found) - len(background(found)) == 6
    assert len(background(found)) == wanted
    assert [clip.start for clip in found] == sorted(clip.start or 0 for clip in found)


def test_all_background_windows_where_there_are_few() -> None:
    found = training_windows([quiet()], replace(TWO, background=1e6))
    assert [clip.start for clip in found] == list(range(199))


def test_the_choice_of_background_follows_the_seed_alone() -> None:
    recordings = [quiet(), quiet(150, "b.wav")]
    first, again, other = (
        training_windows(iter(recordings), replace(TWO, seed=seed)) for seed in (0, 0, 1)
    )
    assert first == again
    assert {clip.place for clip in first} != {clip.place for clip in other}
    assert [clip for clip in first if clip.labels["category"]] == [
        clip for clip in other if clip.labels["category"]
    ]
    assert {clip.path.name for clip in background(first)} == {"a.wav", "b.wav"}


def test_classes_of_all_recordings_are_uncertain_in_each() -> None:
    one = recording(4, [(0, 1, "x")], (0.0, 1.0))
    other = recording(4, [(0, 1, "y")], (0.0, 1.0), name="b.wav")
    assert facts(training_windows([one, other], TWO)) == {0.0: (("y",), ("x",))}  # of b.wav
    assert [clip.uncertain for clip in training_windows([one, other], TWO)] == [
        {"category": ("y",)},
        {"category": ("x",)},
    ]


def test_no_recordings() -> None:
    assert training_windows([], TWO) == ()
    assert training_windows([recording(9, [])], TWO) == ()


def test_of_too_many_windows_rare_classes_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WINDOWS", 100)
    events = [(float(n), n + 1.0, "common") for n in range(0, 400, 2)]
    events += [(float(n), n + 1.0, "rare") for n in range(400, 410)]
    events += [(float(n), n + 1.0, "some") for n in range(410, 470)]
    one = recording(800, events)
    options = WindowOptions(1.0, 1.0)
    found = training_windows([one], options)
    assert len(found) == 100
    assert [clip.start for clip in found] == sorted(clip.start or 0 for clip in found)
    counts = Counter(label for clip in found for label in clip.labels["category"] or ("",))
    assert counts == {"rare": 10, "common": 20, "some": 20, "": 50}, "half of all is background"
    assert found == training_windows([one], options)
    assert found != training_windows([one], replace(options, seed=1))


def test_windows_up_to_the_limit_are_all_used(monkeypatch: pytest.MonkeyPatch) -> None:
    one = recording(30, [(float(n), n + 1.0, "xy"[n % 2]) for n in range(30)])
    options = WindowOptions(1.0, 1.0)
    monkeypatch.setattr(module, "MOST_WINDOWS", 30)
    assert len(training_windows([one], options)) == 30
    monkeypatch.setattr(module, "MOST_WINDOWS", 29)
    found = training_windows([one], options)
    assert len(found) == 29
    assert min(Counter(clip.label("category") for clip in found).values()) == 14


def test_thinning_with_several_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of two classes counts once; all places are filled, also with many classes."""
    monkeypatch.setattr(module, "MOST_WINDOWS", 5)
    events = [(float(n), n + 1.0, label) for n in range(20) for label in (f"c{n}", "all")]
    found = training_windows([recording(20, events)], WindowOptions(1.0, 1.0))
    assert len({clip.start for clip in found}) == len(found) == 5


# A slow reference


def reference(
    one: AnnotatedRecording, classes: set[str], options: WindowOptions
) -> dict[float, tuple[set[str], set[str]]]:
    """Labels and uncertain classes by the definition, in microseconds as integers."""

    def micro(seconds: float) -> int:
        return round(seconds * 1e6)

    size, step = micro(options.seconds), micro(options.step)
    length = micro(one.seconds)
    last = max(length - size, 0)
    found = {}
    for start in sorted({*range(0, last + 1, step), last}):
        end = start + size
        present, touched = set(), set()
        for event in one.events:
            first, stop = micro(event.start), micro(event.end)
            overlap = min(stop, end) - max(first, start)
            if event.label in classes and overlap > 0:
                touched.add(event.label)
                if overlap >= options.min_overlap * min(stop - first, size) - 1e-3:
                    present.add(event.label)
        whole = any(
            micro(low) <= start and min(end, length) <= micro(high) for low, high in one.spans
        )
        uncertain = (touched if whole else classes) - present
        if present or (whole and uncertain != classes):
            found[start / 1e6] = present, uncertain
    return found


@pytest.mark.parametrize("seed", range(200))
def test_labels_are_those_of_the_definition(seed: int) -> None:
    rng = random.Random(seed)
    unit = rng.choice([0.1, 0.25, 0.01, 1 / 16])
    length = rng.randint(1, 200)
    cuts = sorted(
        rng.sample(range(length + 1), k=min(2 * rng.randint(1, 3), (length + 1) // 2 * 2))
    )
    spans = [(0, length)] if rng.random() < 0.4 else list(zip(cuts[::2], cuts[1::2], strict=True))
    events = []
    for low, high in spans:
        for _ in range(rng.randint(0, 6)):
            first, stop = sorted(rng.sample(range(low, high + 1), 2))
            events.append((first * unit, stop * unit, rng.choice("abc")))
    one = recording(length * unit, events, *((low * unit, high * unit) for low, high in spans))
    options = WindowOptions(
        rng.randint(1, 40) * unit, rng.randint(1, 30) * unit, rng.choice([0.25, 0.5, 0.75, 1.0])
    )
    classes = set("abcd")
    found = {
        round(clip.start or 0, 6): (
            set(clip.labels["category"]),
            set(clip.uncertain.get("category", ())),
        )
        for clip in labelled_windows(one, classes, options)
    }
    assert found == {
        round(start, 6): pair for start, pair in reference(one, classes, options).items()
    }
