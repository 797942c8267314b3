"""``sonotype predict``: what a model hears in sound files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonotype.config import Device
from sonotype.core.errors import AudioError, OptionsError, cause_of
from sonotype.core.hierarchy import CategorySource

if TYPE_CHECKING:
    from sonotype.inference.ensemble import Ensemble
    from sonotype.inference.prediction import Failure, Prediction

    Item = Path | Failure | bytes
    """A file, a path that is known to be no sound, or a sound from standard input."""

STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
STDIN = "<stdin>"


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
            help="Sound files, or folders of them, or - for standard input; before them a "
            "model.safetensors, model.onnx or run folder, else the built-in model answers",
        ),
    ],
    audio_spec: Annotated[Form, typer.Option("--format", help="Of the output")] = Form.table,
    top: Annotated[int, typer.Option("--top", min=1, help="Most probable labels shown")] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write there instead of to the terminal")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file in --out")] = False,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Files classified at once")
    ] = 16,
    category_source: Annotated[
        CategorySource | None,
        typer.Option("--category-source", help="How to read the category [default: as the model]"),
    ] = None,
    tta_shifts: Annotated[
        int | None,
        typer.Option(
            "--tta-shifts",
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

    A file in --out has its name once it is whole; until then .part is added to it. It replaces
    another file with --force only, and never a sound or a model.

    Without a model the built-in one answers, which knows the 50 sounds of ESC-50.

    Example: sonotype predict runs/first/model.safetensors field --format csv
    """
    if exact and hop is None:
        raise OptionsError("--exact is for windows; give their distance in seconds with --hop")
    if hop is not None and not exact and (tta_shifts or 1) > 1:
        raise OptionsError("--tta-shifts with --hop needs --exact: shared windows are not shifted")
    model, sounds = _parted(paths)
    items = list(_items(sounds))
    if out is not None:
        _check_out(out, [*filter(None, (model, *(also or []))), *sounds, *_paths(items)], force)
    from sonotype.cli.prediction_output import write, write_windows
    from sonotype.inference.ensemble import load_ensemble
    from sonotype.inference.prediction import Failure, Prediction

    classifier = load_ensemble(
        [model, *(also or [])],
        device=device,
        category_source=category_source,
        tta_shifts=tta_shifts,
    )
    if hop is None:
        answers = _clips(classifier, items, batch_size)
    else:
        if not exact and any(member.tta_shifts > 1 for member in classifier.members):
            typer.echo(
                "note: the model averages shifts of a clip; of windows it does with --exact",
                err=True,
            )
        answers = _windows(classifier, items, hop, exact=exact)
    failed = cut_off = partly = 0

    def counted() -> Iterator[Prediction | Failure]:
        nonlocal failed, cut_off, partly
        for answer in answers:
            failed += isinstance(answer, Failure)
            cut_off += isinstance(answer, Prediction) and bool(answer.truncated)
            partly += isinstance(answer, Prediction) and answer.longer_than_clip
            yield answer

    if hop is None:
        write(counted(), audio_spec.value, top, out, force=force)
    else:
        write_windows(counted(), audio_spec.value, top, out, force=force)
    if partly and hop is None:
        part = {"front": "first", "centre": "middle"}[classifier.audio_spec.crop]
        output = f"only the {part} {classifier.audio_spec.seconds:g} s were heard"
        typer.echo(f"note: of {_files_of(partly)} {output}", err=True)
    if cut_off:
        used = "only the samples that exist are used"
        typer.echo(f"{_files_of(cut_off)} truncated: {used}", err=True)
    if failed:
        end = "" if hop is None else ", or not to the end"
        typer.echo(f"{failed} of {_files_of(len(items))} could not be read{end}", err=True)
    if failed or cut_off:
        raise typer.Exit(AudioError.exit_code)


