"""Recordings as inputs of a command that writes into a folder, and those that it could not read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonotype.core.errors import OptionsError
from sonotype.core.text import counted, listed, shorten

if TYPE_CHECKING:
    from sonotype.detect.output_names import Recording

LINE = 80
"""Columns of a summary."""

ModelAndRecordings = Annotated[
    list[Path],
    typer.Argument(
        metavar="RECORDINGS",
        help="A model, if any; then sound files or folders",
        readable=False,  # a recording that cannot be read is a row of the result
    ),
]


def model_and_recordings(
    paths: list[Path], out: Path, also: Sequence[Path] = (), *, no_standard_input: str
) -> tuple[Path | None, list[Recording]]:
    """The model, if the first path is one, and the recordings outside of the output folder.

    Args:
        paths: as the user named them.
        out: folder of the outputs.
        also: other inputs.
        no_standard_input: the error for ``-``.

    Raises:
        OptionsError: standard input, or an input in the output folder; paths that do not exist, and
            of which the output folder has no result.
        ModelFileError: the first path is a run folder without a model.
    """
    from sonotype.cli.prediction_inputs import STANDARD_INPUT, collect_items, split_model
    from sonotype.detect.job_folder import without_result
    from sonotype.detect.output_names import name_recordings, outside
    from sonotype.inference.prediction import Failure

    model, sounds = split_model(paths)
    if any(str(path) in STANDARD_INPUT for path in sounds):
        raise OptionsError(no_standard_input)
    if missing := without_result([path for path in sounds if _is_missing(path)], out):
        names = listed(missing, len(missing))
        raise OptionsError(f"{names}: no such file or folder; check the spelling")
    causes: dict[Path, str] = {}
    for item in collect_items(sounds):
        if isinstance(item, Failure):
            causes[Path(item.source)] = item.cause
        elif isinstance(item, Path):
            causes[item] = ""
    causes = outside(causes, out, [*filter(None, [model]), *also, *sounds])
    return model, name_recordings(causes, sounds)


def _is_missing(path: Path) -> bool:
    """Whether there is nothing at a path, not even a broken link."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # not permitted, or an invalid name: the recording gets this cause
        return False
    return False


def print_failures(number: int, first: Iterable[tuple[Path, str]]) -> None:
    """Print how many recordings could not be read, and path and cause of some of them."""
    typer.echo(f"could not read {counted(number, 'recording')} completely:")
    for path, cause in first:
        typer.echo(shorten(f"  {path.name}: {cause.partition(';')[0]}", LINE))
