"""How a source of labelled sounds is read: options that are also flags of the command line.

The command line imports this file for every ``--help``, so nothing else of the data is imported
with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sonotype.core.errors import OptionsError

if TYPE_CHECKING:
    from sonotype.data.validate import Purpose, Rules


def _help(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass(frozen=True)
class SourceOptions:
    """How a source is read; every field is a flag of the commands that take data."""

    names: str | None = field(
        default=None,
        metadata=_help("ESC-50: label names, esc50 (its own, the default) or msos"),
    )
    part: str | None = field(
        default=None,
        metadata=_help("MSoS: development (the default where it is there) or evaluation"),
    )
    column: tuple[str, ...] = field(
        default=(),
        metadata=_help("Tables: OURS=THEIRS, ours of path, category, event, group, fold"),
    )
    ignore_columns: bool = field(
        default=False, metadata=_help("Tables: pass over columns that mean nothing here")
    )
    group_pattern: str | None = field(
        default=None,
        metadata=_help("Regular expression over file names; what it captures is the recording"),
    )
    rare_events: str = field(
        default="fault",
        metadata=_help("Events with one clip: fault, or unlabel to keep only their category"),
    )
    qualify_events: bool = field(
        default=False,
        metadata=_help("Call events that stand under two categories CATEGORY/EVENT"),
    )
    use_truncated: bool = field(
        default=False,
        metadata=_help("Use files that are cut off, by what is there; else they are faults"),
    )

    def rules(self, purpose: Purpose = "training") -> Rules:
        """The part of the options that says how strict the checks are."""
        from sonotype.data.validate import Rules

        return Rules(
            purpose=purpose,
            rare_events=self.rare_events,
            qualify_events=self.qualify_events,
            partial=self.use_truncated,
        )

    def columns(self) -> dict[str, str]:
        """``column`` as a mapping from our name to theirs."""
        pairs = [item.partition("=") for item in self.column]
        for ours, equals, theirs in pairs:
            if not (ours and equals and theirs):
                raise OptionsError(
                    f"--column {ours}{equals}{theirs}: write OURS=THEIRS, as in category=species"
                )
        return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


DEFAULTS = SourceOptions()
