"""Layout of ``--help`` and ``--help-all``: plain text in two columns.

The panels of typer leave about twenty columns for the help texts in a terminal of 80 columns, cut
long flags and take 0.1 s to draw.
"""

from __future__ import annotations

import inspect
from copy import copy
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

ARGUMENTS, OPTIONS = "Arguments", "Options"
SHOW_ALL = "sonotype.show_all"


class Command(TyperCommand):
    """A command whose ``--help`` lists the common options, and ``--help-all`` all of them.

    Options with ``hidden=True`` are not common. In ``--help-all``, each ``rich_help_panel`` has a
    section of its own.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of arguments and options."""
        parameters: list[Any] = [*self.get_params(ctx)]
        show_all = SHOW_ALL in ctx.meta or HELP_ALL.name not in {item.name for item in parameters}
        sections: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], OPTIONS: []}
        for parameter in map(copy, parameters):
            heading = OPTIONS
            if show_all:
                parameter.hidden = False
                heading = getattr(parameter, "rich_help_panel", None) or OPTIONS
            if parameter.param_type_name == "argument":
                heading = ARGUMENTS
            if record := parameter.get_help_record(ctx):
                flag, text = record
                if heading is ARGUMENTS:
                    flag = flag.partition(" <")[0]  # typer adds the Python type
                if not show_all and heading is not ARGUMENTS:
                    text = _short(text)
                sections.setdefault(heading, []).append((flag, text))
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _short(text: str) -> str:
    """The help text up to the first semicolon, and the default in brackets."""
    text, bracket, default = text.partition(" [")
    return text.partition("; ")[0] + bracket + default


def _print_all(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        ctx.meta[SHOW_ALL] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option(
            "--help-all",
            callback=_print_all,
            is_eager=True,
            expose_value=False,
            help="Show all options and exit.",
        ),
    ],
)
