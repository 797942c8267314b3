"""Cross-validation: train and score on every fold in turn, and tell mean, spread and every fold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sonotype.config import SplitOptions
from sonotype.core.errors import (
    MissingExtraError,
    OptionsError,
    StoppedError,
    WeightsError,
)
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.data.augment.augmented_copies import Transform
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.records import counted
from sonotype.data.splits.split import Split, cross_validation
from sonotype.data.splits.split_file import canonical_rows, rows_of, split_table
from sonotype.data.splits.subsets import without_validation
from sonotype.evaluation.folds import folds_to_json, summarise_folds
from sonotype.evaluation.metrics import Scores, score, scores_from_json, scores_to_json
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.evaluation.report import render_folds
from sonotype.evaluation.write_report import write_report
from sonotype.experiments.failed_runs import FailedRunsError, described
from sonotype.experiments.pipeline import inspect, notes_on, run_split, with_backbone
from sonotype.experiments.run_folder import (
    PREDICTIONS,
    SCORES,
    changed_files,
    comparable,
    located,
    made_from,
)
from sonotype.experiments.run_options import RunOptions
from sonotype.training.callbacks import OnMessage
from sonotype.training.random_state import kept_random_state

CONFIG = "crossval.json"


@dataclass(frozen=True)
class CrossvalResult:
    """Scores over all folds.

    Attributes:
        scores: JSON values: ``folds`` (mean, spread, every fold) and ``pooled`` (all answers
            together, with intervals by recording); empty where ctrl-C came before.
        report: the same as text.
        interrupted: by ctrl-C.
    """

    scores: dict[str, Any]
    report: str
    interrupted: bool


@kept_random_state()
def crossval(
    data: str | Path,
    out: str | Path,
    *,
    folds: int = 5,
    transform: Transform | None = None,
    progress: bool = False,
    on_message: OnMessage = lambda _: None,
    **options: Any,
) -> CrossvalResult:
    """Train on all folds but one, validate on a part of them, test on that one, each in turn.

    Official folds are used where the source has them, else stratified folds that keep recordings
    together. Finished folds in ``out`` are kept, so the same call goes on after a kill.

    Args:
        data: as for :func:`sonotype.experiments.pipeline.train`.
        out: gets a run folder for each fold, and the scores over all.
        folds: how many, where the source has none.
        transform: as for training.
        progress: draw bars.
        on_message: gets a line now and then.
        options: as for training, those of the split excepted, which are refused.

    Raises:
        OptionsError: ``out`` holds a cross-validation with other options or data, or an option
            that will not do.
        FailedRunsError: folds failed; the others are kept. The next call runs these again.
        SonotypeError: as for training, where every fold fails in the same way.
    """
    folder = Path(out)
    refuse_parts(options)
    chosen = RunOptions.of(options)
    manifest = open_source(data, chosen.source)
    splits = cross_validation(manifest, folds=folds, seed=chosen.train.seed)
    manifest = inspect(manifest, progress=progress)
    if manifest.copies:
        splits = cross_validation(manifest, folds=folds, seed=chosen.train.seed)
    if chosen.train.checkpoint == "last":
        splits = [without_validation(parts) for parts in splits]
    tables = [split_table(manifest, parts) for parts in splits]
    fingerprint = manifest.fingerprint()
    chosen = with_backbone(chosen, progress=progress, on_message=on_message)
    claim = {
        "fingerprint": fingerprint,
        "splits": _digest(json.dumps([canonical_rows(rows_of(table)) for table in tables])),
        "folds": folds,
        "transform": transform is not None,
        "options": located(chosen).flat(),
        "files": made_from(chosen),
    }
    _lock_config(folder, claim, chosen)
    scores: list[Scores] = []
    answers: list[Predictions] = []
    failures: dict[str, Exception] = {}
    for number, parts in enumerate(splits, start=1):
        run = folder / f"fold_{number}"
        if not (run / SCORES).exists():
            on_message(f"fold {number} of {len(splits)}")
            try:
                result = run_split(
                    manifest,
                    parts,
                    run,
                    chosen,
                    data=data,
                    fingerprint=fingerprint,
                    transform=transform,
                    progress=progress,
                    on_message=on_message,
                )
            except (StoppedError, OptionsError, WeightsError, MissingExtraError):
                raise  # those of all folds
            except Exception as error:  # one fold's; the others go on
                failures[f"fold {number}"] = error
                on_message(f"fold {number} failed: {described(error)}")
                continue
            if result.interrupted:
                return CrossvalResult({}, "", True)
        scores.append(scores_from_json(json.loads((run / SCORES).read_text(encoding="utf-8"))))
        answers.append(load_predictions(run / PREDICTIONS))
    if failures:
        first = next(iter(failures.values()))
        causes = {name: described(error) for name, error in failures.items()}
        if len(failures) == len(splits) and len(set(causes.values())) == 1:
            raise first
        raise FailedRunsError(counted(len(splits), "fold"), causes) from first
    summary = summarise_folds(scores)
    pooled = score(
        concatenate(answers),
        category_source=chosen.score.category_source,
        seed=chosen.train.seed,
        notes=_shared_notes(manifest, splits),
    )
    report = render_folds(summary, pooled)
    write_report(pooled, concatenate(answers), folder)
    values = {"folds": folds_to_json(summary), "pooled": scores_to_json(pooled)}
    write_text(folder / SCORES, json_text(values, indent=1) + "\n")
    write_text(folder / "scores.txt", report)
    return CrossvalResult(values, report, False)


def refuse_parts(options: Mapping[str, Any]) -> None:
    """Raise an ``OptionsError`` where options of the split are among those of all folds."""
    names = sorted({one.name for one in fields(SplitOptions)} & options.keys())
    if names:
        raise OptionsError(f"cross-validation makes its parts itself; leave out {', '.join(names)}")


def _shared_notes(manifest: Manifest, splits: Sequence[Split]) -> tuple[str, ...]:
    """What holds for every fold; which of the official folds tests is different in each."""
    notes = [notes_on(manifest, parts) for parts in splits]
    return tuple(note for note in notes[0] if all(note in others for others in notes))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _lock_config(folder: Path, config: dict[str, Any], options: RunOptions) -> None:
    """Note what is being cross-validated, or compare with what was noted before.

    A note beside which no fold was begun (the sounds could not be read, say) binds nobody.
    """
    path = folder / CONFIG
    config = json.loads(json_text(config))
    if path.exists() and any(folder.glob("fold_*")):
        changed = _changed(path, config, options)
        if changed:
            raise OptionsError(
                f"{folder} holds a cross-validation with other {', '.join(changed)}; "
                "name another --out"
            )
        return
    if folder.is_dir() and any(entry != path for entry in folder.iterdir()):
        raise OptionsError(f"{folder} is not empty; a cross-validation needs a folder of its own")
    write_text(path, json_text(config, indent=2) + "\n")


def _changed(path: Path, config: Mapping[str, Any], options: RunOptions) -> list[str]:
    """Names of what differs from the file's: options, ``folds``, and ``data`` itself."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        before, now = (
            {
                "data": one["fingerprint"],
                "folds": one["folds"],
                "transform": one["transform"],
                **comparable(one["options"]),
            }
            for one in (found, config)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error}); name another --out") from None
    missing = object()
    names = {*before, *now}
    changed = sorted(name for name in names if before.get(name, missing) != now.get(name, missing))
    changed += changed_files(found, options, config["files"])
    if not changed and "splits" not in found:
        raise OptionsError(
            f"{path} has no digests of the sounds, as an earlier version wrote it: whether the "
            "folds hold the same clips cannot be compared; name another --out"
        )
    # The same sounds and options, but dealt otherwise: names, groups or folds have changed.
    return changed or (["data"] if found["splits"] != config["splits"] else [])
