"""Flags are spelled once: in the dataclasses that they are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest
import typer

from sonotype.cli.flags import numbers, takes
from sonotype.cli.layout import Command
from sonotype.cli.main import run
from sonotype.config import ScoreOptions, SplitOptions, SystemOptions, TrainOptions, option
from sonotype.core.errors import OptionsError
from sonotype.data.readers.source import SourceOptions

TRAIN = (SystemOptions, TrainOptions, SplitOptions, SourceOptions, ScoreOptions)


@dataclass(frozen=True, kw_only=True)
class Some:
    size: int = option(3, "How big")
    share: float | None = option(None, "How much, in [0, 1]")
    kind: Literal["hard", "soft"] = option("soft", "Which kind")
    deep: bool = option(False, "Whether deep")
    shiny: bool = option(True, "Whether shiny")
    blocks: tuple[int, ...] = option((1, 4), "Which blocks")
    words: tuple[str, ...] = option((), "Which words")


@dataclass(frozen=True, kw_only=True)
class Other:
    epochs: int | None = option(None, "How long")


def given(*argv: str) -> dict[str, Any]:
    """What a command gets for these arguments."""
    found: dict[str, Any] = {}

    @takes(One_heading=Some, Another=Other)
    def command(name: str, own: int = 7, **options: Any) -> None:
        """Do it."""
        found.update(name=name, own=own, **options)

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=Command)(command)
    app(args=["who", *argv], standalone_mode=False)
    assert found.pop("name") == "who"
    return found


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What ``sonotype train`` calls the library with."""
    found: dict[str, Any] = {}

    def train(data: Any, out: Any, **options: Any) -> None:
        found.update(data=data, out=out, **options)
        raise OptionsError("stopped here")

    monkeypatch.setattr("sonotype.experiments.pipeline.train", train)
    return found


def test_only_what_is_set_is_passed_on() -> None:
    assert given() == {"own": 7}
    assert given("--size", "0", "--own", "0") == {"own": 0, "size": 0}


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (("--share", "0.5"), {"share": 0.5}),
        (("--kind", "hard"), {"kind": "hard"}),
        (("--deep",), {"deep": True}),
        (("--no-deep",), {"deep": False}),
        (("--no-shiny",), {"shiny": False}),
        (("--blocks", "1,2"), {"blocks": (1, 2)}),
        (("--blocks", " 3 , 4 "), {"blocks": (3, 4)}),
        (("--blocks", "-1"), {"blocks": (-1,)}),
        (("--words", "a=b", "--words", "c,d=e"), {"words": ("a=b", "c,d=e")}),
        (("--epochs", "9", "--size", "1"), {"epochs": 9, "size": 1}),
    ],
)
def test_values_are_of_the_fields_types(argv: tuple[str, ...], wanted: dict[str, Any]) -> None:
    found = given(*argv)
    found.pop("own")
    assert found == wanted
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in wanted.items()
    }


@pytest.mark.parametrize("text", ["x", "", ",", "1,", "1;2", "1.5", "1 2"])
def test_a_list_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(OptionsError) as caught:
        given("--blocks", text)
    assert str(caught.value) == f"--blocks is {text!r}; a list such as 1,2 is wanted"


def test_numbers() -> None:
    assert numbers("--folds", "3") == (3,)
    assert numbers("--folds", "3,1, 2") == (3, 1, 2)


def test_help_has_headings_defaults_and_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(KeyError, match="name"):  # help ends before the command runs
        given("--help")
    text = capsys.readouterr().out
    assert re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE) == [
        "Arguments",
        "Options",
        "One heading",
        "Another",
    ]
    for line in (
        "  --size <int>          How big [default: 3]",
        "  --share <float>       How much, in [0, 1]",
        "  --kind <hard|soft>    Which kind [default: soft]",
        "  --deep / --no-deep    Whether deep [default: off]",
        "  --shiny / --no-shiny  Whether shiny [default: on]",
        "  --blocks 1,2,...      Which blocks [default: 1,4]",
        "  --words OURS=THEIRS   Which words",
        "  --epochs <int>  How long [default: paper 50, modern 40, student 150]",
    ):
        assert line in text.splitlines()


def test_every_field_is_a_flag_of_train_with_its_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run(["train", "--help"])
    text = capsys.readouterr().out
    flat = " ".join(text.split())
    for kind in TRAIN:
        for field in fields(kind):
            flag = f"--{field.name.replace('_', '-')}"
            assert re.search(rf"^  {flag}[ \n]", text, re.MULTILINE), flag
            assert " ".join(field.metadata["help"].split()) in flat, flag
            if isinstance(field.default, bool):
                assert f"{flag} / --no-{flag[2:]}" in text, flag


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        ("crossval", (SystemOptions, TrainOptions, SourceOptions, ScoreOptions)),
        ("evaluate", (SourceOptions, ScoreOptions)),
    ],
)
def test_every_field_is_a_flag_of_the_others_too(
    command: str, kinds: tuple[type, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run([command, "--help"])
    text = capsys.readouterr().out
    for kind in kinds:
        for field in fields(kind):
            assert re.search(rf"^  --{field.name.replace('_', '-')}[ \n]", text, re.MULTILINE)
    assert "--test-fraction" not in text


def test_flags_of_train_reach_the_library(
    trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = (
        "train data --out run --train-folds 1,2 --val-folds 3 --adapters 0 --no-cache --trim "
        "--no-mix-same-class --column category=species --column event=call --width 0.5 "
        "--precision bf16-mixed --epochs 4"
    )
    assert run(argv.split()) == 2
    assert capsys.readouterr().err == "error: stopped here\n"
    for name in ("progress", "say", "resume"):
        trained.pop(name)
    assert {name: str(trained.pop(name)) for name in ("data", "out")} == {
        "data": "data",
        "out": "run",
    }
    assert trained == {
        "train_folds": (1, 2),
        "val_folds": (3,),
        "adapters": (0,),
        "cache": False,
        "trim": True,
        "mix_same_class": False,
        "column": ("category=species", "event=call"),
        "width": 0.5,
        "precision": "bf16-mixed",
        "epochs": 4,
    }


def test_a_list_that_is_none_is_one_line(
    trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "data", "--out", "run", "--train-folds", "x"]) == 2
    assert capsys.readouterr().err == (
        "error: --train-folds is 'x'; a list such as 1,2 is wanted\n"
    )
    assert trained == {}
