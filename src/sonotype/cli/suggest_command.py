"""``sonotype suggest``: which windows of unlabelled recordings to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonotype.config import Device
from sonotype.core.errors import AudioError, OptionsError
from sonotype.core.text import counted, duration, shorten

if TYPE_CHECKING:
    from sonotype.detect.output_names import Recording

LINE, SHOWN_FAILURES = 80, 3
MOST = 500
"""Windows of one call; more would be chosen without the labels of the first ones."""


def suggest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECORDINGS",
            help="A model, if any; then unlabelled sound files or folders",
        ),
    ],
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
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMATS",
            show_default=False,
            help="Also write label files; raven, audacity, kaleidoscope, textgrid",
        ),
    ] = "",
    device: Annotated[Device, typer.Option("--device", help="Device", hidden=True)] = "auto",
) -> None:
    """Suggest which parts of recordings to label next.

    Writes the windows as sound files, in folders by the guess of the model, and a table.
    The exit code is 3 if a recording could not be read.

    Example: sonotype suggest runs/first field --count 50 --out next
    """  # fmt: skip
    chosen_formats = _formats(formats)
    model_path, recordings = _inputs(paths, out)
    from sonotype.inference.load import load
    from sonotype.suggest.output import SHOWN, TABLE, table_lines, write_suggestions
    from sonotype.suggest.suggest import suggest as suggest_windows

    model = load(model_path, device=device, tta_shifts=1)
    found = suggest_windows(model, recordings, count, hop=hop, level=level)
    failures = list(found.failures)
    if found.chosen:
        failures += write_suggestions(
            out, found.chosen, recordings,
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
        _report(failures)
        raise typer.Exit(AudioError.exit_code)


def _formats(text: str) -> list[str]:
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


def _inputs(paths: list[Path], out: Path) -> tuple[Path | None, list[Recording]]:
    """The model, if the first path is one, and the recordings.

    Raises:
        OptionsError: no recordings, standard input, or an output folder that is not empty.
        ModelFileError: the first path is a run folder without a model.
    """
    from sonotype.cli.prediction_inputs import STANDARD_INPUT, collect_items, split_model
    from sonotype.detect.output_names import name_recordings, outside
    from sonotype.inference.prediction import Failure

    model, sounds = split_model(paths)
    if any(str(path) in STANDARD_INPUT for path in sounds):
        raise OptionsError("suggest reads no standard input; write the sound into a file")
    causes: dict[Path, str] = {}
    for item in collect_items(sounds):
        if isinstance(item, Failure):
            causes[Path(item.source)] = item.cause
        elif isinstance(item, Path):
            causes[item] = ""
    causes = outside(causes, out, [*filter(None, [model]), *sounds])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionsError(f"--out {out}: exists already; name a new or an empty folder")
    return model, name_recordings(causes, sounds)


def _report(failures: list[tuple[Recording, str]]) -> None:
    typer.echo(f"could not read {counted(len(failures), 'recording')} completely:")
    for recording, cause in failures[:SHOWN_FAILURES]:
        typer.echo(shorten(f"  {recording.path.name}: {cause.partition(';')[0]}", LINE))
