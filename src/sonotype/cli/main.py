"""The program ``sonotype``: one file per verb; heavy imports only inside the handlers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from sonotype.cli import data_command as data
from sonotype.cli import weights_command as weights
from sonotype.cli.app_command import app as page
from sonotype.cli.card_command import card
from sonotype.cli.compare_command import compare
from sonotype.cli.crossval_command import crossval
from sonotype.cli.detect_command import detect
from sonotype.cli.distill_command import distill
from sonotype.cli.doctor_command import doctor
from sonotype.cli.evaluate_command import evaluate
from sonotype.cli.explain_command import explain
from sonotype.cli.export_command import export
from sonotype.cli.info_command import info
from sonotype.cli.layout import Command
from sonotype.cli.learning_curve_command import learning_curve
from sonotype.cli.listen_command import listen
from sonotype.cli.predict_command import predict
from sonotype.cli.push_command import push
from sonotype.cli.report_command import report
from sonotype.cli.serve_command import serve
from sonotype.cli.study_command import study
from sonotype.cli.suggest_command import suggest
from sonotype.cli.suspects_command import suspects
from sonotype.cli.train_command import train
from sonotype.cli.tune_command import tune
from sonotype.core.errors import SonotypeError
from sonotype.core.version import __version__

# \b keeps the lines of a paragraph as they are.
EPILOG = """
Example: sonotype train recordings --out runs/first

\b
Exit codes:
  0    success
  1    any other error
  2    wrong usage or an invalid option
  3    unreadable audio (predict, detect, suggest, explain: at least one file)
  4    invalid data
  5    pretrained weights not available
  6    invalid model file
  7    optional dependency not installed
  130  interrupted
"""

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
for command in (
    train, distill, evaluate, crossval, study, learning_curve, suspects, predict, tune, detect,
    listen, serve, suggest, explain, doctor, report, compare, info, card, export, push,
):  # fmt: skip
    app.command(cls=Command)(command)
app.command("app", cls=Command)(page)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sonotype {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit"
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; valid anywhere")
    ] = False,
) -> None:
    pass


def run(argv: Sequence[str] | None = None) -> int:
    """Run the program on the arguments and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    code = 1
    try:
        app(args=arguments, prog_name="sonotype")
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
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    return code


def main() -> None:
    """Entry point of the ``sonotype`` command."""
    for stream in (sys.stdout, sys.stderr):
        # Escape the characters that the terminal cannot encode.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())
