"""``sonotype distill``: train a small model on the predictions of accurate models."""

from __future__ import annotations

from typing import Any

from sonotype.cli.flags import Verbose, with_options
from sonotype.cli.train_command import Data, Out, Resume, run_training
from sonotype.config import (
    ScoreOptions,
    SplitOptions,
    SystemOptions,
    TeachingOptions,
    TrainOptions,
)
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions

DEFAULTS = {"recipe": "student"}


@with_options(
    DEFAULTS,
    Distillation=TeachingOptions,
    Student=SystemOptions,
    Training=TrainOptions,
    Split=SplitOptions,
    Data=SourceOptions,
    Scores=ScoreOptions,
)
def distill(
    data: Data = None,
    out: Out = None,
    resume: Resume = None,
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Train a small student model from teacher models.

    The targets of a clip come from teachers that were not trained on it.

    Example: sonotype distill recordings --teacher runs/first --out runs/small
    """
    if resume is None and not options.get("teachers"):
        raise OptionsError("--teacher MODEL is required")
    if resume is None:
        options = DEFAULTS | options
    run_training(data, out, resume, options | {"verbose": verbose})
