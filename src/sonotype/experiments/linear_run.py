"""Fit linear heads on the pooled vectors of a run's clips, and score them by cross-fitting.

The heads of the model are fitted to all training clips. Heads that are fitted to all folds but one
predict the clips of that fold; from these predictions come the scores, the temperature of each
head, the thresholds of the classes, and the threshold of the unknown score.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from sonotype.core.device import device_of
from sonotype.core.errors import StoppedError
from sonotype.core.progress import begin
from sonotype.core.types import IGNORE_INDEX, Clip, Head, Heads
from sonotype.data.augment.augmented_copies import Augmentation, Waveforms
from sonotype.data.splits.crossfit import Folds, balanced_folds
from sonotype.evaluation.calibration import (
    fit_sigmoid_temperature,
    fit_temperature,
    tempered,
)
from sonotype.evaluation.predictions import Predictions, without_label
from sonotype.evaluation.thresholds import with_thresholds
from sonotype.experiments.context import BuiltSystem, RunContext
from sonotype.features.cache import own_store, shared_store
from sonotype.features.vectors import (
    Mixtures,
    Vectors,
    mixture_vectors,
    noise_vectors,
    pooled_vectors,
)
from sonotype.models.system import System
from sonotype.training.dataset import targets
from sonotype.training.linear_fit import (
    FoldFit,
    LinearHeads,
    Targets,
    feature_weights,
    fit_folds,
    fit_linear,
    held_out_logits,
    with_mixtures,
)
from sonotype.training.neighbours import neighbour_agreement
from sonotype.training.result import FitResult
from sonotype.training.unknown_fit import (
    FEWEST_FOLDS,
    FOLDS,
    MIN_CLIPS,
    fit_geometry,
    foreign_vectors,
    head_of_unknown,
    held_out_scores,
    scores_of,
    set_threshold,
)

FEW_SCORED = 10
"""Clips below which a temperature is not fitted."""
THRESHOLD = 0.5
"""Unknown score above which a sound counts as unknown; the scores are fitted to this value."""
MOST_MIXTURES = 4
"""Largest number of mixtures with other clips for each clip, where clips can have several
labels."""
MIXTURES = 8000
"""Largest number of all views of mixtures, if there are fewer views of clips."""
DENSE = 0.4
"""Share of present classes above which clips are not mixed: mixtures would have so many more that
the probabilities would be too high."""
DEFAULT_TEMPERATURE = 0.5
"""Temperature of heads without scored clips, from cross-validation of small sets."""


Scored = Mapping[str, npt.NDArray[np.bool_]]
"""By name of a head which clips have a score."""


@dataclass(frozen=True, eq=False)
class LinearData:
    """The clips of a run as pooled vectors.

    Attributes:
        vectors: ``[clips, views, features]`` of the training clips.
        noises: ``[sounds, 1, features]`` of synthetic sounds of no class.
        targets: of the training clips.
        weights: ``[features]`` of the features in the fit.
        folds: indices of the training clips of each fold.
        mixtures: of two clips of one fold each, if clips can have several labels.
    """

    vectors: Vectors
    noises: Vectors
    targets: Targets
    weights: Vectors
    folds: Folds
    mixtures: Mixtures | None = None

    @property
    def negative(self) -> npt.NDArray[np.bool_]:
        """``[clips]``: whether a clip has no label of any head."""
        return without_label(self.targets)


def fit_linear_heads(
    context: RunContext, built: BuiltSystem
) -> tuple[FitResult, Predictions | None]:
    """Fit the heads, and predict each training clip by heads of the other folds.

    Returns:
        the result, with the fitted heads in the system; and the predictions, in which a clip has no
        true class where no other fold has its class. ``None`` without folds.

    Raises:
        AudioError: a clip cannot be read.
        SonotypeError: there is not enough space.
        StoppedError: interrupted.
    """
    try:
        data = linear_data(context, built)
        begin("fitting", show=context.progress)
        return fit_to_data(context, built.system, data)
    except KeyboardInterrupt:
        raise StoppedError(
            f"{context.folder}: interrupted; continue with --resume {context.folder}"
        ) from None


def linear_data(context: RunContext, built: BuiltSystem) -> LinearData:
    """Compute or load the pooled vectors of the training clips."""
    options, clips = context.options, context.clips("train")
    folder = context.folder / "training"
    gigabytes = options.train.cache_gb
    store = (
        shared_store(gigabytes, context.on_message)
        if options.train.cache
        else own_store(folder, gigabytes)
    )
    device = device_of(options.train.device)
    vectors = pooled_vectors(
        built.system,
        clips,
        built.audio_spec,
        store,
        views=options.score.tta_shifts,
        device=device,
        decoded=context.manifest.decoded,
        progress=context.progress,
    )
    noises = noise_vectors(
        built.system, built.audio_spec, store, device=device, progress=context.progress
    )
    found = {name: target.long().numpy() for name, target in targets(clips, context.heads).items()}
    folds = folds_of(context)
    mixtures = None
    multi = all(head.problem == "multi" for head in context.heads)
    if multi and present_share(found) > DENSE:
        nothing = np.zeros(0, dtype=np.intp)
        mixtures = Mixtures(vectors[:0], nothing, nothing)
    elif multi:
        waveforms, mixed = _mixing(context, built, found, folds)
        mixtures = mixture_vectors(
            built.system,
            waveforms,
            mixed,
            store,
            views=options.score.tta_shifts,
            device=device,
            progress=context.progress,
        )
    shutil.rmtree(folder / "maps", ignore_errors=True)
    if context.manifest.decoded is not None:
        context.manifest.decoded.clear()
    built.system.cpu()  # heads are fitted and scored there
    weights = feature_weights(built.system)
    return LinearData(vectors, noises, found, weights, folds, mixtures)


def present_share(found: Targets) -> float:
    """Share of the known pairs of clip and class in which the class is present."""
    known = sum(int((target != IGNORE_INDEX).sum()) for target in found.values())
    return sum(int((target == 1).sum()) for target in found.values()) / max(known, 1)


def _mixing(
    context: RunContext, built: BuiltSystem, found: Targets, folds: Folds
) -> tuple[Waveforms, list[int]]:
    """Waveforms with mixtures, and the indices of the clips to mix: those with a class.

    Only clips of one fold are mixed, so that no fold learns from another.
    """
    clips = context.clips("train")
    fold_of = {index: number for number, fold in enumerate(folds) for index in fold}
    mixed = np.flatnonzero(~without_label(found)).tolist()
    rows = max(len(mixed) * context.options.score.tta_shifts, 1)
    copies = min(MOST_MIXTURES, max(1, MIXTURES // rows))
    waveforms = Waveforms(
        clips,
        built.audio_spec,
        Augmentation(between_class_mix=1.0, n_augmented=1 + copies),
        context.options.train.seed,
        [fold_of.get(index, -1) for index in range(len(clips))],
        context.manifest.decoded,
    )
    return waveforms, mixed


def folds_of(context: RunContext) -> Folds:
    """The folds of the split, or folds of its training clips; positions among these."""
    if context.split.folds:
        return context.split.folds
    return _more_folds(context, most=5)


def _more_folds(context: RunContext, *, most: int) -> Folds:
    train = context.split.train
    seed = context.options.train.seed
    folds = balanced_folds(context.manifest, train, most=most, seed=seed)
    position = {index: number for number, index in enumerate(train)}
    return tuple(tuple(position[index] for index in fold) for fold in folds)


def fit_to_data(
    context: RunContext, system: System, data: LinearData
) -> tuple[FitResult, Predictions | None]:
    """:func:`fit_linear_heads` for vectors that are known."""
    heads, balanced = context.heads, context.options.train.class_weights
    predictions = None
    fits: list[FoldFit] = []
    if data.folds:
        fits = fit_folds(
            data.vectors,
            data.targets,
            heads,
            data.weights,
            data.folds,
            class_weights=balanced,
            mixtures=data.mixtures,
            noises=data.noises,
        )
        logits, scored = held_out_logits(fits, data.vectors, data.targets, heads)
        heads = calibrated(heads, logits, data.targets, scored)
        true = {
            name: np.where(scored[name], target, IGNORE_INDEX)
            for name, target in data.targets.items()
        }
        predictions = predictions_of(context.clips("train"), heads, logits, true)
        heads, predictions = fit_thresholds(context, predictions, data.folds)
    else:
        heads = calibrated(heads, {}, {}, {})
    vectors, known = data.vectors, data.targets
    if data.mixtures is not None:
        everything = np.arange(len(vectors))
        vectors, known = with_mixtures(vectors, known, data.mixtures, everything, data.noises)
    linear = fit_linear(vectors, known, context.heads, data.weights, class_weights=balanced)
    linear.load_into(system)
    unknown = fit_unknown(context, system, linear, data, fits)
    threshold = None if unknown is None else THRESHOLD
    if predictions is not None:
        if unknown is not None:
            # Other folds may have measured clips that have no score.
            unknown = np.where(data.negative | ~predictions.negative, unknown, np.nan)
        agreement = agreement_of(linear, data, predictions)
        predictions = replace(
            predictions, unknown=unknown, unknown_threshold=threshold, agreement=agreement
        )
    return FitResult(None, None, False, heads, threshold), predictions


def agreement_of(
    linear: LinearHeads, data: LinearData, predictions: Predictions
) -> dict[str, npt.NDArray[np.float64]]:
    """By name of a ``"single"`` head the agreement of each clip with its nearest neighbours."""
    embedding = linear.embed(data.vectors).mean(axis=1)
    return {
        head.name: neighbour_agreement(embedding, data.targets[head.name], predictions.groups)
        for head in predictions.heads
        if head.problem == "single"
    }


def fit_thresholds(
    context: RunContext, predictions: Predictions, folds: Folds
) -> tuple[Heads, Predictions]:
    """The heads with thresholds, and the predictions with the classes that count as present.

    The thresholds of the heads are fitted to all predictions, those that decide about the clips of
    a fold to the predictions of the other folds.
    """
    chosen = context.options.score
    criterion = (chosen.thresholds, chosen.threshold_target)
    heads = with_thresholds(predictions, *criterion)
    present = {head.name: predictions.decided(head) for head in heads if head.problem == "multi"}
    for fold in folds if present else ():
        tested = np.asarray(fold, dtype=np.intp)
        others = predictions.take(np.setdiff1d(np.arange(len(predictions)), tested))
        for head in with_thresholds(others, *criterion):
            if head.problem == "multi":
                present[head.name][tested] = predictions.take(tested).decided(head)
    return heads, replace(predictions, heads=heads, present=present)


def calibrated(
    heads: Heads,
    logits: Mapping[str, Vectors],
    found: Targets,
    scored: Scored,
) -> Heads:
    """The heads with the temperatures that fit the held-out logits best, if there are any."""
    fitted = []
    for head in (replace(head, temperature=1.0) for head in heads):
        known = scored.get(head.name)
        temperature = DEFAULT_TEMPERATURE
        if known is not None and known.sum() >= FEW_SCORED:
            if head.problem == "multi":
                target = np.where(known, found[head.name], IGNORE_INDEX)
                temperature = fit_sigmoid_temperature(logits[head.name], target)
            else:
                proba = _probabilities(logits[head.name][known], head)
                temperature = fit_temperature(proba, found[head.name][known])
        fitted.append(replace(head, temperature=temperature))
    return tuple(fitted)


def predictions_of(
    clips: Sequence[Clip], heads: Heads, logits: Mapping[str, Vectors], true: Targets
) -> Predictions:
    """Predictions from the logits ``[clips, views, classes]``, averaged over views."""
    return Predictions(
        paths=tuple(clip.name for clip in clips),
        groups=tuple(clip.group for clip in clips),
        true=true,
        proba={head.name: _probabilities(logits[head.name], head).mean(axis=1) for head in heads},
        heads=heads,
    )


def _probabilities(logits: Vectors, head: Head) -> npt.NDArray[np.float64]:
    """Softmax (or sigmoid) of the logits ``[..., classes]`` of a head, in double precision."""
    values = logits.astype(np.float64)
    if head.problem == "multi":
        return np.asarray(expit(values / head.temperature))
    return tempered(np.exp(values - values.max(axis=-1, keepdims=True)), head.temperature)


def fit_unknown(
    context: RunContext,
    system: System,
    linear: LinearHeads,
    data: LinearData,
    fits: list[FoldFit],
) -> npt.NDArray[np.floating] | None:
    """Give the system its unknown score; return that of each clip, held out.

    ``None``, and no score, where too few clips can be held out, and where a clip can have several
    labels: there, the heads learn from sounds of no class themselves.
    """
    if any(head.problem == "multi" for head in context.heads):
        return None
    head: Head = head_of_unknown(context.heads, data.targets)
    target = data.targets[head.name]
    negative = data.negative
    if len(fits) < FEWEST_FOLDS:
        folds = _more_folds(context, most=FOLDS)
        if len(folds) > len(fits):
            balanced = context.options.train.class_weights
            labels = {head.name: target}
            fits = fit_folds(
                data.vectors, labels, (head,), data.weights, folds, class_weights=balanced
            )
    held_out, known = held_out_scores(fits, data.vectors, target, head, data.noises, negative)
    if known.sum() < MIN_CLIPS:
        return None
    labelled = target != IGNORE_INDEX
    score = fit_geometry(
        linear,
        data.vectors[labelled],
        target[labelled],
        len(head.classes),
        foreign_vectors(data.vectors[negative], data.noises),
    )
    set_threshold(score, held_out[known], context.options.score.keep_known)
    system.set_unknown(head.name, score.to(torch.float32))
    return np.where(known | negative, scores_of(score, held_out), np.nan)
