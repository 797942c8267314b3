"""The verb ``data``: which data sets there are, how to get them, and what is wrong with one."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonotype.cli.flags import takes
from sonotype.core.errors import DataError
from sonotype.core.json_text import json_text
from sonotype.data.source_options import SourceOptions

if TYPE_CHECKING:
    from rich.table import Table

    from sonotype.data.manifest import Manifest

WIDTH = 80

app = typer.Typer(
    name="data",
    help="List and get data sets, check one of your own.",
    epilog="Example: sonotype data check recordings",
    no_args_is_help=True,
)


class Purpose(StrEnum):
    """What the data are for; the checks of a test set are milder."""

    training = "training"
    evaluation = "evaluation"


@app.command("list", epilog="Example: sonotype data list --json")
def list_sets(
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON")] = False,
) -> None:
    """List the data sets known by name, with licence, address and citation."""
    from sonotype.data.dataset_registry import KNOWN

    if as_json:
        typer.echo(json_text([asdict(known) for known in KNOWN], indent=2))
        return
    table = _table("name", "what", "clips", "size", "licence")
    for known in KNOWN:
        table.add_row(known.name, known.what, known.clips, known.size, known.licence)
    _print(table)
    for known in KNOWN:
        typer.echo(f"\n{known.name}: {known.address}\n{_wrapped(known.citation)}")


@app.command("get", epilog="Example: sonotype data get esc50 --out esc50")
def get_set(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in `data list`")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder for the sounds")],
) -> None:
    """Download a data set into a new folder."""
    from sonotype.data.dataset_registry import find, get_esc50, get_msos

    known = find(name)
    if known.name == "esc50":
        get_esc50(out, progress=True)
    else:
        get_msos(out)
    typer.echo(f"{known.name} is in {out}; see: sonotype data check {out}")
    typer.echo(f"licence: {known.licence}\n{_wrapped(f'cite: {known.citation}')}")


@app.command("check", epilog="Example: sonotype data check sounds --decode")
@takes(Reading=SourceOptions)
def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A folder or a table of sounds")],
    decode: Annotated[bool, typer.Option("--decode", help="Decode every file as well")] = False,
    purpose: Annotated[
        Purpose, typer.Option(help="evaluation lets one-clip classes pass")
    ] = Purpose.training,
    as_json: Annotated[bool, typer.Option("--json", help="Counts or faults as JSON")] = False,
    **source: Any,
) -> None:
    """Count what is in a data set, or report everything that is wrong with it (exit code 4)."""
    from sonotype.data.readers.source import inspect_source

    options = SourceOptions(**source)
    try:
        manifest = inspect_source(
            data, options, purpose=purpose.value, decode=decode, progress=True
        )
    except DataError as error:
        _print_faults(error, as_json)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        typer.echo(json_text(_summary(manifest), indent=2, ensure_ascii=False))
    else:
        _print_summary(manifest)


def _print_faults(error: DataError, as_json: bool) -> None:
    """All of them: the error's own text stops at some twenty."""
    if as_json:
        rows = [asdict(fault) for fault in error.issues]
        typer.echo(json_text({"faults": rows}, indent=2, ensure_ascii=False))
        return
    for fault in error.issues:
        typer.echo(str(fault).encode("utf-8", "backslashreplace").decode())
    noun = "fault" if len(error.issues) == 1 else "faults"
    typer.secho(f"{error.source}: {len(error.issues)} {noun}", fg=typer.colors.RED, err=True)


def _summary(manifest: Manifest) -> dict[str, object]:
    from sonotype.data.validate import without_event

    return {
        "name": manifest.name,
        "synthetic": manifest.synthetic,
        "licence": manifest.licence,
        "citation": manifest.citation,
        **manifest.summary(),
        "without_event": without_event(manifest.clips),
    }


def _print_summary(manifest: Manifest) -> None:
    clips = manifest.clips
    groups = len({clip.group for clip in clips})
    facts = {
        "name": manifest.name + (" (synthetic)" if manifest.synthetic else ""),
        "clips": f"{len(clips):,}",
        "copies": _copies(manifest),
        "recordings": f"{groups:,}" if manifest.grouped else "not known; each clip stands alone",
        **_folds(manifest),
        "categories": str(len(manifest.labels.categories)),
        "events": _event_count(manifest),
        "licence": manifest.licence or "not stated",
    }
    for key, value in facts.items():
        typer.echo(f"{key:<11} {value}")
    typer.echo("")
    _print(_category_table(manifest))
    if manifest.labels.events:
        typer.echo("")
        _print(_event_table(manifest))
    if note := _partly_labelled(manifest):
        typer.echo(f"\n{_wrapped(note)}")


def _partly_labelled(manifest: Manifest) -> str:
    """Which categories have clips without an event label, where the data have events."""
    from sonotype.core.text import printable
    from sonotype.data.validate import without_event

    total = Counter(clip.category for clip in manifest.clips)
    counts = [
        f"{printable(name)} {count:,} of {total[name]:,}"
        for name, count in without_event(manifest.clips).items()
    ]
    if not counts:
        return ""
    return (
        f"partly labelled: some clips have no event label ({', '.join(counts)}); the model tells "
        "the category of such clips from the category head"
    )


def _copies(manifest: Manifest) -> str:
    """How many clips have the sound of another clip."""
    if not manifest.copies:
        return "none found"
    return f"{manifest.copies:,} with the sound of another clip, in one group with it"


def _folds(manifest: Manifest) -> dict[str, str]:
    if manifest.folds_are_subsets:
        subsets = manifest.subsets.items()
        return {"subsets": ", ".join(f"{name} {clips:,}" for name, clips in subsets)}
    return {"folds": ", ".join(map(str, manifest.folds)) or "none"}


def _event_count(manifest: Manifest) -> str:
    without = sum(clip.event is None for clip in manifest.clips)
    events = len(manifest.labels.events)
    if not events:
        return "none"
    return f"{events}; {without:,} clips have none" if without else str(events)


def _category_table(manifest: Manifest) -> Table:
    """A row a category: its clips, and if they are known its recordings."""
    clips = Counter(clip.category for clip in manifest.clips)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for clip in manifest.clips:
        groups[clip.category].add(clip.group)
    table = _table("category", "clips", *(["recordings"] if manifest.grouped else []))
    for name in manifest.labels.categories:
        cells = [name, f"{clips[name]:,}"]
        table.add_row(*cells, *([f"{len(groups[name]):,}"] if manifest.grouped else []))
    return table


def _event_table(manifest: Manifest) -> Table:
    """A row an event: its category, its clips, and if they are known its recordings."""
    clips = Counter(clip.event for clip in manifest.clips)
    groups: defaultdict[str | None, set[str]] = defaultdict(set)
    for clip in manifest.clips:
        groups[clip.event].add(clip.group)
    labels = manifest.labels
    table = _table("event", "category", "clips", *(["recordings"] if manifest.grouped else []))
    homes = [labels.categories[index] for index in labels.event_category]
    for home, name in sorted(zip(homes, labels.events, strict=True)):
        cells = [name, home, f"{clips[name]:,}"]
        table.add_row(*cells, *([f"{len(groups[name]):,}"] if manifest.grouped else []))
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        right = name in ("clips", "recordings")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False)  # labels are text, not markup
    console.print(table, width=min(WIDTH, console.width))


def _wrapped(text: str) -> str:
    from textwrap import fill

    return fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
