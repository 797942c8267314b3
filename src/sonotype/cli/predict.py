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
    from sonotype.inference.prediction import Failure, Prediction


class Form(StrEnum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


def predict(
    model: Annotated[Path, typer.Argument(help="A model.safetensors")],
    sounds: Annotated[list[Path], typer.Argument(help="Sound files, or folders of them")],
    form: Annotated[Form, typer.Option("--format", help="Of the output")] = Form.table,
    top: Annotated[int, typer.Option("--top", min=1, help="Most probable labels shown")] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write there instead of to the terminal")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 16,
    category_from: Annotated[
        CategoryFrom | None, typer.Option("--category-from", help="How to read the category")
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Where to run")] = "auto",
) -> None:
    """Classify sound files; one that cannot be read gets a row with its error.

    Of a long recording the first seconds are heard, as many as the model was trained on. The exit
    code is 3 where a file could not be read.

    Example: sonotype predict runs/first/model.safetensors field/*.wav --format csv
    """
    from sonotype.cli.predictions import write
    from sonotype.inference.classifier import load
    from sonotype.inference.prediction import Failure
    from sonotype.training.fit import device_of

    classifier = load(model, device=str(device_of(device)), category_from=category_from)
    files = list(_files(sounds))
    answers = classifier.predict_files(files, batch_size=batch_size, progress=True)
    seen: list[Prediction | Failure] = []

    def noted() -> Iterator[Prediction | Failure]:
        for answer in answers:
            seen.append(answer)
            yield answer

    write(noted(), form.value, top, out)
    failed = sum(isinstance(answer, Failure) for answer in seen)
    partly = sum(not isinstance(answer, Failure) and answer.partly_heard for answer in seen)
    if partly:
        heard = classifier.form.seconds
        typer.echo(f"note: of {_files_of(partly)} only the first {heard:g} s were heard", err=True)
    if failed:
        typer.echo(f"{_files_of(failed)} of {len(files)} could not be read", err=True)
        raise typer.Exit(AudioError.exit_code)


def _files(sounds: list[Path]) -> Iterator[Path]:
    """The files, and of folders all sounds below them, sorted."""
    from sonotype.data.rows import is_sound

    for path in sounds:
        if not path.is_dir():
            yield path
            continue
        found = sorted(one for one in path.rglob("*") if one.is_file() and is_sound(one))
        if not found:
            raise OptionsError(f"{path}: holds no sound files")
        yield from found


def _files_of(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
