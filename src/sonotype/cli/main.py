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
    "go on where they stopped"
)
"""What to do when memory is missing."""

COMMANDS = (
    "train", "distill", "evaluate", "crossval", "study", "learning-curve", "suspects", "predict",
    "embed", "tune", "detect", "listen", "serve", "suggest", "search", "explain", "doctor",
    "report", "compare", "info", "card", "export", "push", "app",
)  # fmt: skip
"""In the order of the help. Each is a function of its name in a module of its name."""
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


def program(names: Iterable[str] = (*COMMANDS, *GROUPS)) -> typer.Typer:
    """The program with some of its commands; only their modules are imported."""
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
    for name in names:
        function = name.replace("-", "_")
        module = import_module(f"sonotype.cli.{function}_command")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name, cls=Command)(getattr(module, function))
    return app


def _named(arguments: Sequence[str]) -> tuple[str, ...]:
    """The command that the arguments name, or all of them if it is not a command."""
    if list(arguments) == ["--version"]:
        return COMMANDS[:1]  # typer wants a command
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    return (name,) if name in (*COMMANDS, *GROUPS) else (*COMMANDS, *GROUPS)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the program on the arguments and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    code = 1
    try:
        program(_named(arguments))(args=arguments, prog_name="sonotype")
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
