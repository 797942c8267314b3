"""Exit codes, errors in one line, and help that fits a terminal of 80 columns."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile
import typer

from sonotype import __version__
from sonotype.cli.main import COMMANDS, main, overview, program, run
from sonotype.core import errors
from sonotype.core.errors import DataIssue, SonotypeError
from sonotype.experiments.runner import FailedRunsError

FAILED = FailedRunsError("2 folds", {"a": "no"})
RAISED: list[tuple[BaseException, int, str]] = [
    (SonotypeError("no room"), 1, "error: no room\n"),
    (errors.OptionsError("epochs is 0"), 2, "error: epochs is 0\n"),
    (errors.AudioError("a.wav", "is empty"), 3, "error: a.wav: is empty\n"),
    (errors.TruncatedError("a.wav", "is truncated"), 3, "error: a.wav: is truncated\n"),
    (FAILED, 1, f"error: {FAILED}\n"),
    (
        errors.DataError("d", [DataIssue("d/x.csv", 3, "no path"), DataIssue("d/y", 0, "none")]),
        4,
        "error: d: 2 issues\n  d/x.csv:3: no path\n  d/y: none\n",
    ),
    (errors.WeightsError("mn04 is not here"), 5, "error: mn04 is not here\n"),
    (errors.ModelFileError("m: truncated"), 6, "error: m: truncated\n"),
    (errors.StoppedError("r: interrupted"), 130, "error: r: interrupted\n"),
    (
        errors.MissingExtraError("a Parquet table", "parquet"),
        7,
        "error: a Parquet table needs an optional part: pip install 'sonotype[parquet]'\n",
    ),
    (
        ZeroDivisionError("division\n  by zero"),
        1,
        "error: unexpected ZeroDivisionError: division by zero (use --debug for the traceback)\n",
    ),
    (AssertionError(), 1, "error: unexpected AssertionError: (use --debug for the traceback)\n"),
    (PermissionError(13, "x", "/x"), 1,
     "error: unexpected PermissionError: [Errno 13] x: '/x' (use --debug for the traceback)\n"),
    (KeyboardInterrupt(), 130, ""),
    (SystemExit(9), 9, ""),
    (SystemExit(), 0, ""),
    (SystemExit("out of luck"), 1, "error: out of luck\n"),
]  # fmt: skip


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    command = typer.main.get_command(program()) if command is None else command
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


EVERY = tuple(commands())


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make ``sonotype info`` fail with an error."""

    def use(error: BaseException) -> None:
        def load_model(_: Path) -> None:
            raise error

        monkeypatch.setattr("sonotype.modelfile.model_file.load_model", load_model)

    return use


def test_commands() -> None:
    assert {" ".join(words) for words in EVERY} == {
        "",
        "train",
        "distill",
        "evaluate",
        "export",
        "crossval",
        "study",
        "learning-curve",
        "compare",
        "suspects",
        "predict",
        "embed",
        "tune",
        "detect",
        "listen",
        "suggest",
        "search",
        "serve",
        "app",
        "explain",
        "doctor",
        "report",
        "info",
        "card",
        "push",
        "data",
        "data list",
        "data get",
        "data check",
        "weights",
        "weights list",
        "weights get",
        "weights path",
    }


def test_the_overview_shows_the_summaries_of_the_commands() -> None:
    full: Any = typer.main.get_command(program())
    outline: Any = typer.main.get_command(overview())
    for name, command in full.commands.items():
        assert COMMANDS[name] == command.help.strip().splitlines()[0]
    assert list(outline.commands) == list(full.commands) == list(COMMANDS)
    helps = [command.get_help(typer.Context(command)) for command in (full, outline)]
    assert helps[0] == helps[1]


def test_a_command_may_follow_two_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--", "info", "none.safetensors"]) == 6
    assert "none.safetensors" in capsys.readouterr().err


