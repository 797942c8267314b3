"""``sonotype predict``: classify sound files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sonotype.archive.archive_options import BATCH_SIZE, ArchiveOptions, asks_for_archive
from sonotype.cli.archive_output import archive_part, local_paths, refuse, write_archive
from sonotype.cli.flags import Force, ModelOptions, with_options
from sonotype.core.errors import AudioError, OptionsError, cause_of

if TYPE_CHECKING:
    from sonotype.cli.prediction_inputs import Item
    from sonotype.cli.prediction_output import Result
    from sonotype.inference.ensemble import Ensemble

SHOWN_LABELS = 3


@with_options({"batch_size": str(BATCH_SIZE)}, Model=ModelOptions, Archive=ArchiveOptions)
def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="SOUNDS",
            help="A model or run folder, if any; then sound files, folders, or - for standard "
            "input",
        ),
    ],
    output_format: Annotated[
        Literal["table", "csv", "jsonl"], typer.Option("--format", help="Output format")
    ] = "table",
    top: Annotated[
        int, typer.Option("--top", min=1, metavar="N", help="Number of labels to show")
    ] = SHOWN_LABELS,
    out: Annotated[
        Path | None, typer.Option("--out", help="Output file, or folder of an archive")
    ] = None,
    force: Force = False,
    hop: Annotated[
        float | None,
        typer.Option("--hop", metavar="SECONDS", help="Classify windows that start every SECONDS"),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="With --hop: run each window as a separate clip", hidden=True),
    ] = False,
    **options: Any,
) -> None:
    """Classify sound files, and all sounds in folders.

    Without a model, the built-in model classifies the 50 sounds of ESC-50. Of a long
    recording, only one clip of the model's length is classified; with --hop, every window
    has a row with its start and end in seconds.

    The row of an unreadable file shows the error; the row of a truncated file also shows
    a prediction from its readable part. The exit code is then 3.

    The --out file has the suffix .part until it is complete. An existing file is replaced
    only with --force; a sound or a model is never replaced.

    Example: sonotype predict runs/first/model.safetensors field --format csv
    """
    if exact and hop is None:
        raise OptionsError("--exact needs --hop SECONDS")
    if hop is not None and not exact and options.get("tta_shifts", 1) > 1:
        raise OptionsError("--tta-shifts with --hop needs --exact")
    archive = archive_part(options) if asks_for_archive(options, ["batch_size"]) else None
    if archive is not None:
        own = {"format": output_format != "table", "top": top != SHOWN_LABELS, "force": force}
        refuse({name: True for name, is_set in own.items() if is_set}, "an archive is Parquet")
        device = options.pop("device", "auto")
        also = [Path(path) for path in options.pop("also", ())]
        write_archive(
            "predict", paths, out, archive,
            also=also, hop=hop, exact=exact, device=device, model_options=options,
        )  # fmt: skip
        return
    from sonotype.cli.prediction_inputs import check_output, collect_items, files_of, split_model

    batch_size = options.pop("batch_size", BATCH_SIZE)
    model, sounds = split_model(local_paths(paths))
    items = collect_items(sounds)
    models = [model, *map(Path, options.pop("also", ()))]
    if out is not None:
        check_output(out, [*filter(None, models), *sounds, *files_of(items)], force=force)
    from sonotype.cli.prediction_output import write
    from sonotype.core.text import counted
    from sonotype.inference.ensemble import load_ensemble

    classifier = load_ensemble(models, **{"device": "auto"} | options)
    if hop is None:
        results = _classify_files(classifier, items, batch_size)
    else:
        if not exact and any(member.tta_shifts > 1 for member in classifier.members):
            _note("note: no averaging over time shifts; use --exact for it")
        results = _classify_windows(classifier, items, hop, exact=exact)
    counts = Counter[str]()
    levels = [head.name for head in classifier.heads]
    write(
        _counted(results, counts), output_format, top, out,
        levels=levels, windows=hop is not None, force=force,
    )  # fmt: skip
    if counts["longer"] and hop is None:
        kept = {"front": "first", "centre": "middle"}[classifier.audio_spec.crop]
        seconds = f"the {kept} {classifier.audio_spec.seconds:g} s"
        _note(f"note: used only {seconds} of {counted(counts['longer'], 'file')}")
    if truncated := counts["truncated"]:
        _note(f"{counted(truncated, 'file')} truncated: used only the samples that exist")
    if counts["failed"]:
        suffix = "" if hop is None else " completely"
        _note(f"could not read {counts['failed']} of {counted(len(items), 'file')}{suffix}")
    if counts["failed"] or counts["truncated"]:
        raise typer.Exit(AudioError.exit_code)


def _counted(results: Iterable[Result], counts: Counter[str]) -> Iterator[Result]:
    """Yield the results and count those that need a note."""
    from sonotype.inference.prediction import Prediction

    for result in results:
        if isinstance(result, Prediction):
            counts["truncated"] += bool(result.truncated)
            counts["longer"] += result.longer_than_clip
        else:
            counts["failed"] += 1
        yield result


def _classify_files(classifier: Ensemble, items: list[Item], batch_size: int) -> Iterator[Result]:
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
) -> Iterator[Result]:
    """The windows of all items with one progress bar; a failure follows the windows before it.

    Raises:
        OptionsError: invalid ``hop``, before anything is read.
    """
    from sonotype.audio.stream import stated_seconds
    from sonotype.cli.prediction_inputs import STDIN
    from sonotype.core.progress import track
    from sonotype.inference.prediction import Failure
    from sonotype.inference.sliding_outputs import check_hop, windows_in

    check_hop(hop)
    total = 0
    for item in items:
        with suppress(Exception):  # the result of the file reports it
            if not isinstance(item, Failure):
                total += windows_in(stated_seconds(item), hop, classifier.audio_spec.seconds)

    def results() -> Iterator[Result]:
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

    return track(results(), "classifying windows", total)


def _note(text: str) -> None:
    typer.echo(text, err=True)
