"""``sonotype distill``: train a small model on the predictions of accurate models."""

from __future__ import annotations

from typing import Any

from sonotype.cli.flags import Verbose, with_options
from sonotype.cli.train_command import Data, NoReport, Out, Resume, run_training
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
    no_report: NoReport = False,
    **options: Any,
) -> None:
    """Train a small student model from teacher models.

    Example: sonotype distill recordings --teacher runs/a --out runs/b --evaluation none
    """
    if resume is None and not options.get("teachers"):
        raise OptionsError("--teacher MODEL is required")
    if resume is None:
        options = DEFAULTS | clips_of(options["teachers"][0]) | options
    run_training(data, out, resume, options | {"verbose": verbose}, report=not no_report)


def clips_of(teacher: str) -> dict[str, Any]:
    """The options of a teacher's clips; a student has the same, unless others are set."""
    from sonotype.inference.locate import find_model
    from sonotype.modelfile.model_file import read_card

    options = read_card(find_model(teacher)).options
    return {name: getattr(options, name) for name in ("seconds", "pad", "crop", "trim")}
