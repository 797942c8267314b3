from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from heads import coarse, predicted, two_heads

from sonotype.core.errors import OptionsError
from sonotype.core.io import write_text
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.evaluation.evaluate import SYNTHETIC_NOTE
from sonotype.evaluation.metrics import Scores, score, scores_from_json
from sonotype.evaluation.predictions import Predictions
from sonotype.evaluation.report import render
from sonotype.evaluation.write_report import EVENT_SCORES, outputs_of, write_report

PNG = b"\x89PNG\r\n\x1a\n"


def answers(*, events: bool = True) -> Predictions:
    rng = np.random.default_rng(0)
    made = predicted(
        two_heads(("cat", "dog"), ("howl", "purr"), (1, 0)),
        [[0, 1] * 4, [1, 0] * 4],
        [rng.dirichlet((1, 1), 8) for _ in range(2)],
        groups=[f"g{number // 2}" for number in range(8)],
    )
    return made if events else coarse(made)


def scored(given: Predictions, **options: object) -> Scores:
    return score(given, resamples=20, **options)  # type: ignore[arg-type]


def test_everything_is_written(tmp_path: Path) -> None:
    given = answers()
    scores = scored(given, category_source="events")
    history = [{"epoch": "0", "train_loss": "1.0", "val_loss": "1.1", "val_f1": "0.5"}]
    report = write_report(scores, given, tmp_path / "new" / "out", history=history)
    out = tmp_path / "new" / "out"
    assert report == render(scores) == (out / "scores.txt").read_text()
    assert scores_from_json(json.loads((out / "scores.json").read_text())) == scores
    with (out / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == list(given.paths)
    summed = given.read("events")["category"]
    assert [row["category_1"] for row in rows] == [("cat", "dog")[i] for i in summed.argmax(1)]
    pictures = sorted(path.name for path in (out / "plots").iterdir())
    assert pictures == [
        "category_confusion.png",
        "category_f1.png",
        "category_reliability.png",
        "event_confusion.png",
        "event_f1.png",
        "event_reliability.png",
        "training.png",
    ]
    assert all((out / "plots" / name).read_bytes().startswith(PNG) for name in pictures)


def test_without_events_and_history(tmp_path: Path) -> None:
    given = answers(events=False)
    write_report(scored(given), given, tmp_path)
    pictures = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert pictures == [f"category_{kind}.png" for kind in ("confusion", "f1", "reliability")]
    assert list(json.loads((tmp_path / "scores.json").read_text())["heads"]) == ["category"]


@pytest.mark.parametrize(
    ("notes", "title"),
    [((SYNTHETIC_NOTE,), "category (synthetic sounds)"), (("split by chance",), "category")],
)
def test_pictures_say_that_sounds_are_synthetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: tuple[str, ...], title: str
) -> None:
    titles: list[str] = []
    for name in ("plot_confusion", "plot_per_class"):
        monkeypatch.setattr(
            f"sonotype.evaluation.write_report.{name}",
            lambda head, path, title: titles.append(title),
        )
    given = answers(events=False)
    report = write_report(scored(given, notes=notes), given, tmp_path)
    assert titles == [title, title]
    assert report.startswith(f"note: {notes[0]}")


def test_scores_json_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that file is, the scoring is done."""

    def fail(*_: object) -> None:
        raise RuntimeError("no picture")

    monkeypatch.setattr("sonotype.evaluation.write_report.plot_per_class", fail)
    given = answers()
    with pytest.raises(RuntimeError):
        write_report(scored(given), given, tmp_path)
    assert (tmp_path / "scores.txt").exists()
    assert not (tmp_path / "scores.json").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    given = answers()
    with pytest.raises(OptionsError) as caught:
        write_report(scored(given), given, tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / 'out' / 'scores.txt'} cannot be written (")
    assert str(caught.value).endswith("): choose another place")


def test_text_is_written_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Ärger\n")
    assert (tmp_path / "a.txt").read_bytes() == "Ärger\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def several(clips: int = 12) -> Predictions:
    """A head of any number of labels beside a head of single labels."""
    rng = np.random.default_rng(1)
    multi = Head("category", ("cat", "dog", "owl"), "multi", thresholds=(0.5, 0.4, 0.6))
    single = Head("event", ("near", "far"))
    true = (rng.random((clips, 3)) < 0.5).astype(int)
    true[0] = IGNORE_INDEX
    return predicted(
        (multi, single),
        [true, np.arange(clips) % 2],
        [rng.random((clips, 3)), rng.dirichlet((1, 1), clips)],
        groups=[f"g{number // 2}" for number in range(clips)],
    )


def test_the_files_of_heads_with_several_labels(tmp_path: Path) -> None:
    given = several()
    scores = scored(given)
    history = [{"epoch": "0", "train_loss": "1.0", "val_f1": "0.5", "val_category_map": "0.5"}]
    report = write_report(scores, given, tmp_path, history=history)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(outputs_of(given.heads)) - {EVENT_SCORES} | {"plots/training.png"}
    assert "plots/category_confusion.png" not in found
    assert "plots/event_confusion.png" in found
    lines = report.splitlines()
    assert max(map(len, lines)) <= 80
    [row] = [line for line in lines if line.startswith("mAP, macro")]
    ranking = scores.heads["category"].ranking
    assert ranking is not None
    assert f"{ranking.average_precision.value:.3f}" in row
    assert row.rstrip().endswith("-"), "the other head has none"
    assert any(line.split()[-5:] == ["AP", "precision", "recall", "F1", "clips"] for line in lines)
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert scores_from_json(stored) == scores
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    true = given.true["category"]
    names = given.heads[0].classes
    assert [row["category"] for row in rows] == [
        ";".join(name for name, value in zip(names, line, strict=True) if value == 1)
        for line in true
    ]


def test_the_name_of_the_validation_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = []

    def draw(*_: object, scores: dict[str, str], **__: object) -> None:
        titles.append(scores["val_f1"])

    monkeypatch.setattr("sonotype.evaluation.write_report.plot_history", draw)
    given = answers()
    for columns in ({}, {"val_event_f1": "1"}, {"val_category_map": "1"},
                    {"val_category_map": "1", "val_event_f1": "1"}):  # fmt: skip
        history = [{"epoch": "0", "val_f1": "0.5", **columns}]
        write_report(scored(given), given, tmp_path, history=history)
    assert titles == [
        "validation F1", "validation F1", "validation mAP", "validation F1 and mAP"
    ]  # fmt: skip