def _parted(paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """The model, where the first path is one, and the sounds.

    Raises:
        ModelFileError: the first path is a checkpoint, or a run without a model.
        OptionsError: there are no sounds, or models among them.
    """
    from sonotype.data.suffixes import MODEL_SUFFIXES
    from sonotype.inference.locate import find_model, names_model

    model, sounds = None, paths
    if names_model(paths[0]):
        model, sounds = find_model(paths[0]), paths[1:]
        if not sounds:
            raise OptionsError(f"{paths[0]} is a model; name sounds, or folders of them, after it")
    for path in sounds:
        if path.suffix.lower() in MODEL_SUFFIXES and not path.is_dir():
            advice = "name it before the sounds" if model is None else "add it with --also"
            raise OptionsError(f"{path} is a model, not a sound; {advice}")
    return model, sounds


def _check_out(out: Path, inputs: list[Path], force: bool) -> None:
    """Refuse a file that must not be replaced, before anything is computed.

    Raises:
        OptionsError: says what is there, and what to do.
    """
    from sonotype.data.records import SOUND_SUFFIXES
    from sonotype.data.suffixes import CHECKPOINT_SUFFIXES, MODEL_SUFFIXES
    from sonotype.evaluation.outputs import require_free

    for suffixes, kind in (
        (SOUND_SUFFIXES, "a sound"),
        ((*MODEL_SUFFIXES, *CHECKPOINT_SUFFIXES), "a model"),
    ):
        if out.suffix.lower() in suffixes:
            raise OptionsError(
                f"--out {out}: has the name of {kind}, and predictions are text; name a file such "
                "as predictions.csv behind --out"
            )
    require_free(out, inputs=inputs, force=force)


def _items(sounds: list[Path]) -> Iterator[Item]:
    """The files in their order, each once, and of folders all sounds below them, sorted.

    Raises:
        OptionsError: a folder without sounds.
    """
    from sonotype.data.readers.walk import in_order

    issues: dict[Path, Failure] = {}
    paths: list[Path] = []
    for path in sounds:
        found, broken = _below(path) if path.is_dir() else _alone(path)
        issues |= {Path(failure.source): failure for failure in broken}
        paths += found
    for path in in_order(paths):
        if str(path) in STANDARD_INPUT:
            yield _standard_input()
        else:
            yield issues.get(path, path)


def _below(folder: Path) -> tuple[list[Path], list[Failure]]:
    """What is in a folder: sounds and what cannot be read, sorted together."""
    from sonotype.data.readers.walk import walk
    from sonotype.data.records import SOUND_SUFFIXES
    from sonotype.inference.prediction import Failure

    found = walk(folder)
    failures = [Failure(str(path), cause) for path, cause in found.broken]
    paths = sorted([*found.sounds(), *(path for path, _ in found.broken)])
    if not paths:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SOUND_SUFFIXES))
        raise OptionsError(f"{folder}: holds no sound files ({kinds}); name a folder that does")
    return paths, failures


def _alone(path: Path) -> tuple[list[Path], list[Failure]]:
    """A path that is no folder; what is known to be no sound, with advice."""
    from sonotype.data.readers.walk import BROKEN_LINK
    from sonotype.data.suffixes import CHECKPOINT_SUFFIXES, TABLE_SUFFIXES
    from sonotype.inference.prediction import Failure

    suffix, cause = path.suffix.lower(), ""
    if path.is_symlink() and not path.exists() and str(path) not in STANDARD_INPUT:
        cause = BROKEN_LINK
    elif suffix in TABLE_SUFFIXES and path.is_file():
        cause = "is a table or a text, not a sound; sonotype evaluate scores a model on a table"
    elif suffix in CHECKPOINT_SUFFIXES and path.is_file():
        cause = "is a checkpoint or another model, not a sound"
    return [path], [Failure(str(path), cause)] if cause else []


def _standard_input() -> bytes | Failure:
    """The bytes of a sound from standard input."""
    from sonotype.inference.prediction import Failure

    if sys.stdin is None or sys.stdin.isatty():
        return Failure(STDIN, "is a terminal; pipe a sound into the command, or name a file")
    return sys.stdin.buffer.read()


def _paths(items: list[Item]) -> list[Path]:
    return [item for item in items if isinstance(item, Path)]


def _clips(
    classifier: Ensemble, items: list[Item], batch_size: int
) -> Iterator[Prediction | Failure]:
    """An answer to each item, in their order."""
    from sonotype.inference.prediction import Failure

    answers = classifier.predict_files(_paths(items), batch_size=batch_size, progress=True)
    for item in items:
        if isinstance(item, Failure):
            yield item
        elif isinstance(item, bytes):
            try:
                yield replace(classifier.predict(item), source=STDIN)
            except Exception as error:
                yield Failure(STDIN, cause_of(error))
        else:
            yield next(answers)
    yield from answers  # there are none left; the bar ends


def _windows(
    classifier: Ensemble, items: list[Item], hop: float, *, exact: bool
) -> Iterator[Prediction | Failure]:
    """The windows of all files under one bar; of one that breaks off those before, and its error.

    Raises:
        OptionsError: a hop that will not do, before anything is read.
    """
    from sonotype.core.progress import track
    from sonotype.inference.prediction import Failure
    from sonotype.inference.sliding_outputs import check_hop, windows_in

    check_hop(hop)

    def total() -> int:
        seconds = classifier.audio_spec.seconds
        sounds = [item for item in items if not isinstance(item, Failure)]
        return sum(windows_in(stated(item), hop, seconds) for item in sounds)

    def stated(path: Path | bytes) -> float:
        from sonotype.audio.stream import stated_seconds

        try:
            return stated_seconds(path)
        except Exception:  # the error is reported in the row of the file
            return 0.0

    def answers() -> Iterator[Prediction | Failure]:
        for item in items:
            if isinstance(item, Failure):
                yield item
                continue
            name = STDIN if isinstance(item, bytes) else str(item)
            try:
                for answer in classifier.predict_windows(item, hop, exact=exact):
                    yield replace(answer, source=name) if isinstance(item, bytes) else answer
            except Exception as error:
                yield Failure(name, cause_of(error))

    return track(answers(), "listening", total())


def _files_of(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
