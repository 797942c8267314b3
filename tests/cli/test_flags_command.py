"""Flags are made from the fields of options dataclasses."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest
import typer

from sonotype.cli.flags import ModelOptions, numbers, with_options
from sonotype.cli.layout import Command
from sonotype.cli.main import run
from sonotype.config import (
    CurveOptions,
    ScoreOptions,
    SplitOptions,
    SystemOptions,
    TeachingOptions,
    TrainOptions,
    option,
)
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions

TRAIN = (SystemOptions, TrainOptions, SplitOptions, SourceOptions, ScoreOptions)


@dataclass(frozen=True, kw_only=True)
class Some:
    size: int = option(3, "How big; in cm", common=True, low=0)
    share: float | None = option(None, "How much, in [0, 1]")
    kind: Literal["hard", "soft"] = option("soft", "Which kind")
    deep: bool = option(False, "Whether deep")
    shiny: bool = option(True, "Whether shiny")
    blocks: tuple[int, ...] = option((1, 4), "Which blocks")
    words: tuple[str, ...] = option((), "Which words")
    pause: float = option(0.0, "How slow; in s [default: as fast as possible]")


@dataclass(frozen=True, kw_only=True)
class Other:
    epochs: int | None = option(None, "How long", low=1)


def given(*argv: str) -> dict[str, Any]:
    """The keyword arguments that a command receives for these arguments."""
    found: dict[str, Any] = {}

    @with_options(One_heading=Some, Another=Other)
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
    """The arguments that ``sonotype train`` passes to the library."""
    found: dict[str, Any] = {}

    def train(data: Any, out: Any, **options: Any) -> None:
        found.update(data=data, out=out, **options)
        raise OptionsError("stopped here")

    monkeypatch.setattr("sonotype.experiments.pipeline.train", train)
    return found


def test_only_set_fields_are_passed_on() -> None:
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
def test_values_have_the_types_of_the_fields(argv: tuple[str, ...], wanted: dict[str, Any]) -> None:
    found = given(*argv)
    found.pop("own")
    assert found == wanted
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in wanted.items()
    }


@pytest.mark.parametrize("text", ["x", "", ",", "1,", "1;2", "1.5", "1 2"])
def test_an_invalid_list(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(repr(text))):
        numbers(text)


def test_numbers() -> None:
    assert numbers("3") == (3,)
    assert numbers("3,1, 2") == (3, 1, 2)


def test_invalid_values_are_reported_together() -> None:
    with pytest.raises(OptionsError) as caught:
        given("--size", "-1", "--epochs", "0")
    assert str(caught.value) == "size must be at least 0, got -1; epochs must be at least 1, got 0"


def sections(text: str) -> list[str]:
    return re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)


def test_help_lists_the_common_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(KeyError, match="name"):  # help ends before the command runs
        given("--help")
    text = capsys.readouterr().out
    assert sections(text) == ["Arguments", "Options"]
    assert "  --size <int>  How big [default: 3]" in text.splitlines()
    assert "--help-all" in text
    assert "--deep" not in text


def test_help_all_has_headings_defaults_and_all_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(KeyError, match="name"):
        given("--help-all")
    text = capsys.readouterr().out
    assert sections(text) == ["Arguments", "Options", "One heading", "Another"]
    for line in (
        "  --size <int>          How big; in cm [default: 3]",
        "  --share <float>       How much, in [0, 1]",
        "  --kind <hard|soft>    Which kind [default: soft]",
        "  --deep / --no-deep    Whether deep [default: off]",
        "  --shiny / --no-shiny  Whether shiny [default: on]",
        "  --blocks 1,2,...      Which blocks [default: 1,4]",
        "  --pause <float>       How slow; in s [default: as fast as possible]",
        "  --epochs <int>  How long [default: paper 50, modern 40, student 150]",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        ("train", TRAIN),
        ("distill", (*TRAIN, TeachingOptions)),
        ("crossval", (SystemOptions, TrainOptions, SourceOptions, ScoreOptions)),
        (
            "learning-curve",
            (CurveOptions, SystemOptions, TrainOptions, SourceOptions, ScoreOptions),
        ),
        ("evaluate", (SourceOptions, ModelOptions)),
        ("predict", (ModelOptions,)),
        ("export", (SourceOptions,)),
        ("data check", (SourceOptions,)),
    ],
)
def test_every_field_is_a_flag_in_help_all(
    command: str,
    kinds: tuple[type, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*command.split(), "--help-all"]) == 0
    text = capsys.readouterr().out
    flat = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    for kind in kinds:
        for field in fields(kind):
            flag = f"--{field.metadata.get('flag', field.name).replace('_', '-')}"
            assert re.search(rf"^  {flag}[ \n]", text, re.MULTILINE), flag
            assert " ".join(field.metadata["help"].split()) in flat, flag
            if isinstance(field.default, bool):
                assert f"{flag} / --no-{flag[2:]}" in text, flag
    assert ("--test-fraction" in text) == (SplitOptions in kinds)


@pytest.mark.parametrize(
    "command", ["train", "distill", "crossval", "study", "learning-curve", "predict"]
)
def test_help_fits_one_screen(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 30
    assert ("--verbose" in text) is (command in ("train", "distill", "crossval"))
    if command != "study":
        assert "--help-all" in text
        assert "--mixup" not in text


def test_flags_of_train_reach_the_library(
    trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = (
        "train data --out run --train-folds 1,2 --val-folds 3 --adapters 0 --no-cache --trim "
        "--no-mix-same-class --column category=species --column event=call --width 0.5 "
        "--precision bf16-mixed --epochs 4 --verbose"
    )
    assert run(argv.split()) == 2
    assert capsys.readouterr().err == "error: stopped here\n"
    for name in ("progress", "on_message", "resume"):
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
        "verbose": True,
    }


def test_an_invalid_list_is_wrong_usage(
    trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "data", "--out", "run", "--train-folds", "x"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "--train-folds" in last
    assert "'x'" in last
    assert trained == {}


@pytest.mark.parametrize("verb", ["embed", "predict", "detect"])
def test_the_batch_size_of_an_archive_is_that_of_no_recipe(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run([verb, "--help-all"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Clips that the network gets at once [default: 16]" in text


def test_the_engine_of_embed_chooses_no_archive(capsys: pytest.CaptureFixture[str]) -> None:
    run(["embed", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--engine <local|ray> Work with processes of this machine (local)" in text
