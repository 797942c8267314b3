"""``sonotype predict``: what a model hears in sound files."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonotype.config import Device
from sonotype.errors import AudioError, OptionsError
from sonotype.readout import CategoryFrom

if TYPE_CHECKING:
    from sonotype.inference.ensemble import Ensemble
    from sonotype.inference.prediction import Failure, Prediction

MODEL_SUFFIXES = (".safetensors", ".onnx")


class Form(StrEnum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


def predict(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOUNDS",
            help="Sound files, or folders of them; before them a model.safetensors or "
            "model.onnx, else the built-in model answers",
        ),
    ],
    form: Annotated[Form, typer.Option("--format", help="Of the output")] = Form.table,
    top: Annotated[int, typer.Option("--top", min=1, help="Most probable labels shown")] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write there instead of to the terminal")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Files classified at once")
    ] = 16,
    category_from: Annotated[
        CategoryFrom | None,
        typer.Option("--category-from", help="How to read the category [default: as the model]"),
    ] = None,
    shifts: Annotated[
        int | None,
        typer.Option(
            "--shifts",
            min=1,
            max=16,
            help="Shifted versions averaged, with --hop by --exact alone [default: as the model]",
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", help="Another model; the probabilities of all are averaged"),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Where to run")] = "auto",
    hop: Annotated[
        float | None,
        typer.Option("--hop", help="Hear whole recordings: a window every so many seconds"),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="With --hop: run every window as a clip of its own")
    ] = False,
) -> None:
    """Classify sound files, and all sounds in folders.

    A file that cannot be read gets a row with its error, and a file that is cut off a row with the
    answer to what is there and its error; the exit code is then 3. Of a long
    recording only as much is heard as the model was trained on, unless --hop is given: then there
    is a row for each window, with its start and end in seconds.

    Without a model the built-in one answers, which knows the 50 sounds of ESC-50.

    Example: sonotype predict runs/first/model.safetensors field --format csv
    """
    if exact and hop is None:
        raise OptionsError("--exact is for windows; give their distance in seconds with --hop")
    if hop is not None and not exact and (shifts or 1) > 1:
        raise OptionsError("--shifts with --hop needs --exact: shared windows are not shifted")
    model, sounds = _parted(paths)
    from sonotype.cli.predictions import write, write_windows
    from sonotype.inference.ensemble import load_ensemble
    from sonotype.inference.prediction import Failure, Prediction

    classifier = load_ensemble(
        [model, *(also or [])],
        device=device,
        category_from=category_from,
        shifts=shifts,
    )
    files = list(_files(sounds))
    if hop is None:
        answers = classifier.predict_files(files, batch_size=batch_size, progress=True)
    else:
        if not exact and any(member.shifts > 1 for member in classifier.members):
            typer.echo(
                "note: the model averages shifts of a clip; of windows it does with --exact",
                err=True,
            )
        answers = _windows(classifier, files, hop, exact=exact)
    failed = cut_off = partly = 0

    def counted() -> Iterator[Prediction | Failure]:
        nonlocal failed, cut_off, partly
        for answer in answers:
            failed += isinstance(answer, Failure)
            cut_off += isinstance(answer, Prediction) and bool(answer.truncated)
            partly += isinstance(answer, Prediction) and answer.partly_heard
            yield answer

    if hop is None:
        write(counted(), form.value, top, out)
    else:
        write_windows(counted(), form.value, top, out)
    if partly and hop is None:
        part = {"front": "first", "centre": "middle"}[classifier.form.cut]
        heard = f"only the {part} {classifier.form.seconds:g} s were heard"
        typer.echo(f"note: of {_files_of(partly)} {heard}", err=True)
    if cut_off:
        typer.echo(f"{_files_of(cut_off)} cut off: the answer is to what is there", err=True)
    if failed:
        end = "" if hop is None else ", or not to the end"
        typer.echo(f"{failed} of {_files_of(len(files))} could not be read{end}", err=True)
    if failed or cut_off:
        raise typer.Exit(AudioError.exit_code)


def _parted(paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """The model, where the first path is one, and the sounds."""
    if paths[0].suffix not in MODEL_SUFFIXES:
        return None, paths
    if not paths[1:]:
        raise OptionsError(f"{paths[0]} is a model; name sounds, or folders of them, after it")
    return paths[0], paths[1:]


def _files(sounds: list[Path]) -> Iterator[Path]:
    """The files, and of folders all sounds below them, sorted."""
    from sonotype.data.rows import sounds_below

    for path in sounds:
        if not path.is_dir():
            yield path
            continue
        found = sounds_below(path)
        if not found:
            raise OptionsError(f"{path}: holds no sound files")
        yield from found


def _windows(
    classifier: Ensemble, files: list[Path], hop: float, *, exact: bool
) -> Iterator[Prediction | Failure]:
    """The windows of all files under one bar; of one that breaks off those before, and its error.

    Raises:
        OptionsError: a hop that will not do, before anything is read.
    """
    from sonotype.inference.classifier import cause_of
    from sonotype.inference.prediction import Failure
    from sonotype.inference.windows import check_hop, windows_in
    from sonotype.progress import track

    check_hop(hop)

    def total() -> int:
        seconds = classifier.form.seconds
        return sum(windows_in(stated(path), hop, seconds) for path in files)

    def stated(path: Path) -> float:
        from sonotype.audio.stream import stated_seconds

        try:
            return stated_seconds(path)
        except AudioError:
            return 0.0

    def answers() -> Iterator[Prediction | Failure]:
        for path in files:
            try:
                yield from classifier.predict_windows(path, hop, exact=exact)
            except Exception as error:
                yield Failure(str(path), cause_of(error))

    return track(answers(), "listening", total())


def _files_of(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
