"""From a model file to ``model.onnx``, compared with what it was made from before it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.audio.clip import load_clip
from sonotype.config import from_dict
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.hierarchy import CategorySource
from sonotype.core.io import replacing
from sonotype.core.progress import steps
from sonotype.core.types import IGNORE_INDEX
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.source_options import SourceOptions
from sonotype.data.synth import EVENTS, synthesise_clip
from sonotype.evaluation.evaluate import answer
from sonotype.evaluation.outputs import require_free
from sonotype.evaluation.predictions import Predictions
from sonotype.export.graph import onnx_graph, require_onnx
from sonotype.export.quantise import quantised
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import ONNX_SUFFIX, load
from sonotype.inference.onnx_engine import onnx_engine
from sonotype.inference.prediction import Array
from sonotype.inference.torch_engine import TorchEngine

MOST = 1e-3
"""Largest difference in a probability between both runtimes; a file beyond it is not written."""

CALIBRATION = 64
"""Clips that set the ranges of 8-bit maps; they are not among those that tell what it costs."""


@dataclass(frozen=True)
class Accuracy:
    """Shares of clips that were answered rightly; ``event`` is ``None`` without an event head."""

    category: float
    event: float | None


@dataclass(frozen=True)
class Exported:
    """An exported model and how it compares with what it was made from.

    Attributes:
        path: the file.
        clips: how many both were asked about.
        synthetic: whether these were synthesised, since no others were given.
        difference: largest difference between two probabilities.
        before: right answers of the model as it was; ``None`` where nobody knows the right ones.
        after: those of the file.
    """

    path: Path
    clips: int
    synthetic: bool
    difference: float
    before: Accuracy | None = None
    after: Accuracy | None = None


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
    """Write one ONNX file from waveform to answer, with the model's card in its metadata.

    Args:
        model: a model file, the run folder that holds it, or a loaded classifier that torch runs;
            ``None`` for the built-in one.
        out: the file to write.
        data: labelled sounds to compare both on; synthesised ones where there are none.
        folds: of the data, only these official folds.
        int8: do the network's products in 8 bits; needs data, whose first use is to set ranges.
        force: replace another file of that name; inputs are never replaced.
        progress: draw a bar.
        source: fields of :class:`sonotype.data.readers.source.SourceOptions`.

    Raises:
        MissingExtraError: what exporting needs is not installed.
        OptionsError: an option that will not do, or a file that cannot be written there.
        SonotypeError: the file would answer otherwise than the model.
    """
    require_onnx()
    if int8 and data is None:
        raise OptionsError(
            "int8 needs data: labelled sounds that set the ranges of its numbers and tell what "
            "it costs"
        )
    if Path(out).suffix != ONNX_SUFFIX:  # by which it is known when it is loaded
        raise OptionsError(f"{out}: the name of an exported model ends in {ONNX_SUFFIX}")
    classifier = model if isinstance(model, Classifier) else load(model)
    if not isinstance(classifier.engine, TorchEngine):
        raise OptionsError(f"{model} is no model.safetensors; only those can be exported")
    read = [Path(one) for one in (model, data) if isinstance(one, str | Path)]
    require_free(Path(out), inputs=read, force=force)
    manifest = None
    if data is not None:
        options = from_dict(SourceOptions, source)
        manifest = open_source(data, options, purpose="evaluation").of_folds(folds)
    with steps("exporting", 3 if int8 else 2, show=progress) as bar:
        content = onnx_graph(classifier.engine.system, classifier.card)
        with bar.done():
            pass
        if int8 and manifest is not None:
            ranges, manifest = _parted(manifest)
            content = quantised(content, _sounds(ranges, classifier))
            with bar.done():
                pass
        other = Classifier(
            onnx_engine(content),
            classifier.card,
            category_source=classifier.category_source,
            tta_shifts=classifier.tta_shifts,
        )
        report = _compared(classifier, other, manifest, Path(out))
    if not int8 and not report.difference <= MOST:
        raise SonotypeError(
            f"{out} is not written: it differs from the model by {report.difference:.2g} in a "
            f"probability, more than {MOST:g}"
        )
    with replacing(Path(out)) as part:
        part.write_bytes(content)
    return report


def _compared(
    model: Classifier, exported: Classifier, manifest: Manifest | None, out: Path
) -> Exported:
    """Both asked about the same clips."""
    if manifest is None:
        clips = _synthesised(model)
        output, again = model.predict_proba(clips), exported.predict_proba(clips)
        gap = _gap((output.category, output.event), (again.category, again.event))
        return Exported(out, len(clips), True, gap)
    before, after = (answer(one, manifest, partial=manifest.partial) for one in (model, exported))
    gap = _gap(
        (before.category_probability, before.event_probability),
        (after.category_probability, after.event_probability),
    )
    shares = [_accuracy(one, model.category_source) for one in (before, after)]
    return Exported(out, len(manifest.clips), manifest.synthetic, gap, *shares)


def _gap(one: Sequence[Array | None], other: Sequence[Array | None]) -> float:
    """Largest difference between two probabilities."""
    return max(
        float(np.abs(a - b).max())
        for a, b in zip(one, other, strict=True)
        if a is not None and b is not None
    )


def _accuracy(answers: Predictions, how: CategorySource) -> Accuracy:
    category = answers.category(how).argmax(1) == answers.category_true
    known = answers.event_true != IGNORE_INDEX
    event = None
    if answers.event_probability is not None and known.any():
        right = answers.event_probability.argmax(1) == answers.event_true
        event = float(right[known].mean())
    return Accuracy(float(category.mean()), event)


def _synthesised(model: Classifier) -> Array:
    """A clip of each synthetic event, as the model wants them."""
    audio_spec = model.audio_spec
    return np.stack(
        [
            synthesise_clip(event, seconds=audio_spec.seconds, sample_rate=audio_spec.sample_rate)
            for events in EVENTS.values()
            for event in events
        ]
    )


def _parted(manifest: Manifest) -> tuple[Manifest, Manifest]:
    """Clips that set ranges, spread over all of them, and the others, which tell the cost."""
    count = len(manifest.clips)
    if count < 2:
        raise OptionsError(
            f"{manifest.name} has {count} clip; int8 needs some to set its ranges by, and others "
            "to tell what it costs"
        )
    chosen = np.linspace(0, count - 1, min(CALIBRATION, count // 2)).round().astype(int).tolist()
    rest = sorted(set(range(count)) - set(chosen))
    return manifest.take(chosen), manifest.take(rest)


def _sounds(manifest: Manifest, model: Classifier) -> Iterator[Array]:
    for clip in manifest.clips:
        yield load_clip(clip.path, model.audio_spec, partial=True)
