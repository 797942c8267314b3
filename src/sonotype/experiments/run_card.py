"""The model card of a run: what the model file records of its training."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from sonotype.config import to_dict
from sonotype.core.version import __version__
from sonotype.experiments.context import BuiltSystem, RunContext
from sonotype.experiments.run_folder import PATHS
from sonotype.modelfile.card import ModelCard
from sonotype.training.provenance import SEEN, digests_of, sound_of, union_of
from sonotype.training.result import FitResult

PACKAGES = ("torch", "pytorch-lightning", "numpy", "soundfile", "soxr", "scikit-learn")


def build_card(context: RunContext, built: BuiltSystem, fitted: FitResult) -> ModelCard:
    """The card of a trained system, without scores."""
    options, manifest, split = context.options, context.manifest, context.split
    system = built.system
    front_ends = [system.branch_1.front_end, system.front_end_2]
    licences = dict(built.licences)
    if manifest.licence:
        licences[f"data {manifest.name}"] = manifest.licence
    seen = union_of([built.seen, frozenset(map(sound_of, context.clips("train", "val")))])
    teaching = to_dict(options.teaching)
    return ModelCard(
        options=built.options,
        heads=fitted.heads or context.heads,
        sample_rate=system.sample_rate,
        front_ends=tuple(type(each).__name__ for each in front_ends if each is not None),
        category_source=options.score.category_source,
        tta_shifts=options.score.tta_shifts,
        unknown_head=system.unknown_head,
        unknown_threshold=fitted.unknown_threshold,
        detection=fitted.detection,
        training={
            "data": manifest.name,
            "synthetic": manifest.synthetic,
            "fingerprint": context.fingerprint,
            SEEN: digests_of(seen),
            "clips": {name: len(getattr(split, name)) for name in ("train", "val", "test")},
            "protocol": split.protocol,
            "grouped": split.grouped,
            "options": to_dict(options.train),
            "split": to_dict(options.split),
            "source": to_dict(options.source),
            "backbone": _short(options.system.backbone),
            "teaching": teaching | {name: list(map(_short, teaching[name])) for name in PATHS},
            "best_epoch": fitted.best_epoch,
            "val_f1": fitted.best_score,
            "interrupted": fitted.interrupted,
        },
        versions={
            "sonotype": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        licences=licences,
    )


def _short(path: str) -> str:
    """The last two parts of a path: a model file must not reveal the folders of a machine."""
    return "/".join(Path(path).parts[-2:])
