"""From a model file to ``model.onnx``, which is compared with the model before it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.audio.clip import load_clip
from sonotype.config import from_dict
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.hierarchy import head_of_level
from sonotype.core.io import replacing
from sonotype.core.progress import steps
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.source_options import SourceOptions
from sonotype.detect.detector import window_events
from sonotype.evaluation.evaluate import predict_clips
from sonotype.evaluation.metrics import HeadScores, score
from sonotype.evaluation.outputs import require_free
from sonotype.export.graph import onnx_graph, require_onnx
from sonotype.export.quantise import quantised
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import ONNX_SUFFIX, load
from sonotype.inference.onnx_engine import onnx_engine
from sonotype.inference.prediction import Array, Probabilities
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.detection import Detection

MAX_DIFFERENCE = 1e-3
"""Largest accepted difference in a probability between the model and the file."""

SYNTHESISED = 25
"""Waveforms to compare both runtimes on if no data is given."""

RECORDING_CLIPS = 3
"""Synthesised clips in a recording that compares windows with shared feature maps, and frames."""

CALIBRATION = 64
"""Clips that set the ranges of 8-bit maps; the scores are measured on other clips."""

NO_FRAMES = (
    "the file has no frame head, as all files with 8 bits: sonotype detect scores windows with it, "
    "with default settings; without --int8 it scores frames, with the settings of the model"
)


@dataclass(frozen=True)
class Exported:
    """An exported file and its comparison with the model.

    Attributes:
        path: the file.
        clips: number of clips of the comparison.
        synthetic: whether these were synthesised, as no data were given.
        difference: largest difference between two probabilities.
        before: scores of the model by head, of clips with a label; empty without data.
        after: scores of the file.
        notes: what the file lacks.
    """

    path: Path
    clips: int
    synthetic: bool
    difference: float
    before: Mapping[str, HeadScores] = field(default_factory=dict)
    after: Mapping[str, HeadScores] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def export_onnx(
    model: str | Path | Classifier | None,
    out: str | Path,
    *,
    data: str | Path | None = None,
    folds: Sequence[int] = (),
    int8: bool = False,
    force: bool = False,
    progress: bool = False,
    **source: Any,
) -> Exported:
    """Write one ONNX file from waveform to probabilities, with the model's card in its metadata.

    Args:
        model: a model file, its run folder, or a loaded classifier that torch runs; ``None`` for
            the built-in model.
        out: the file to write.
        data: labelled recordings for the comparison; ``None`` for synthesised clips.
        folds: of the data, only these official folds.
        int8: compute convolutions and matrix products in 8 bits; needs data, which also set ranges.
            Windows of such a file share no feature maps, and it has no frame head.
        force: replace an existing file; inputs are never replaced.
        progress: draw a bar.
        source: fields of :class:`sonotype.data.source_options.SourceOptions`.

    Raises:
        MissingExtraError: a package that the export needs is not installed.
        OptionsError: an invalid option, or a file that cannot be written.
        SonotypeError: the probabilities of the file differ from those of the model, for clips,
            windows or frames.
    """
    require_onnx()
    if int8 and data is None:
        raise OptionsError(
            "int8 needs data: labelled recordings that set the ranges of the maps and measure the "
            "accuracy"
        )
    if Path(out).suffix != ONNX_SUFFIX:  # loading recognises it by its suffix
        raise OptionsError(f"{out}: the name of an exported model ends in {ONNX_SUFFIX}")
    classifier = model if isinstance(model, Classifier) else load(model)
    if not isinstance(classifier.engine, TorchEngine):
        raise OptionsError(f"{model} is no model.safetensors; only those can be exported")
    inputs = [Path(name) for name in (model, data) if isinstance(name, str | Path)]
    require_free(Path(out), inputs=inputs, force=force)
    manifest = None
    if data is not None:
        options = from_dict(SourceOptions, source)
        manifest = open_source(data, options, purpose="evaluation").of_folds(folds)
        if manifest.recordings:
            raise OptionsError(
                f"{data} holds annotated recordings; name labelled clips for the comparison"
            )
    card = without_frames(classifier.card) if int8 else classifier.card
    with steps("exporting", 3 if int8 else 2, show=progress) as bar:
        content = onnx_graph(classifier.engine.system, card)
        with bar.done():
            pass
        if int8 and manifest is not None:
            calibration, manifest = _split(manifest)
            content = quantised(content, _waveforms(calibration, classifier))
            with bar.done():
                pass
        exported = Classifier(
            onnx_engine(content),
            card,
            category_source=classifier.category_source,
            tta_shifts=classifier.tta_shifts,
        )
        report = _compare(classifier, exported, manifest, Path(out))
        if not int8:
            parts = (_window_difference, _frame_difference)
            others = [difference(classifier, exported) for difference in parts]
            report = replace(report, difference=float(np.max([report.difference, *others])))
    if not int8 and not report.difference <= MAX_DIFFERENCE:
        raise SonotypeError(
            f"{out} is not written: it differs from the model by {report.difference:.2g} in a "
            f"probability, more than {MAX_DIFFERENCE:g}"
        )
    with replacing(Path(out)) as part:
        part.write_bytes(content)
    return report if card is classifier.card else replace(report, notes=(NO_FRAMES,))


def without_frames(card: ModelCard) -> ModelCard:
    """The card of a file without a frame head: the same, if the model has none either.

    Settings that were fitted to frames are replaced by those that detection has for windows where
    nothing was fitted. The head stays the one whose classes are detected.
    """
    fitted = card.detection
    if fitted is None or not fitted.frame_scales:
        return card
    events = window_events(head_of_level(card.heads, fitted.head))
    return replace(card, detection=Detection(fitted.head, events))


def _compare(
    model: Classifier, exported: Classifier, manifest: Manifest | None, out: Path
) -> Exported:
    """Compare both on the same clips."""
    if manifest is None:
        clips = _synthesised(model)
        ours, theirs = model.predict_proba(clips), exported.predict_proba(clips)
        difference = _difference(ours.proba, theirs.proba)
        return Exported(out, len(clips), True, difference)
    before, after = (
        predict_clips(classifier, manifest, partial=manifest.partial)
        for classifier in (model, exported)
    )
    difference = _difference(before.proba, after.proba)
    original, new = (
        score(found, category_source=model.category_source, resamples=0).heads
        for found in (before, after)
    )
    return Exported(out, len(manifest.clips), manifest.synthetic, difference, original, new)


def _window_difference(model: Classifier, exported: Classifier) -> float:
    """Largest difference between two probabilities of windows that share their feature maps."""
    recording = _recording(model)
    hop, rate = model.audio_spec.seconds / 4, model.audio_spec.sample_rate
    windows = [one.predict_windows(recording, hop, sample_rate=rate) for one in (model, exported)]
    pairs = list(zip(*windows, strict=True))
    return max(_difference(ours.proba, theirs.proba) for ours, theirs in pairs)


def _frame_difference(model: Classifier, exported: Classifier) -> float:
    """Largest difference between two probabilities of frames; 0 if the model has no frame head."""
    ours, theirs = _frame_scores(model), _frame_scores(exported)
    if ours is None:
        return 0.0
    if theirs is None or ours.shape != theirs.shape:
        return np.inf
    return float(np.abs(ours - theirs).max())


def _frame_scores(classifier: Classifier) -> Array | None:
    """Scores ``[frames, classes]`` of a synthesised recording; ``None`` without a frame head."""
    found = classifier.engine.frames([_recording(classifier)], classifier.audio_spec.length)
    return None if found is None else np.concatenate([scores for _, scores in found])


def _difference(ours: Mapping[str, Probabilities], theirs: Mapping[str, Probabilities]) -> float:
    """Largest difference between two probabilities."""
    return float(np.max([np.abs(ours[name] - theirs[name]).max() for name in ours]))


def _recording(model: Classifier) -> Array:
    """A synthesised recording ``[samples]`` of a few clips."""
    recording: Array = _synthesised(model)[-RECORDING_CLIPS:].ravel()
    return recording


def _synthesised(model: Classifier) -> Array:
    """Seeded waveforms ``[25, samples]``: chirps in noise, from -48 dB to full scale."""
    rate, length = model.audio_spec.sample_rate, model.audio_spec.length
    rng = np.random.default_rng(0)
    time = np.arange(length) / rate
    waveforms = []
    for level in np.logspace(-2.4, 0, SYNTHESISED):
        first, last = rng.uniform(50, rate / 2, 2)  # Hz
        phase = 2 * np.pi * (first * time + (last - first) * time**2 * rate / (2 * length))
        noise = rng.uniform(-0.5, 0.5, length)
        waveforms.append(level * (0.5 * np.sin(phase) + noise))
    return np.stack(waveforms).astype(np.float32)


def _split(manifest: Manifest) -> tuple[Manifest, Manifest]:
    """Split into clips that set ranges, spread over all clips, and the others."""
    count = len(manifest.clips)
    if count < 2:
        raise OptionsError(
            f"{manifest.name} has {count} clip; int8 needs at least 2: clips that set the ranges, "
            "and others that measure the accuracy"
        )
    chosen = np.linspace(0, count - 1, min(CALIBRATION, count // 2)).round().astype(int).tolist()
    rest = sorted(set(range(count)) - set(chosen))
    return manifest.take(chosen), manifest.take(rest)


def _waveforms(manifest: Manifest, model: Classifier) -> Iterator[Array]:
    for clip in manifest.clips:
        yield load_clip(clip.path, model.audio_spec, partial=True)
