"""``sonotype data``: list and download data sets, and check a data set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sonotype.cli.flags import Json, with_options
from sonotype.cli.layout import Command
from sonotype.core.errors import DataError
from sonotype.core.json_text import json_text
from sonotype.core.types import Head, plural
from sonotype.data.source_options import SourceOptions

if TYPE_CHECKING:
    from rich.table import Table

    from sonotype.data.manifest import Manifest

WIDTH = 80

app = typer.Typer(
    name="data",
    help="List, download and check data sets.",
    epilog="Example: sonotype data check recordings",
    no_args_is_help=True,
)


@app.command("list", epilog="Example: sonotype data list --json")
def list_sets(as_json: Json = False) -> None:
    """List the known data sets with licence, address and citation."""
    from sonotype.data.dataset_registry import KNOWN

    if as_json:
        typer.echo(json_text([asdict(known) for known in KNOWN], indent=2))
        return
    table = _table("name", "description", "clips", "size", "licence")
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


@app.command("check", cls=Command, epilog="Example: sonotype data check sounds --decode")
@with_options(Data=SourceOptions)
def check(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder or table of labelled sounds")
    ],
    decode: Annotated[bool, typer.Option("--decode", help="Also decode every file")] = False,
    purpose: Annotated[
        Literal["crossfit", "training", "evaluation"],
        typer.Option(
            help="crossfit and evaluation allow classes with one clip; training is for recipes "
            "with test clips"
        ),
    ] = "crossfit",
    as_json: Json = False,
    **source: Any,
) -> None:
    """Print the contents of a data set, or all issues in it (exit code 4)."""
    from sonotype.data.readers.source import inspect_source

    options = SourceOptions(**source)
    try:
        manifest = inspect_source(data, options, purpose=purpose, decode=decode, progress=True)
    except DataError as error:
        _print_issues(error, as_json)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        summary = _summary_of_events(manifest) if manifest.recordings else _summary(manifest)
        typer.echo(json_text(summary, indent=2, ensure_ascii=False))
    elif manifest.recordings:
        _print_events(manifest)
    else:
        _print_summary(manifest)


def _print_issues(error: DataError, as_json: bool) -> None:
    """Print all issues; the text of the error holds only the first ones."""
    if as_json:
        issues = [asdict(issue) for issue in error.issues]
        typer.echo(json_text({"issues": issues}, indent=2, ensure_ascii=False))
        return
    for issue in error.issues:
        typer.echo(str(issue).encode("utf-8", "backslashreplace").decode())
    typer.secho(error.headline, fg=typer.colors.RED, err=True)


def _origin(manifest: Manifest) -> dict[str, object]:
    return {
        "name": manifest.name,
        "synthetic": manifest.synthetic,
        "licence": manifest.licence,
        "citation": manifest.citation,
    }


def _summary(manifest: Manifest) -> dict[str, object]:
    from sonotype.data.validate import without_label

    several = manifest.problem == "multi"
    return {
        **_origin(manifest),
        **manifest.summary(),
        **(
            _label_counts(manifest)
            if several
            else {
                f"without_{level}": without_label(manifest.clips, level)
                for level in manifest.levels[1:]
            }
        ),
    }


def _label_counts(manifest: Manifest) -> dict[str, int]:
    """How many clips have several labels of a level, or no label at all."""
    labels = [clip.labels.values() for clip in manifest.clips]
    return {
        "with_several_labels": sum(any(len(names) > 1 for names in found) for found in labels),
        "without_labels": sum(not any(found) for found in labels),
    }


def _summary_of_events(manifest: Manifest) -> dict[str, object]:
    """The facts about annotated recordings; lengths in seconds."""
    from sonotype.data.annotations.statistics import (
        copies,
        events_of_classes,
        hours,
        hours_listened,
    )

    recordings = manifest.recordings
    classes = [asdict(found) for found in events_of_classes(recordings)]
    return {
        **_origin(manifest),
        "recordings": len(recordings),
        "not_annotated": manifest.not_annotated,
        "copies": copies(recordings),
        "groups": len({one.group for one in recordings}),
        "folds": list(manifest.folds),
        "hours": hours(recordings),
        "hours_listened": hours_listened(recordings),
        "events": sum(len(one.events) for one in recordings),
        "classes": {found.pop("label"): found for found in classes},
    }


def _print_events(manifest: Manifest) -> None:
    """Print the facts about annotated recordings, and a table of their classes."""
    from sonotype.data.annotations.statistics import (
        copies,
        events_of_classes,
        hours,
        hours_listened,
    )

    recordings = manifest.recordings
    same = copies(recordings)
    classes = events_of_classes(recordings)
    _print_facts(
        {
            **_name(manifest),
            "recordings": f"{len(recordings):,}",
            "without label file": f"{manifest.not_annotated:,}; not used"
            if manifest.not_annotated
            else "none",
            "copies": f"{same:,} with the audio of another recording, in the same group"
            if same
            else "none found",
            "groups": f"{len({one.group for one in recordings}):,}",
            **_folds(manifest),
            "hours": f"{hours(recordings):,.3g}",
            "hours listened to": f"{hours_listened(recordings):,.3g}",
            "events": f"{sum(len(one.events) for one in recordings):,}",
            "classes": f"{len(classes):,}",
            **_licence(manifest),
        }
    )
    lengths = ("shortest", "median", "longest")
    table = _table("class", "events", "recordings", *(f"{name} (s)" for name in lengths))
    for found in classes:
        seconds = (f"{getattr(found, name):.3f}" for name in lengths)
        table.add_row(found.label, f"{found.events:,}", f"{found.recordings:,}", *seconds)
    _print(table)


def _name(manifest: Manifest) -> dict[str, str]:
    return {"name": manifest.name + (" (synthetic)" if manifest.synthetic else "")}


def _licence(manifest: Manifest) -> dict[str, str]:
    return {"licence": manifest.licence or "not stated"}


def _print_facts(facts: dict[str, str]) -> None:
    width = max(map(len, facts))
    for key, value in facts.items():
        typer.echo(f"{key:<{width}}  {value}")
    typer.echo("")


def _print_summary(manifest: Manifest) -> None:
    clips = manifest.clips
    groups = len({clip.group for clip in clips})
    facts = {
        **_name(manifest),
        "clips": f"{len(clips):,}",
        "copies": _copies(manifest),
        "recordings": f"{groups:,}"
        if manifest.grouped
        else "unknown; each clip is a group of its own",
        **_folds(manifest),
        **{plural(level): _count(manifest, level) for level in manifest.levels},
        **_several(manifest),
        **_licence(manifest),
    }
    _print_facts(facts)
    for number, head in enumerate(manifest.heads):
        if number:
            typer.echo("")
        _print(_count_table(manifest, head))
    for above, level in pairwise(manifest.levels if manifest.problem != "multi" else ()):
        if note := _partly_labelled(manifest, above, level):
            typer.echo(f"\n{_wrapped(note)}")


def _partly_labelled(manifest: Manifest, above: str, level: str) -> str:
    """A note on clips without a label of a level, if other clips have one."""
    from sonotype.core.text import printable
    from sonotype.data.validate import without_label

    total = manifest.counts(above)
    counts = [
        f"{printable(name)} {count:,} of {total[name]:,}"
        for name, count in without_label(manifest.clips, level).items()
    ]
    if not counts:
        return ""
    return (
        f"partly labelled: some clips have no {level} label ({', '.join(counts)}); the model takes "
        f"the {above} of such clips from the {above} head"
    )


def _copies(manifest: Manifest) -> str:
    if not manifest.copies:
        return "none found"
    return f"{manifest.copies:,} clips with the audio of another clip, in the same group"


def _folds(manifest: Manifest) -> dict[str, str]:
    if manifest.folds_are_subsets:
        subsets = manifest.subsets.items()
        return {"subsets": ", ".join(f"{name} {clips:,}" for name, clips in subsets)}
    return {"folds": ", ".join(map(str, manifest.folds)) or "none"}


def _several(manifest: Manifest) -> dict[str, str]:
    """Of clips that can have several labels, how many have several or none."""
    if manifest.problem != "multi":
        return {}
    counts = _label_counts(manifest)
    several, none = counts["with_several_labels"], counts["without_labels"]
    return {"labels": f"{several:,} clips with several, {none:,} with none"}


def _count(manifest: Manifest, level: str) -> str:
    counts = manifest.counts(level)
    if not counts:
        return "none"
    without = sum(not clip.labels.get(level) for clip in manifest.clips)
    return f"{len(counts)}; {without:,} clips without {level}" if without else str(len(counts))


def _count_table(manifest: Manifest, head: Head) -> Table:
    """A table of clips and, if they are known, recordings of each label."""
    clips = manifest.counts(head.name)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for clip in manifest.clips:
        for label in clip.labels.get(head.name, ()):
            groups[label].add(clip.group)
    rows: list[tuple[str, ...]] = [(label,) for label in head.classes]
    above = []
    if head.parent is not None:
        above = [head.parent]
        parents = next(h for h in manifest.heads if h.name == head.parent).classes
        pairs = zip(head.classes, head.parent_index, strict=True)
        rows = sorted(((label, parents[i]) for label, i in pairs), key=lambda row: row[::-1])
    table = _table(head.name, *above, "clips", *(["recordings"] if manifest.grouped else []))
    for row in rows:
        recordings = [f"{len(groups[row[0]]):,}"] if manifest.grouped else []
        table.add_row(*row, f"{clips[row[0]]:,}", *recordings)
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        right = name in ("clips", "recordings", "events") or name.endswith("(s)")
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False)  # labels are text, not markup
    console.print(table, width=min(WIDTH, console.width))


def _wrapped(text: str) -> str:
    from textwrap import fill

    return fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
