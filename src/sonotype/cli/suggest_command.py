"""``sonotype suggest``: which windows of unlabelled recordings to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonotype.cli.recordings import ModelAndRecordings, model_and_recordings, print_failures
from sonotype.config import Device
from sonotype.core.errors import AudioError, OptionsError
from sonotype.core.text import counted, duration

SHOWN_FAILURES = 3
MOST = 500
"""Windows of one call; more would be chosen without the labels of the first ones."""


LabelFormats = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMATS",
        show_default=False,
        help="Also write label files; raven, audacity, kaleidoscope, textgrid",
    ),
]


def suggest(
    paths: ModelAndRecordings,
    out: Annotated[Path, typer.Option("--out", help="New folder of the windows")],
    count: Annotated[
        int, typer.Option("--count", min=1, max=MOST, metavar="NUMBER", help="Windows to suggest")
    ] = 50,
    hop: Annotated[
        float,
        typer.Option(
            "--hop",
            min=0,
            max=60,
            metavar="SECONDS",
            show_default=False,
            help="Seconds from one window to the next [default: the length of a window]",
        ),
    ] = 0.0,
    level: Annotated[
        str,
        typer.Option(
            "--level",
            metavar="NAME",
            show_default=False,
            help="Level of the labels [default: the finest]",
        ),
    ] = "",
    formats: LabelFormats = "",
    device: Annotated[Device, typer.Option("--device", help="Device", hidden=True)] = "auto",
) -> None:
    """Suggest which parts of recordings to label next.

    Writes the windows as sound files, in folders by the guess of the model, and a table.
    The exit code is 3 if a recording could not be read.

    Example: sonotype suggest runs/first field --count 50 --out next
    """  # fmt: skip
    chosen_formats = label_formats(formats)
    model_path, recordings = model_and_recordings(
        paths, out,
        no_standard_input="suggest reads no standard input; write the sound into a file",
    )  # fmt: skip
    from sonotype.evaluation.outputs import require_new_folder

    require_new_folder(out)
    from sonotype.core.io import atomic_folder
    from sonotype.detect.job_folder import output_errors
    from sonotype.inference.load import load
    from sonotype.suggest.output import SHOWN, TABLE, table_lines, write_suggestions
    from sonotype.suggest.suggest import suggest as suggest_windows

    model = load(model_path, device=device, tta_shifts=1)
    found = suggest_windows(model, recordings, count, hop=hop, level=level)
    failures = list(found.failures)
    if found.chosen:
        with output_errors(out, resumes=False), atomic_folder(out) as begun:
            failures += write_suggestions(
                begun, found.chosen, recordings,
                formats=chosen_formats, highest=model.audio_spec.sample_rate / 2,
            )  # fmt: skip
    typer.echo(
        f"{counted(len(recordings), 'recording')}, {duration(found.seconds)} of sound, "
        f"{counted(found.windows, 'window')}"
    )
    if found.chosen:
        typer.echo("\n".join(table_lines(found.chosen)))
    if len(found.chosen) > SHOWN:
        typer.echo(f"and {len(found.chosen) - SHOWN} more in {out / TABLE}")
    if found.chosen:
        typer.echo(f"{out}: {TABLE}, clips/{', labels/' if chosen_formats else ''}")
    if failures:
        print_failures(
            len(failures), [(one.path, cause) for one, cause in failures[:SHOWN_FAILURES]]
        )
        raise typer.Exit(AudioError.exit_code)


def label_formats(text: str) -> list[str]:
    """The formats of label files.

    Raises:
        OptionsError: an unknown format.
    """
    from sonotype.detect.writers.label_files import LABEL_FORMATS

    formats = [name.strip() for name in text.split(",") if name.strip()]
    for name in formats:
        if name not in LABEL_FORMATS:
            raise OptionsError(
                f"--format {name!r}: unknown format; choose from {', '.join(LABEL_FORMATS)}"
            )
    return list(dict.fromkeys(formats))