def test_the_first_page_lists_all_commands_whatever_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["--help", "train"]) == 0
    page = capsys.readouterr().out
    assert all(f"\n  {name} " in page for name in COMMANDS)
    assert run(["tran"]) == 2
    assert "'train'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"), RAISED, ids=[type(error).__name__ for error, *_ in RAISED]
)
def test_an_error_has_its_message_and_exit_code(
    raising: Any, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    raising(error)
    assert run(["info", "m"]) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == text


def test_the_help_lists_all_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = {SonotypeError, *SonotypeError.__subclasses__()}
    assert kinds <= {type(error) for error, *_ in RAISED}
    run(["--help"])
    listed = capsys.readouterr().out.partition("Exit codes:")[2]
    codes = {int(line.split()[0]) for line in listed.strip().splitlines()}
    assert codes == {kind.exit_code for kind in kinds} | {0}


@pytest.mark.parametrize("argv", [["--debug", "info", "m"], ["info", "m", "--debug"]])
@pytest.mark.parametrize("error", [SonotypeError("no room"), ZeroDivisionError("by zero")])
def test_debug_shows_the_traceback(raising: Any, error: Exception, argv: list[str]) -> None:
    raising(error)
    with pytest.raises(type(error)) as caught:
        run(argv)
    assert caught.value is error


def test_debug_leaves_a_traceback_on_the_terminal() -> None:
    argv = [sys.executable, "-m", "sonotype", "weights", "path", "huge"]
    plain = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (plain.returncode, plain.stdout) == (5, "")
    assert plain.stderr.startswith("error: ")
    assert "'huge'" in plain.stderr
    assert plain.stderr.count("\n") == 1
    debug = subprocess.run([*argv, "--debug"], capture_output=True, text=True, check=False)
    assert debug.returncode == 1
    assert debug.stderr.startswith("Traceback")
    last = debug.stderr.splitlines()[-1]
    assert last.startswith("sonotype.core.errors.WeightsError: ")
    assert "'huge'" in last


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"sonotype {__version__}"
    assert lines[1].startswith(f"Python {platform.python_version()}, {platform.system()} ")
    assert {f"torch {version('torch')}", f"numpy {version('numpy')}"} <= set(lines)
    assert not [line for line in lines if "not installed" in line]
    assert f"libsndfile {soundfile.__libsndfile_version__}" in lines
    [shown] = [line for line in lines if line.startswith("FFmpeg ")]
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    assert shown.startswith(f"FFmpeg {av.ffmpeg_version_info} (")
    assert f"libavcodec {codec}" in shown


def test_the_version_names_a_decoder_that_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert run(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    [shown] = [line for line in lines if line.startswith("libsndfile ")]
    assert shown.startswith("libsndfile cannot be loaded (ModuleNotFoundError: ")
    assert [line for line in lines if line.startswith(f"FFmpeg {av.ffmpeg_version_info}")]


def test_the_version_names_a_required_package_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_some(name: str) -> str:
        if name in ("soxr", "onnxruntime"):
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("importlib.metadata.version", without_some)
    assert run(["--version"]) == 0
    shown = capsys.readouterr().out
    assert "soxr is not installed\n" in shown
    assert "onnxruntime" not in shown, "an extra"


def test_python_m_sonotype() -> None:
    argv = [sys.executable, "-m", "sonotype", "--version"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == f"sonotype {__version__}"
    assert done.stderr == ""


def test_main_ends_with_the_exit_code(
    raising: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(errors.ModelFileError("m: truncated"))
    monkeypatch.setattr(sys, "argv", ["sonotype", "info", "m"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 6
    assert capsys.readouterr().err == "error: m: truncated\n"


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_fits_80_columns_and_has_an_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*words, "--help"]) == 0
    long = capsys.readouterr().out
    assert run([*words, "-h"]) == 0
    assert capsys.readouterr().out == long
    lines = long.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(" ".join(["Usage: sonotype", *words]))
    assert "\\" not in long, "no markup"
    assert "…" not in long, "no text is cut"
    if words not in {("data",), ("weights",)}:
        command = " ".join(["sonotype", *words])
        assert re.search(rf"^  Example: .*{command} \S", long, re.MULTILINE)


def test_the_help_names_commands_and_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run([])
    bare = capsys.readouterr()
    run(["--help"])
    text = capsys.readouterr().out
    assert text in (bare.out, bare.err), "the help is shown without arguments"
    for line in (
        "  evaluate        Score a model on labelled sounds or annotated recordings.",
        "  predict         Classify sound files, and all sounds in folders.",
        "  Example: sonotype train recordings --out runs/first",
        "  Exit codes:",
        "    0    success",
        "    3    unreadable audio (at least one file)",
        "    130  interrupted",
    ):
        assert line in text.splitlines()
    assert "..." not in text.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["trian"], "No such command 'trian'"),
        (["train", "d", "--out", "r", "--sistem", "x"], "No such option: --sistem"),
        (["train", "d", "--out", "r", "--epochs", "many"], "--epochs"),
        (["train", "d", "--out", "r", "--system", "cbir_9"], "--system"),
        (["predict"], "Missing argument"),
        (["predict", "m", "a.wav", "--top", "0"], "--top"),
        (["evaluate", "m", "d", "more"], "unexpected extra argument"),
        (["crossval", "d"], "Missing option '--out'"),
    ],
)
def test_wrong_usage(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("Usage: sonotype")
    assert text in output.err.splitlines()[-1]
    assert "Traceback" not in output.err
