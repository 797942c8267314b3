"""The program ``sonotype``: one file per verb; heavy imports only inside the handlers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated

import typer

from sonotype.cli.layout import Command
from sonotype.core.errors import SonotypeError, is_memory_error, memory_cause
from sonotype.core.version import version_report

# \b keeps the lines of a paragraph as they are.
EPILOG = """
Example: sonotype train recordings --out runs/first

\b
Exit codes:
  0    success
  1    any other error
  2    wrong usage or an invalid option
  3    unreadable audio (at least one file)
  4    invalid data
  5    pretrained weights not available
  6    invalid model file
  7    optional dependency not installed
  130  interrupted
"""

MORE_MEMORY = (
    "close other programs, or use a smaller --batch-size or shorter sounds; training and detection "
    "continue where they stopped"
)
"""What to do when memory is missing."""

COMMANDS = {
    "train": "Train a classifier on labelled sounds and score it.",
    "distill": "Train a small student model from teacher models.",
    "evaluate": "Score a model on labelled sounds or annotated recordings.",
    "crossval": "Train on all folds but one and test on it, for each fold.",
    "study": "Run experiments defined in TOML and compare the scores.",
    "learning-curve": "Estimate the scores with more labelled clips.",
    "suspects": "List the clips of a run whose labels are probably wrong.",
    "predict": "Classify sound files, and all sounds in folders.",
    "embed": "Write embeddings of windows of recordings, for search.",
    "tune": "Fit how a model detects events, to recordings or to clips.",
    "detect": "Detect events in recordings, and in folders of recordings.",
    "listen": "Detect events in live sound, until it ends or Ctrl-C.",
    "serve": "Serve a model over HTTP: classify, detect, stream.",
    "suggest": "Suggest which parts of recordings to label next.",
    "search": "Find the windows of an archive that sound like a clip.",
    "explain": "Show which parts of sounds a class depends on.",
    "doctor": "Find faults in labelled sounds, with a remedy for each.",
    "report": "Write a run as one HTML page with sounds and pictures.",
    "compare": "Compare trained runs side by side, with 95 % intervals.",
    "info": "Show labels, data, licences, scores and layers of a model.",
    "card": "Write a model card, with the header of Hugging Face.",
    "export": "Export a model to ONNX, for use without torch.",
    "push": "Send a model to the Hugging Face Hub, with a model card.",
    "app": "Open a page to record, train and try a detector.",
    "data": "List, download and check data sets.",
    "weights": "List, download and locate pretrained weights.",
}
"""The summary of each command, in the order of the help.

A command is a function of its name in a module of its name; so is a group, whose module has a
program of its own. The first help page imports none of them.
"""
GROUPS = ("data", "weights")
"""Commands with commands of their own."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_report())
        raise typer.Exit


def _top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print all versions and exit"
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; valid anywhere")
    ] = False,
) -> None:
    pass


def program(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The program with some of its commands; only their modules are imported."""
    app = _without_commands()
    for name in names:
        function = name.replace("-", "_")
        module = import_module(f"sonotype.cli.{function}_command")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name, cls=Command)(getattr(module, function))
    return app


def overview() -> typer.Typer:
    """The program with the names and summaries of its commands, of which none can be called."""
    app = _without_commands()
    for name, summary in COMMANDS.items():
        app.command(name, help=summary)(_no_command)
    return app


def _without_commands() -> typer.Typer:
    app = typer.Typer(
        name="sonotype",
        help="Train and run audio event classifiers.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_top)
    return app


def _no_command() -> None:
    raise NotImplementedError


def _needed(arguments: Sequence[str]) -> typer.Typer:
    """The program with the command that comes first; else the overview, for help and errors."""
    name = next((argument for argument in arguments if argument != "--"), "")
    return program((name,)) if name in COMMANDS else overview()


def run(argv: Sequence[str] | None = None) -> int:
    """Run the program on the arguments and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    code = 1
    try:
        _needed(arguments)(args=arguments, prog_name="sonotype")
        return 0
    except SystemExit as stop:  # typer reports success, wrong usage and Ctrl-C this way
        if not isinstance(stop.code, str):
            return stop.code or 0
        message = stop.code
    except SonotypeError as error:
        if debug:
            raise
        message, code = str(error), error.exit_code
    except Exception as error:
        if debug:
            raise
        cause = " ".join([f"{type(error).__name__}:", *str(error).split()])
        message = f"unexpected {cause} (use --debug for the traceback)"
        if is_memory_error(error):
            message = f"{memory_cause(error)}; {MORE_MEMORY}"
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    return code


def main() -> None:
    """Entry point of the ``sonotype`` command."""
    for stream in (sys.stdout, sys.stderr):
        # Escape the characters that the terminal cannot encode.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())
