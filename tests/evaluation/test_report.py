from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from heads import deep_heads, predicted, two_heads
from rich.cells import cell_len

from sonotype.core.text import WIDTH
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.folds import summarise_folds
from sonotype.evaluation.metrics import score
from sonotype.evaluation.predictions import Predictions, concatenate
from sonotype.evaluation.report import render, render_folds


def answers(
    categories: Sequence[str],
    events: Sequence[str],
    clips: int = 60,
    *,
    right: float = 0.6,
    seed: int = 0,
    groups: int = 20,
) -> Predictions:
    generator = np.random.default_rng(seed)
    home = tuple(index % len(categories) for index in range(len(events)))
    event = generator.integers(0, len(events), clips)
    category = np.array(home)[event]

    def output(true: np.ndarray, classes: int) -> np.ndarray:
        kept = generator.random(clips) < right
        return np.eye(classes)[np.where(kept, true, generator.integers(0, classes, clips))]

    return predicted(
        two_heads(tuple(categories), tuple(events), home),
        [category, event],
        [output(category, len(categories)), output(event, len(events))],
        groups=[str(clip % groups) for clip in range(clips)],
    )


def small(groups: str = "abcdefgh") -> Predictions:
    """Eight clips: 5 dogs, 3 of them taken for cats; 3 cats, all right; no cow."""
    true, found = [0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1, 1]
    return predicted(two_heads(("dog", "cat", "cow")), [true], [np.eye(3)[found]], groups=groups)


def three_levels(clips: int = 60) -> Predictions:
    """Random predictions of three heads; a third of the clips have a label of the finest."""
    generator = np.random.default_rng(0)
    finest = generator.integers(0, 5, clips)
    heads = deep_heads()
    event = np.array(heads[2].parent_index)[finest]
    true = [np.array(heads[1].parent_index)[event], event, np.where(finest > 2, finest, -1)]
    proba = [generator.dirichlet(np.ones(len(head.classes)), clips) for head in heads]
    return predicted(heads, true, proba, groups=[str(clip % 20) for clip in range(clips)])


def test_the_whole_text_of_a_small_case() -> None:
    assert render(score(small(), resamples=0, notes=["random split, not grouped"])) == (
        "note: random split, not grouped\n"
        "\n"
        "8 clips in 8 groups; category read from its own head; brackets: 95 % interval by\n"
        "group\n"
        "\n"
        "                  2 categories\n"
        "macro precision   0.750  -\n"
        "macro recall      0.700  -\n"
        "macro F1          0.619  -\n"
        "accuracy          0.625  -\n"
        "calib. error      0.375\n"
        "\n"
        "categories, worst first                  precision    recall        F1     clips\n"
        "dog                                          1.000     0.400     0.571         5\n"
        "cat                                          0.500     1.000     0.667         3\n"
        "  1 of 3 without a clip, not in the means: cow\n"
        "\n"
        "categories, largest confusions (3 of 8 clips wrong)\n"
        "  dog                        -> cat                            3 of 5"
    )


def test_intervals_stand_in_brackets() -> None:
    scores = score(small())
    accuracy = scores.heads["category"].accuracy
    line = f"accuracy          0.625  [{accuracy.low:.3f}, {accuracy.high:.3f}]"
    assert line in render(scores).splitlines()


def test_one_group_is_said_to_tell_no_interval() -> None:
    text = render(score(small("aaaaaaaa")))
    assert "accuracy          0.625  -" in text.splitlines()
    assert "categories: all clips are of one group, so there is no interval" in text.splitlines()


def test_flawless_answers_are_not_oversold() -> None:
    one = answers(["dog", "cat"], ["bark", "meow"], 40, right=1, groups=40)
    lines = render(score(one)).splitlines()
    assert "accuracy          1.000  [1.000, 1.000]       1.000  [1.000, 1.000]" in lines
    words = " ".join(" ".join(lines).split())
    for head in ("categories", "events"):
        assert (
            f"{head}: without an error the interval is a point; an error rate of 7.5 % is not "
            "ruled out by 40 groups (3 / 40)"
        ) in words
    assert "confusions" not in render(score(one))


@pytest.mark.parametrize(
    ("groups", "rate"), [(2, "100"), (7, "42.8"), (299, "1"), (301, "0.996"), (800, "0.375")]
)
def test_the_rate_that_is_not_ruled_out(groups: int, rate: str) -> None:
    """Three significant digits, rounded down: a rate above 3 / groups is ruled out."""
    assert float(rate) * groups <= 300
    one = answers(["dog", "cat"], ["bark", "meow"], groups, right=1, groups=groups)
    words = " ".join(render(score(one)).split())
    assert f"an error rate of {rate} % is not ruled out by {groups} groups" in words


def test_events_on_some_of_the_clips_are_said_so() -> None:
    one = answers(["dog", "cat"], ["bark", "meow"], 40)
    one.true["event"][:13] = IGNORE_INDEX
    assert "events are scored on the 27 clips with such a label" in render(score(one)).splitlines()


