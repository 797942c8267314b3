"""Options that control how a source of labelled sounds is read.

The command line imports this file for every ``--help``, so it imports no data code at the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sonotype.config import option
from sonotype.core.errors import OptionsError

if TYPE_CHECKING:
    from sonotype.data.validate import Purpose, Rules
    from sonotype.data.windows import WindowOptions


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source; every field is a flag of the commands that take data."""

    label_set: Literal["esc50", "msos"] | None = option(
        None, "ESC-50: names of the labels [default: esc50]"
    )
    subset: Literal["development", "evaluation"] | None = option(
        None, "MSoS: which subset to read [default: development, if present]"
    )
    column: tuple[str, ...] = option(
        (),
        "Table column of a field, e.g. event=species; fields: path, category, event, "
        "level_3 to level_6, group, fold",
        common=True,
        metavar="FIELD=COLUMN",
    )
    ignore_columns: bool = option(False, "Tables: ignore unknown columns")
    group_pattern: str | None = option(
        None, "Regular expression for the recording in file names", common=True,
        metavar="REGEX",
    )  # fmt: skip
    rare_events: Literal["error", "unlabel"] = option(
        "error",
        "Events and finer labels with a single clip: report an error, or drop the label (unlabel)",
    )
    qualify_events: bool = option(
        False,
        "Rename events that occur in several categories to CATEGORY/EVENT; finer levels likewise",
    )
    use_truncated: bool = option(
        False, "Use the readable part of truncated files instead of reporting an error"
    )

    problem: Literal["auto", "single", "multi"] = option(
        "auto",
        "Classes in a clip: exactly one (single) or any number (multi); auto: multi for annotated "
        "recordings and for clips with several labels",
    )
    label_column: str | None = option(
        None, "Annotated recordings: column (or TextGrid tier) of the labels", metavar="NAME"
    )
    annotated: str = option(
        "labels",
        "Annotated recordings: the parts that were listened to; labels: from the first to the last "
        "label; whole; or a CSV file of path, start, end",
        metavar="PARTS",
    )
    window_hop: float = option(
        0.0,
        "Annotated recordings: seconds between starts of training windows; 0: a quarter window",
        low=0,
    )
    min_overlap: float = option(
        0.5,
        "Annotated recordings: share of an event in a window from which the window has its label",
        low=0.01,
        high=1,
    )
    background: float = option(
        1.0,
        "Annotated recordings: windows without events, for each window with one",
        low=0,
    )

    def rules(self, purpose: Purpose = "training") -> Rules:
        """The strictness of the checks."""
        from sonotype.data.validate import Rules

        return Rules(
            purpose=purpose,
            rare_events=self.rare_events,
            qualify_events=self.qualify_events,
            partial=self.use_truncated,
            problem=self.problem,
        )

    def windows(self, seconds: float, seed: int) -> WindowOptions:
        """How to cut windows of this length in seconds out of annotated recordings."""
        from sonotype.data.windows import WindowOptions

        return WindowOptions(
            seconds=seconds,
            hop=self.window_hop,
            min_overlap=self.min_overlap,
            background=self.background,
            problem="single" if self.problem == "single" else "multi",
            seed=seed,
        )

    def columns(self) -> dict[str, str]:
        """``column`` as a mapping from field to column name.

        Raises:
            OptionsError: an entry is not of the form FIELD=COLUMN.
        """
        pairs = [item.partition("=") for item in self.column]
        for field, equals, column in pairs:
            if not (field and equals and column):
                raise OptionsError(
                    f"--column {field}{equals}{column}: use FIELD=COLUMN, such as category=species"
                )
        return {field.strip(): column.strip() for field, _, column in pairs}


DEFAULTS = SourceOptions()
