from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from sonotype.core import figures
from sonotype.core.errors import OptionsError
from sonotype.evaluation import plots
from sonotype.evaluation.metrics import ClassScore, HeadScores, Interval, Ranking
from sonotype.evaluation.plots import (
    plot_attention,
    plot_confusion,
    plot_history,
    plot_per_class,
)

Draw = Callable[[Path], None]
ODD = ("price $5 and $6", "\u6f22\u5b57", "x" * 200, "a_b^c{", "line\nend")


def head(classes: int, *, names: tuple[str, ...] = (), absent: int = 0) -> HeadScores:
    labels = (*names, *(f"class {index}" for index in range(classes - len(names))))
    confusion = np.eye(classes, dtype=int) * 6 + np.eye(classes, k=1, dtype=int)
    confusion[classes - absent :] = 0
    return HeadScores(
        labels=labels,
        n=int(confusion.sum()),
        groups=9,
        accuracy=Interval(0.9),
        precision=Interval(0.9),
        recall=Interval(0.9),
        f1=Interval(0.9, 0.8, 0.95),
        per_class=tuple(
            ClassScore(label, 0.9, 0.9, index / classes, int(row.sum()))
            for index, (label, row) in enumerate(zip(labels, confusion, strict=True))
        ),
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def history(epochs: int = 5) -> list[dict[str, str]]:
    """As Lightning writes it: validation and training of an epoch on two lines, blanks between."""
    rows = []
    for epoch in range(epochs):
        score = str(0.5 + 0.1 * min(epoch, 2))
        common = {"epoch": str(epoch), "step": str(10 * epoch)}
        rows.append({**common, "val_loss": str(2 - epoch / 9), "val_f1": score, "train_loss": ""})
        rows.append({**common, "val_loss": "", "val_f1": "", "train_loss": str(3 - epoch / 9)})
    return rows


def pixels(path: Path) -> np.ndarray:
    image = imread(path)
    assert image.std() > 0.01, "an empty picture"
    return image


def inked_border(image: np.ndarray) -> int:
    """Pixels on the outermost rows and columns that are not white: something was cut off."""
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return int((rim[:, :3] < 0.9).any(axis=1).sum())


MEL = np.random.default_rng(0).normal(size=(480, 64))
MAP = np.random.default_rng(1).random((30, 4))

DRAWN: dict[str, Draw] = {
    "confusion of 1": lambda path: plot_confusion(head(1), path, "one"),
    "confusion of 5": lambda path: plot_confusion(head(5), path, "five"),
    "confusion of odd names": lambda path: plot_confusion(head(6, names=ODD), path, "$x" * 60),
    "per class of 1": lambda path: plot_per_class(head(1), path, "one"),
    "per class of 50": lambda path: plot_per_class(head(50), path, "fifty"),
    "per class of odd names": lambda path: plot_per_class(head(6, names=ODD), path, "\u6f22" * 90),
    "history": lambda path: plot_history(history(), path, title="training"),
    "history of one epoch": lambda path: plot_history(history(1), path),
    "attention": lambda path: plot_attention(MEL, MAP, path, "dog.wav", 5.0),
    "even attention": lambda path: plot_attention(MEL, np.ones((1, 1)), path, "dog.wav", 5.0),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_written_whole_and_nothing_beside_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "plots" / "picture.png"
    DRAWN[name](path)
    image = pixels(path)
    assert image.shape[0] > 150
    assert image.shape[1] > 400
    assert inked_border(image) == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["picture.png"]


def test_pictures_grow_with_the_classes_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = tmp_path / "few.png", tmp_path / "many.png"
    plot_confusion(head(5), few, "five")
    plot_confusion(head(50), many, "fifty")
    assert pixels(many).shape[0] > 2.5 * pixels(few).shape[0]
    # 0.26 inches a class at 120 dots: below that the numbers could not be distinguished.
    assert min(pixels(many).shape[:2]) > 50 * 0.26 * 120
    monkeypatch.setattr(plots, "LARGEST", 4.0)
    plot_confusion(head(20), many, "twenty")
    plot_per_class(head(40), few, "forty")
    assert max(pixels(many).shape) < 8 * 120
    assert pixels(few).shape[0] < 7 * 120


def test_classes_without_a_clip_get_no_bar(tmp_path: Path) -> None:
    plot_per_class(head(20), tmp_path / "all.png", "")
    plot_per_class(head(20, absent=10), tmp_path / "some.png", "")
    plot_per_class(head(10), tmp_path / "ten.png", "")
    tall, short, ten = (
        pixels(tmp_path / f"{name}.png").shape[0] for name in ("all", "some", "ten")
    )
    assert tall > short
    assert abs(short - ten) <= 2


def test_a_failing_plot_leaves_the_older_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def fail(self: object, target: Path, **options: object) -> None:
        Path(target).write_bytes(b"half")
        raise MemoryError

    monkeypatch.setattr(figures.FigureCanvasAgg, "print_figure", fail)
    with pytest.raises(MemoryError):
        plot_confusion(head(3), path, "")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_plots_leave_the_settings_of_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    DRAWN["history"](tmp_path / "picture.png")
    assert dict(mpl.rcParams) == before


def test_lines_of_one_epoch_are_joined_and_blanks_passed_over() -> None:
    rows = [
        {"epoch": "1", "loss": "0.5"},
        {"epoch": 0, "loss": 0.75},
        {"epoch": "1", "loss": ""},
        {"epoch": "2", "loss": "nan"},
        {"epoch": "", "loss": "9"},
        {"epoch": "3", "loss": None},
        {"epoch": "3", "other": "4"},
        {"epoch": "1", "loss": "0.25"},
    ]
    assert plots._curve(rows, "loss").tolist() == [[0, 0.75], [1, 0.25]]


def test_the_best_epoch_is_the_first_with_the_highest_score() -> None:
    curve = plots._curve(history(), "val_f1")
    assert curve[:, 1].tolist() == pytest.approx([0.5, 0.6, 0.7, 0.7, 0.7])
    assert plots._best([np.empty((0, 2)), curve]) == 2
    assert plots._best([np.empty((0, 2))]) is None


@pytest.mark.parametrize("rows", [[], [{"epoch": "0"}], [{"epoch": "0", "train_loss": ""}]])
def test_a_log_without_figures_is_refused(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    with pytest.raises(OptionsError, match="no numbers in train_loss, val_loss, val_f1"):
        plot_history(rows, tmp_path / "picture.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_attention_without_weight_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(OptionsError, match="nothing to plot"):
        plot_attention(MEL, np.full((30, 4), value), tmp_path / "picture.png", "", 5.0)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionsError, match=r"picture\.png cannot be written \(.+\): choose anoth"):
        plot_confusion(head(2), tmp_path / "file" / "picture.png", "")


def test_the_bars_of_several_labels_are_average_precisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, *_: drawn.append(figure))
    plain = head(3)
    ranked = replace(
        plain,
        per_class=tuple(
            replace(entry, average_precision=value)
            for entry, value in zip(plain.per_class, (0.75, 0.25, 0.5), strict=True)
        ),
        ranking=Ranking(Interval(0.5), Interval(0.4), Interval(0.3)),
    )
    plot_per_class(ranked, tmp_path / "a.png", "a")
    [axes] = drawn[0].axes
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.5, 0.75]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "class 1", "class 2", "class 0",
    ]  # fmt: skip
    assert axes.lines[0].get_xdata()[0] == 0.5
    assert axes.get_xlabel() == "average precision"
