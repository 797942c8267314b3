"""A backbone with weights: published ones, the built-in model's, or those of any model file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sonotype.core.errors import OptionsError, WeightsError
from sonotype.modelfile.builtin import builtin_path
from sonotype.modelfile.model_file import load_model
from sonotype.modelfile.state import read_state_dict
from sonotype.modelfile.weights_cache import weights_path
from sonotype.models.backbones.compact import Compact
from sonotype.models.backbones.names import BUILTIN, COMPACT, NO_BACKBONE, Backbone, build_backbone

AUTO, PREFERRED = "auto", "mn04"
"""Take the preferred backbone where its weights can be had, else the built-in one."""

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Pretrained:
    """A backbone with its weights.

    Attributes:
        backbone: the network.
        name: under which its shape is built again.
        licences: of the weights and of what they were learnt from, by name.
    """

    backbone: Backbone
    name: str
    licences: Mapping[str, str] = field(default_factory=dict)


def load_pretrained(name: str, *, progress: bool = False) -> Pretrained:
    """A backbone by its name, or the first branch of a model file by its path.

    Raises:
        ModelFileError: the model file is refused.
        OptionsError: the model's first branch was as wide as its options said, so that no name
            stands for it.
        WeightsError: no such weights, the file cannot be had, or does not fit the network.
    """
    if file := model_file_of(name):
        return _of_model(file, BUILTIN if name == BUILTIN else "")
    backbone = load_backbone(name, progress=progress)
    return Pretrained(backbone, name, {name: backbone.licence})


def model_file_of(name: str) -> Path | None:
    """The model file that a backbone's weights are in; ``None`` for published ones and for none."""
    if name == BUILTIN:
        return builtin_path()
    return Path(name) if is_model_file(name) else None


def is_model_file(name: str) -> bool:
    """Whether a backbone is named by the path of a model file."""
    return name.endswith(SUFFIX)


def available(name: str, *, progress: bool = False, on_message: Callable[[str], None]) -> str:
    """The name itself; for ``"auto"`` the preferred backbone, or the built-in one with a word.

    Raises:
        WeightsError: neither can be had.
    """
    if name != AUTO:
        return name
    try:
        weights_path(PREFERRED, progress=progress)
    except WeightsError as error:
        try:
            builtin_path()
        except WeightsError:
            raise error from None
        on_message(f"backbone {BUILTIN}, since {PREFERRED} cannot be had: {error}")
        return BUILTIN
    return PREFERRED


def load_backbone(name: str, *, progress: bool = False) -> Backbone:
    """Build a published backbone and fill it from its file, downloaded where it is not at hand.

    Args:
        name: a name of the registry, such as ``mn04``.
        progress: draw a bar while downloading.

    Raises:
        WeightsError: no such weights, the file cannot be had, or does not fit the network.
    """
    path = weights_path(name, progress=progress)
    backbone = build_backbone(name)
    if isinstance(backbone, Compact):
        raise WeightsError(f"no weights of {name} are published")
    try:
        backbone.load_state_dict(backbone.rename(read_state_dict(path)))
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path} does not hold the weights of {name}: {detail}") from None
    return backbone


def _of_model(path: Path, name: str = "") -> Pretrained:
    system, card = load_model(path)
    shape = card.options.backbone
    if shape == NO_BACKBONE:
        raise OptionsError(
            f"{path} was trained with backbone {NO_BACKBONE}, whose width is its own; name a model "
            "with another one"
        )
    licences = dict(card.licences)
    return Pretrained(system.branch_1, name or (BUILTIN if shape == COMPACT else shape), licences)
