"""How ``--help`` is laid out: plain text in two columns, the flags under the headings they have.

Typer's own panels leave some twenty columns for the words in a terminal of 80, cut long flags, and
take a tenth of a second to draw.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

ARGUMENTS, OPTIONS = "Arguments", "Options"


class Command(TyperCommand):
    """A command whose help has a section for each ``rich_help_panel`` of its flags."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the command's own flags, then those of each heading."""
        sections: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], OPTIONS: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            heading = getattr(parameter, "rich_help_panel", None) or OPTIONS
            if parameter.param_type_name == "argument":
                heading = ARGUMENTS
            sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
