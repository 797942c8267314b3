"""``sonotype predict``: classify sound files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonotype.cli.flags import CategorySourceFlag
from sonotype.config import Device
from sonotype.core.errors import AudioError, OptionsError, cause_of

if TYPE_CHECKING:
    from sonotype.cli.prediction_inputs import Item
    from sonotype.inference.ensemble import Ensemble
    from sonotype.inference.prediction import Failure, Prediction


class OutputFormat(StrEnum):
    """Format of the predictions."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


def predict(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOUNDS",
            help="Sound files, folders, or - for standard input; before them optionally a "
            "model.safetensors, model.onnx or run folder",
        ),
    ],
    output_format: Annotated[
        OutputFormat, typer.Option("--format", help="Output format")
    ] = OutputFormat.table,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of labels to show")] = 3,
    out: Annotated[Path | None, typer.Option("--out", help="Output file")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing --out")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Files per batch")] = 16,
    category_source: CategorySourceFlag = None,
    tta_shifts: Annotated[
        int | None,
        typer.Option(
            "--tta-shifts",
            min=1,
            max=16,
            help="Time-shifted copies to average; with --hop it needs --exact "
            "[default: the model's]",
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", help="Model to average with; repeat for more"),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Device")] = "auto",
    hop: Annotated[
        float | None,
        typer.Option("--hop", help="Classify sliding windows; seconds between their starts"),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="With --hop: run each window as a separate clip")
    ] = False,
) -> None:
    """Classify sound files, and all sounds in folders.

    Without a model, the built-in model classifies the 50 sounds of ESC-50.

    Of a long recording, only one clip of the model's length is classified. With --hop,
    every window has a row with its start and end in seconds.

    The row of an unreadable file shows the error. The row of a truncated file shows the
    error and a prediction from its readable part. The exit code is then 3.

    The --out file has the suffix .part until it is complete. An existing file is replaced
    only with --force; a sound or a model is never replaced.

    Example: sonotype predict runs/first/model.safetensors field --format csv
    """
    if exact and hop is None:
        raise OptionsError("--exact needs --hop SECONDS")
    if hop is not None and not exact and (tta_shifts or 1) > 1:
        raise OptionsError("--tta-shifts with --hop needs --exact")
    from sonotype.cli.prediction_inputs import check_output, collect_items, files_of, split_model

    model, sounds = split_model(paths)
    items = collect_items(sounds)
    models = [model, *(also or [])]
    if out is not None:
        check_output(out, [*filter(None, models), *sounds, *files_of(items)], force=force)
    from sonotype.cli.prediction_output import write
    from sonotype.data.records import counted
    from sonotype.inference.ensemble import load_ensemble

    classifier = load_ensemble(
        models, device=device, category_source=category_source, tta_shifts=tta_shifts
    )
    if hop is None:
        results = _classify_files(classifier, items, batch_size)
    else:
        if not exact and any(member.tta_shifts > 1 for member in classifier.members):
            _note("note: no averaging over time shifts; use --exact for it")
        results = _classify_windows(classifier, items, hop, exact=exact)
    counts = _Counts()
    write(counts.count(results), output_format, top, out, windows=hop is not None, force=force)
    if counts.longer and hop is None:
        kept = {"front": "first", "centre": "middle"}[classifier.audio_spec.crop]
        seconds = f"the {kept} {classifier.audio_spec.seconds:g} s"
        _note(f"note: used only {seconds} of {counted(counts.longer, 'file')}")
    if counts.truncated:
        _note(f"{counted(counts.truncated, 'file')} truncated: used only the samples that exist")
    if counts.failed:
        suffix = "" if hop is None else " completely"
        _note(f"could not read {counts.failed} of {counted(len(items), 'file')}{suffix}")
    if counts.failed or counts.truncated:
        raise typer.Exit(AudioError.exit_code)


@dataclass
class _Counts:
    """Numbers of results that need a note."""

    failed: int = 0
    truncated: int = 0
    longer: int = 0

    def count(self, results: Iterable[Prediction | Failure]) -> Iterator[Prediction | Failure]:
        """Yield the results and count them."""
        from sonotype.inference.prediction import Failure

        for result in results:
            if isinstance(result, Failure):
                self.failed += 1
            else:
                self.truncated += bool(result.truncated)
                self.longer += result.longer_than_clip
            yield result


def _classify_files(
    classifier: Ensemble, items: list[Item], batch_size: int
) -> Iterator[Prediction | Failure]:
    """The result of each item, in order."""
    from sonotype.cli.prediction_inputs import STDIN, files_of
    from sonotype.inference.prediction import Failure

    results = classifier.predict_files(files_of(items), batch_size=batch_size, progress=True)
    for item in items:
        if isinstance(item, Failure):
            yield item
        elif isinstance(item, bytes):
            try:
                yield replace(classifier.predict(item), source=STDIN)
            except Exception as error:
                yield Failure(STDIN, cause_of(error))
        else:
            yield next(results)
    yield from results  # empty; finishes the progress bar


def _classify_windows(
    classifier: Ensemble, items: list[Item], hop: float, *, exact: bool
) -> Iterator[Prediction | Failure]:
    """The windows of all items with one progress bar; a failure follows the windows before it.

    Raises:
        OptionsError: invalid ``hop``, before anything is read.
    """
    from sonotype.cli.prediction_inputs import STDIN
    from sonotype.core.progress import track
    from sonotype.inference.prediction import Failure
    from sonotype.inference.sliding_outputs import check_hop, windows_in

    check_hop(hop)

    def results() -> Iterator[Prediction | Failure]:
        for item in items:
            if isinstance(item, Failure):
                yield item
                continue
            name = STDIN if isinstance(item, bytes) else str(item)
            try:
                for prediction in classifier.predict_windows(item, hop, exact=exact):
                    yield replace(prediction, source=name)
            except Exception as error:
                yield Failure(name, cause_of(error))

    durations = [_duration(item) for item in items if not isinstance(item, Failure)]
    clip_seconds = classifier.audio_spec.seconds
    total = sum(windows_in(seconds, hop, clip_seconds) for seconds in durations)
    return track(results(), "classifying windows", total)


def _duration(item: Path | bytes) -> float:
    """Seconds according to the header; 0 if unreadable, which the result of the file reports."""
    from sonotype.audio.stream import stated_seconds

    try:
        return stated_seconds(item)
    except Exception:
        return 0.0


def _note(text: str) -> None:
    typer.echo(text, err=True)
