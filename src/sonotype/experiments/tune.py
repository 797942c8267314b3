"""``sonotype tune``: fit the detection of a trained model to recordings; the network stays."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.config import from_dict
from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.device import device_of
from sonotype.core.errors import DataError, DataIssue, OptionsError, StoppedError
from sonotype.core.json_text import json_text, json_value
from sonotype.core.progress import track
from sonotype.core.types import Content, Head
from sonotype.data.augment.streams import StreamOptions, minutes_for, simulate_streams
from sonotype.data.digest import contents_of, prefixes
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.source_options import SourceOptions
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector, window_events
from sonotype.detect.score_sources import joined
from sonotype.detect.tuning import BASE, TuningOptions, TuningReport, tune_events
from sonotype.detect.tuning_counts import ScoredRecording
from sonotype.evaluation.evaluate import refuse_unknown_labels
from sonotype.evaluation.outputs import require_free, require_writable
from sonotype.evaluation.recordings import head_of, unknown_events
from sonotype.evaluation.seen import find_seen
from sonotype.experiments.backgrounds import (
    background_paths,
    readable_backgrounds,
    without_events,
)
from sonotype.experiments.recording_folds import fold_of_groups, groups_with_events
from sonotype.experiments.tune_report import report_json
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.load import ONNX_SUFFIX, load
from sonotype.inference.locate import beside_model, find_model
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.detection import Detection
from sonotype.modelfile.model_file import load_model, save_model
from sonotype.models.system import System
from sonotype.sliding.system_frames import has_frames
from sonotype.training.frame_fit import fit_frame_head

SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """How to tune.

    Attributes:
        background: folders of recordings without events, or such recordings.
        minutes: labelled clips: of simulated recordings with events; 0 for the number that
            :func:`sonotype.data.augment.streams.minutes_for` gives.
        false_alarms: most false alarms an hour of background.
        refit: fit a new frame head, though the model has one.
        seed: of the folds and of the simulation.
        device: to run the network on.
    """

    background: tuple[Path, ...] = ()
    minutes: float = 0.0
    false_alarms: float = 6.0
    refit: bool = False
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Tuned:
    """A tuned model.

    Attributes:
        path: the model file.
        detection: the settings in it.
        report: scores on the recordings.
        facts: about the recordings and the scores, for reports and for the model file.
        notes: what limits the scores.
    """

    path: Path
    detection: Detection
    report: TuningReport
    facts: dict[str, Any]
    notes: tuple[str, ...]


def tune(
    model: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    options: TuneOptions | None = None,
    *,
    folds: Sequence[int] = (),
    force: bool = False,
    progress: bool = False,
    **source: Any,
) -> Tuned:
    """Fit how a model detects events to annotated recordings or to labelled clips.

    From clips recordings are simulated, see :mod:`sonotype.data.augment.streams`. A model whose
    poolings have no trained weights gets a frame head, unless it has one; scores for the choice of
    the thresholds are then those of heads that did not learn from the recording. The scores of
    other models are those of windows.

    Args:
        model: a model file, or its run folder; it is not changed.
        data: annotated recordings or labelled clips.
        out: model file to write; default: ``MODEL-tuned.safetensors`` next to the model.
        options: how to tune; default: all defaults.
        folds: use only these official folds of the data.
        force: replace an existing file.
        progress: draw bars.
        source: fields of :class:`sonotype.data.source_options.SourceOptions`.

    Raises:
        AudioError: a recording cannot be read.
        DataError: issues of the data, or labels that the model does not know.
        ModelFileError: the model file is invalid.
        OptionsError: an invalid option, or a file that cannot be written.
    """
    options = options or TuneOptions()
    path = find_model(model)
    target = beside_model(model, f"{{}}-tuned{SUFFIX}") if out is None else Path(out)
    named = background_paths(options.background)
    _check(path, target, options)
    require_free(target, inputs=[path, Path(data), *options.background], force=force)
    classifier = load(path, device=options.device, tta_shifts=1)
    reading = from_dict(SourceOptions, source)
    everything = open_source(
        data, reading, purpose="evaluation", classes=classifier.heads[0].classes
    )
    manifest = everything.of_folds(folds)
    if manifest.recordings and options.minutes:
        raise OptionsError(
            "--minutes is for labelled clips; annotated recordings are not simulated"
        )
    job = _Job(path, classifier, _head(classifier, manifest), options, progress)
    sounds = [one.path for one in manifest.recordings or manifest.clips]
    contents, issues = contents_of(sounds, partial=manifest.partial, progress=progress)
    if issues:
        raise DataError(manifest.name, issues)
    manifest = manifest.with_contents(contents)
    backgrounds, notes = readable_backgrounds(named, contents, progress=progress)
    try:
        with tempfile.TemporaryDirectory(prefix="sonotype-") as folder:
            recordings = job.recordings(manifest, backgrounds, Path(folder))
            system, detection, report, facts = job.fit(recordings)
    except KeyboardInterrupt:
        raise StoppedError("interrupted; no model was written") from None
    notes += unknown_events(manifest.recordings, job.head)
    if not job.fits:
        notes += find_seen(
            [classifier], everything, manifest, folds,
            detection=job.keeps_head, progress=progress,
        ).notes  # fmt: skip
    facts = {"simulated": bool(manifest.clips), **facts, "notes": notes}
    tuned = json_value(json_text({**facts, **report_json(report)}))
    seen = job.seen([*contents.values(), *backgrounds.values()])
    detection = replace(detection, tuned=tuned, seen=seen)
    save_model(target, system, replace(classifier.card, detection=detection))
    return Tuned(target, detection, report, facts, tuple(notes))


class _Job:
    """The tuning of one model."""

    def __init__(
        self, path: Path, classifier: Classifier, head: Head, options: TuneOptions, progress: bool
    ) -> None:
        self.head, self._path, self._classifier = head, path, classifier
        self._options, self._progress = options, progress
        engine = classifier.engine
        known = classifier.card.detection
        kept = known is not None and bool(known.frame_scales) and known.head == head.name
        possible = isinstance(engine, TorchEngine) and has_frames(engine.system)
        if options.refit and not possible:
            raise OptionsError(
                "--refit: the pooling of the model has trained weights, so it has no frames; omit "
                "--refit to choose thresholds for windows, or train with --recipe linear"
            )
        self.fits = possible and (options.refit or not kept)
        self.keeps_head = kept and not self.fits
        self._seen = known.seen if known is not None and self.keeps_head else ()

    def seen(self, contents: Sequence[Content]) -> tuple[str, ...]:
        """Digests of the sounds that the settings, and a frame head that stays, were fitted to."""
        return tuple(sorted({*self._seen, *(x for one in contents for x in prefixes(one))}))

    def recordings(
        self, manifest: Manifest, backgrounds: Collection[Path], folder: Path
    ) -> tuple[AnnotatedRecording, ...]:
        """The annotated recordings of the data, or simulated ones, and the backgrounds."""
        if manifest.recordings:
            return (*manifest.recordings, *map(without_events, backgrounds))
        streams = StreamOptions(
            level=self.head.name,
            sample_rate=self._classifier.card.sample_rate,
            minutes=self._options.minutes or minutes_for(len(self.head.classes)),
        )
        return simulate_streams(
            manifest.clips, folder, streams, background=tuple(backgrounds), seed=self._options.seed,
            progress=self._progress,
        )  # fmt: skip

    def fit(
        self, recordings: Sequence[AnnotatedRecording]
    ) -> tuple[System, Detection, TuningReport, dict[str, Any]]:
        """The system, with a frame head if possible; the settings, and what they were fitted to."""
        system, card = load_model(self._path)
        folds = self._folds(recordings)
        if self.fits:
            system = system.to(device_of(self._options.device))
            scored, facts = self._fit_head(system, recordings, folds)
            scales, hop, base = system.frame_head.scales if system.frame_head else (), 0.0, BASE
        else:
            detector = Detector(Ensemble([self._classifier]), DetectOptions(level=self.head.name))
            each = track(recordings, "recordings", len(recordings), show=self._progress)
            blocks = ((one, joined(list(detector.score_blocks(one.path)))) for one in each)
            scored = [
                ScoredRecording.of(one, block.times, block.scores, folds) for one, block in blocks
            ]
            if detector.from_frames and card.detection is not None:
                scales, hop, base = card.detection.frame_scales, 0.0, BASE
                facts = {"scores": "frames"}
            else:
                scales, hop = (), detector.hop
                base, facts = window_events(self.head)[0], {"scores": "windows", "hop": hop}
        limit = TuningOptions(false_alarms=self._options.false_alarms)
        events, report = tune_events(
            scored,
            self.head.classes,
            base=base,
            options=limit,
        )
        facts = {
            "recordings": len(recordings),
            "seconds": sum(one.seconds for one in recordings),
            "events": sum(e.label in self.head.index for one in recordings for e in one.events),
            "folds": len(set(folds.values())),
            **facts,
            "false_alarms_limit": self._options.false_alarms,
        }
        return system, Detection(self.head.name, events, scales, hop), report, facts

    def _folds(self, recordings: Sequence[AnnotatedRecording]) -> dict[str, int]:
        """The fold of each group of recordings; none if only one group has events.

        Raises:
            DataError: only one group has events, and a frame head is fitted.
        """
        if groups_with_events(recordings) > 1:
            return fold_of_groups(recordings, seed=self._options.seed)
        if not self.fits:
            return {}
        cause = (
            "all events are in one recording, or in recordings of one group, so thresholds cannot "
            "be chosen on recordings that the frame head has not learnt from; "
        )
        cause += "omit --refit" if self._options.refit else "annotate recordings of other groups"
        raise DataError("DATA", [DataIssue(str(recordings[0].path), 0, cause)])

    def _fit_head(
        self, system: System, recordings: Sequence[AnnotatedRecording], folds: Mapping[str, int]
    ) -> tuple[list[ScoredRecording], dict[str, Any]]:
        """Give the system a frame head; the scores of heads that did not learn from a recording."""
        fit = fit_frame_head(
            system,
            self._classifier.audio_spec.length,
            recordings,
            self.head.classes,
            folds,
            seed=self._options.seed,
            progress=self._progress,
        )
        system.set_frame_head(fit.head)
        scored = [
            ScoredRecording.of(one.recording, one.times, one.scores, folds) for one in fit.held_out
        ]
        return scored, {"scores": "new frame head"}


def _check(path: Path, target: Path, options: TuneOptions) -> None:
    if path.suffix.lower() == ONNX_SUFFIX:
        raise OptionsError(
            f"{path}: is an exported model; tune its model.safetensors and export it again"
        )
    require_writable(target)
    if target.suffix != SUFFIX:
        raise OptionsError(f"--out {target}: the name of a model ends in {SUFFIX}")
    for name, value in (("minutes", options.minutes), ("false-alarms", options.false_alarms)):
        if not 0 <= value < np.inf:
            raise OptionsError(f"--{name} is {value:g}, must be at least 0")


def _head(classifier: Classifier, manifest: Manifest) -> Head:
    """The level of the model that the data has labels of.

    Raises:
        DataError: names the classes that the model does not have.
    """
    if manifest.recordings:
        name = head_of(classifier.heads, manifest.recordings).name
        return next(head for head in classifier.heads if head.name == name)
    refuse_unknown_labels(manifest, classifier.heads)
    labelled = {name for clip in manifest.clips for name, labels in clip.labels.items() if labels}
    if found := [head for head in classifier.heads if head.name in labelled]:
        return found[-1]
    raise DataError(manifest.name, [DataIssue(manifest.name, 0, "no clip has a label")])
