"""``sonotype explain``: which parts of a sound its class depends on, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonotype.cli.recordings import ModelAndRecordings, model_and_recordings, print_failures
from sonotype.config import Device
from sonotype.core.errors import AudioError, OptionsError
from sonotype.core.text import align, counted, probability

if TYPE_CHECKING:
    from sonotype.explain.explanation import Explanation

COLUMNS = (22, 18, -7, -7, -7, -9, -10)
"""Widths of the table."""
HEADINGS = ("file", "class", "prob.", "kept", "rest", "seconds", "Hz")
NOTE = """kept, rest: probability of the class for the marked part and for the remainder
seconds, Hz: where half of the importance lies, in branch 1"""
SHOWN_FAILURES = 3


def explain(
    paths: ModelAndRecordings,
    out: Annotated[Path, typer.Option("--out", help="Folder of the pictures")],
    label: Annotated[
        str,
        typer.Option(
            "--class",
            metavar="LABEL",
            show_default=False,
            help="Class to explain [default: the most probable]",
        ),
    ] = "",
    level: Annotated[
        str,
        typer.Option(
            "--level",
            metavar="NAME",
            show_default=False,
            help="Level of the class [default: the finest]",
        ),
    ] = "",
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            show_default=False,
            help="mask, attention, gradient, occlusion, energy or random [default: mask]",
        ),
    ] = "",
    start: Annotated[
        float | None,
        typer.Option(
            "--start", metavar="SECONDS", help="Explain the window of a recording from here on"
        ),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Device", hidden=True)] = "auto",
) -> None:
    """Show which parts of sounds a class depends on.

    Writes a picture for each sound: the log-mel spectrogram, and in colour the importance
    of its parts for the class. Existing pictures are replaced. The exit code is 3 if a
    sound could not be read.

    Example: sonotype explain runs/first field --out pictures --class dog
    """
    model_path, recordings = model_and_recordings(
        paths, out,
        no_standard_input="explain reads no standard input; write the sound into a file",
    )  # fmt: skip
    if not recordings:
        raise OptionsError(f"no sounds outside of --out {out}; name another folder")
    from sonotype.explain.explanation import DEFAULT, explain_log_mels
    from sonotype.explain.network import Network
    from sonotype.explain.plot import plot_explanation
    from sonotype.inference.load import load

    network = Network.of(load(model_path, device=device))
    network.head_for(label, level)  # refuses unknown names before any sound is read
    failures: list[tuple[Path, str]] = []
    typer.echo(align(HEADINGS, *COLUMNS))
    for recording in recordings:
        try:
            if recording.cause:
                raise AudioError(str(recording.path), recording.cause)
            log_mels = network.log_mels(network.clip(recording.path, start))
        except AudioError as error:
            failures.append((recording.path, error.cause))
            continue
        target = network.target(log_mels, label, level)
        found = explain_log_mels(network, log_mels, target, method or DEFAULT)
        plot_explanation(found, out / f"{recording.clip_name}.png", recording.path.name)
        typer.echo(align(_row(recording.path.name, found), *COLUMNS))
    typer.echo(NOTE)
    typer.echo(f"{out}: {counted(len(recordings) - len(failures), 'picture')}")
    if failures:
        print_failures(len(failures), failures[:SHOWN_FAILURES])
        raise typer.Exit(AudioError.exit_code)


def _row(name: str, found: Explanation) -> list[str]:
    """Cells of a line of the table."""
    first, end = found.branches[0].main_seconds
    low, high = found.branches[0].main_frequencies
    values = (found.probability, found.kept_probability, found.rest_probability)
    return [name, found.label, *map(probability, values), f"{first:.1f}-{end:.1f}",
            f"{low:.0f}-{high:.0f}"]  # fmt: skip