def test_worst_classes_come_first_and_the_rest_is_counted() -> None:
    one = answers(["dog", "cat"], [f"event {index:02}" for index in range(25)], 300)
    scores = score(one, resamples=10)
    lines = render(scores, classes=4, confusions=3).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("events, worst first"))
    event = scores.heads["event"]
    shown = [float(line.split()[-2]) for line in lines[start + 1 : start + 5]]
    assert shown == [round(figure, 3) for figure in sorted(c.f1 for c in event.per_class)[:4]]
    assert lines[start + 5] == "  ... and 21 more, none of them worse"
    start = next(at for at, line in enumerate(lines) if line.startswith("events, largest"))
    counts = sorted(
        (
            count
            for true, row in enumerate(event.confusion)
            for other, count in enumerate(row)
            if count and true != other
        ),
        reverse=True,
    )
    assert lines[start] == f"events, largest confusions ({sum(counts)} of 300 clips wrong)"
    assert [int(line.split()[-3]) for line in lines[start + 1 : start + 4]] == counts[:3]
    rest = f"  ... and {len(counts) - 3} more pairs ({sum(counts[3:])} clips)"
    assert lines[start + 4] == rest


@pytest.mark.parametrize("way", ["head", "events", "both"])
@pytest.mark.parametrize(
    "events",
    [
        ["x" * 300, "y" * 79, "z", "line\nend [red]markup[/red]"],
        ["\u6f22\u5b57" * 40, "\ud55c\uad6d\uc5b4" * 20, "e\u0301" * 90, "\x1b[31mred"],
    ],
)
def test_no_line_is_wider_than_eighty_columns(events: list[str], way: str) -> None:
    categories = [events[0], events[1]]
    parts = [answers(categories, events, 3000, seed=seed, groups=700) for seed in range(3)]
    notes = ["\u6f22\u5b57" * 70, "words " * 40, "w" * 200, "two\nlines"]
    folds = [score(part, category_source=way, resamples=10, notes=notes) for part in parts]
    pooled = score(concatenate(parts), category_source=way, resamples=10, notes=["pooled"])
    texts = [
        render(pooled),
        render(folds[0]),
        render_folds(summarise_folds(folds, events[:3]), pooled),
    ]
    for text in texts:
        for line in text.split("\n"):
            assert cell_len(line) <= WIDTH, line
            assert line == line.rstrip()
            assert line.isprintable()
    assert "note: two lines" in texts[1].splitlines()


@pytest.mark.parametrize("way", ["head", "events", "both"])
def test_three_levels_in_eighty_columns(way: str) -> None:
    parts = [three_levels(3000), three_levels(900)]
    folds = [score(part, category_source=way, resamples=10) for part in parts]
    summary = summarise_folds(folds)
    assert list(summary.heads) == ["category", "event", "level_3"]
    text, of_folds = render(folds[0]), render_folds(summary, folds[0])
    assert all(len(line) <= WIDTH for line in f"{text}\n{of_folds}".splitlines())
    third = folds[0].heads["level_3"]
    assert third.n < 3000
    lines = text.splitlines()
    assert f"labels of level_3 are scored on the {third.n} clips with such a label" in lines
    titles = [line.split("  ")[0] for line in lines if "worst first" in line]
    assert titles == [f"{x}, worst first" for x in ("categories", "events", "labels of level_3")]
    start = lines.index("                  2 labels of level_3")
    accuracy = third.accuracy
    ends = f"[{accuracy.low:.3f}, {accuracy.high:.3f}]"
    assert lines[start + 4] == f"accuracy          {accuracy.value:.3f}  {ends}"
    lines = of_folds.splitlines()
    start = lines.index("                      labels of level_3 (macro)")
    values = [getattr(summary.heads["level_3"], x).mean for x in ("precision", "recall", "f1")]
    assert lines[start + 4].split()[1:-1] == [f"{value:.3f}" for value in values]


def test_markup_in_labels_is_shown_as_it_is() -> None:
    text = render(score(answers(["[red]", "b"], ["[bold]a[/bold]", ":dog:"]), notes=["[i]"]))
    for part in ("note: [i]", "[red] ", "[bold]a[/bold] ", ":dog: "):
        assert part in text


def test_the_text_of_folds() -> None:
    folds = [score(small(), resamples=0, notes=["not grouped"]) for _ in range(2)]
    assert render_folds(summarise_folds(folds, ["first", "second"])) == (
        "note: not grouped\n"
        "\n"
        "2 folds, 16 clips; category read from its own head\n"
        "\n"
        "                      categories (macro)\n"
        "fold           clips   prec recall     F1    acc\n"
        "first              8  0.750  0.700  0.619  0.625\n"
        "second             8  0.750  0.700  0.619  0.625\n"
        "mean                  0.750  0.700  0.619  0.625\n"
        "std                   0.000  0.000  0.000  0.000"
    )


def test_one_fold_shows_no_deviation() -> None:
    line = render_folds(summarise_folds([score(small(), resamples=0)])).splitlines()[-1]
    assert line == "std                       -      -      -      -"


def test_pooled_figures_follow_the_folds() -> None:
    summary = summarise_folds([score(small(), notes=["a"])] * 2)
    text = render_folds(summary, score(concatenate([small()] * 2), notes=["a", "b"]))
    assert text.startswith("note: a\nnote: b\n\n2 folds, 16 clips")
    assert "\n\nall folds pooled:\n16 clips in 8 groups; category read from" in text
