"""``sonotype detect``: events in long recordings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonotype.archive.archive_options import BATCH_SIZE, ArchiveOptions, asks_for_archive
from sonotype.cli.archive_output import archive_part, local_paths, refuse, write_archive
from sonotype.cli.flags import with_options
from sonotype.cli.recordings import (
    LINE,
    model_and_recordings,
    print_failures,
)
from sonotype.config import Device, from_flat
from sonotype.core.errors import AudioError, OptionsError, StoppedError
from sonotype.core.text import counted, duration, shorten, width, wrap
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.output_options import OutputOptions

if TYPE_CHECKING:
    from sonotype.detect.explain import Explanation
    from sonotype.detect.job import JobSummary

LABEL_WIDTH = 16
"""Columns of the classes in the summary."""


@with_options(
    {"batch_size": str(BATCH_SIZE)},
    Detection=DetectOptions,
    Output=OutputOptions,
    Archive=ArchiveOptions,
)
def detect(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="RECORDINGS", help="A model, if any; then sound files or folders"),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the results")],
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", metavar="MODEL", help="Model to average with; repeat for more"),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Device", hidden=True)] = "auto",
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain why there are few or many events")
    ] = False,
    **options: Any,
) -> None:
    """Detect events in recordings, and in folders of recordings.

    The same command resumes a stopped job; only new and changed recordings are
    read. The exit code is 3 if a recording could not be read.

    Example: sonotype detect model.safetensors field --out results --clips
    """
    if asks_for_archive(options):
        _archive(paths, out, also or [], device, options | ({"explain": True} if explain else {}))
        return
    chosen, outputs = from_flat([DetectOptions, OutputOptions], options)
    outputs.all_formats()
    model, recordings = model_and_recordings(
        local_paths(paths), out, also or [],
        no_standard_input="detect reads no standard input, since a stopped job reads recordings "
        "again; write the sound into a file, or use sonotype predict - --hop SECONDS",
    )  # fmt: skip
    if not recordings:
        raise OptionsError(f"no recordings outside of --out {out}; name another folder")
    from sonotype.detect.detector import open_detector
    from sonotype.detect.explain import Explanation
    from sonotype.detect.job import detect_recordings
    from sonotype.detect.timeline import Timeline

    detector = open_detector([model, *(also or [])], chosen, device=device)
    for line in wrap(detector.scored):
        typer.echo(line, err=True)
    explanation = None
    if explain:
        unit = "frame" if detector.from_frames else "window"
        explanation = Explanation(detector.classes, detector.thresholds, unit)
    try:
        summary = detect_recordings(
            detector, recordings, out, outputs, explanation=explanation,
            new_timeline=lambda: Timeline(detector.classes, detector.thresholds),
        )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo(f"stopped; the results so far are in {out}", err=True)
        typer.echo("start the same command again to resume", err=True)
        raise typer.Exit(StoppedError.exit_code) from None
    print_summary(summary, out, outputs)
    if explanation is not None:
        print_explanation(explanation, summary, retry=outputs.retry)
    if summary.failures:
        raise typer.Exit(AudioError.exit_code)


def _archive(
    paths: list[str], out: Path, also: list[Path], device: Device, options: dict[str, Any]
) -> None:
    """Write the events into an archive."""
    archive = archive_part(options)
    archive["retry_errors"] = archive.get("retry_errors", False) or options.pop("retry", False)
    if not options.get("picture", True):
        del options["picture"]
    names = {field.name for field in fields(DetectOptions)}
    refuse(
        {name: value for name, value in options.items() if name not in names},
        "an archive has Parquet files only; leave out --engine, --workers and --partition",
    )
    write_archive("detect", paths, out, archive, also=also, device=device, detection=options)


def print_summary(summary: JobSummary, out: Path, options: OutputOptions) -> None:
    """Print what was found and where it is, in at most 8 lines."""
    earlier = summary.recordings - summary.detected
    of_them = f", {earlier} of them read before" if earlier else ""
    sound = f"{counted(summary.recordings, 'recording')}, {duration(summary.seconds)} of sound"
    typer.echo(sound + of_them)
    typer.echo(_events_line(summary))
    if summary.failures:
        print_failures(summary.failures, summary.first_failures)
    if summary.others:
        done = "removed" if options.prune else "left out of the tables (--prune removes them)"
        typer.echo(f"{counted(summary.others, 'recording')} of earlier starts: {done}")
    typer.echo(f"{out}: {', '.join(outputs_in(out))}")


def print_explanation(explanation: Explanation, summary: JobSummary, *, retry: bool) -> None:
    """Print the explanation of the recordings that were read, and which others there are."""
    explained = explanation.summary().recordings
    if explained < summary.recordings:
        typer.echo(
            "\nonly the recordings that this start read are explained; to explain all, start\n"
            f"the same command again{', without --retry' if retry else ''}"
            if summary.detected
            else f"\n{counted(summary.recordings - explained, 'recording')} not explained: missing "
            "now, the results are of earlier starts"
        )
    if explained:
        typer.echo(f"\n{explanation.text()}")


def _events_line(summary: JobSummary) -> str:
    """The number of events, and those of the most frequent classes, as many as fit in a line."""
    line = f"{counted(summary.events.total(), 'event')}: "
    for shown, (label, number) in enumerate(summary.events.most_common()):
        text = f"{shorten(label, LABEL_WIDTH)} {number}, "
        if width(line + text) > LINE - len("12345 other classes"):
            return f"{line}other classes: {len(summary.events) - shown}"
        line += text
    return line.removesuffix(", ") if summary.events else "no events"


def outputs_in(out: Path) -> list[str]:
    """The tables and folders of results in a folder."""
    from sonotype.detect.recording_writer import CLIPS, LABELS, PICTURES
    from sonotype.detect.tables import TABLE_NAMES

    tables = [name for name in TABLE_NAMES.values() if (out / name).exists()]
    return tables + [f"{name}/" for name in (LABELS, PICTURES, CLIPS) if (out / name).is_dir()]
