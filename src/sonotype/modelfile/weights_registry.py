"""The table of pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sonotype.core.errors import WeightsError


@dataclass(frozen=True)
class WeightsEntry:
    """A published file of weights.

    Attributes:
        name: of the backbone.
        file: name of the file, as published.
        address: URL of the file.
        parameters: trainable parameters of the network, without batch-norm statistics.
        licence: SPDX identifier of the licence of the weights.
        citation: the paper to cite.
        size: its exact size in bytes; ``None`` if unknown.
        sha256: hex digest of the file, or its first digits if only these are published.
    """

    name: str
    file: str
    address: str
    parameters: int
    licence: str
    citation: str
    size: int | None = None
    sha256: str | None = None

    @property
    def approximate_size(self) -> int:
        """Size in bytes; if unknown, four bytes for each parameter."""
        return self.size if self.size is not None else 4 * self.parameters


_VGGISH_RELEASE = "https://github.com/harritaylor/torchvggish/releases/download/v0.1"
_EFFICIENTAT_RELEASE = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1"

_HERSHEY = (
    "Hershey, S., Chaudhuri, S., Ellis, D. P. W., et al. (2017). CNN architectures for "
    "large-scale audio classification. ICASSP 2017."
)
_SCHMID = (
    "Schmid, F., Koutini, K., & Widmer, G. (2023). Efficient large-scale audio tagging via "
    "transformer-to-CNN knowledge distillation. ICASSP 2023."
)


def _mn(name: str, mean_average_precision: int, parameters: int) -> WeightsEntry:
    """A MobileNet of EfficientAT; the file name holds its AudioSet mAP in thousandths."""
    file = f"{name}_as_mAP_{mean_average_precision}.pt"
    return WeightsEntry(
        name, file, f"{_EFFICIENTAT_RELEASE}/{file}", parameters, licence="MIT", citation=_SCHMID
    )


WEIGHTS: tuple[WeightsEntry, ...] = (
    WeightsEntry(
        name="vggish",
        file="vggish-10086976.pth",
        address=f"{_VGGISH_RELEASE}/vggish-10086976.pth",
        parameters=72_141_184,
        licence="Apache-2.0",
        citation=_HERSHEY,
        sha256="10086976",
    ),
    _mn("mn01", 298, 123_783),
    _mn("mn02", 378, 324_695),
    replace(
        _mn("mn04", 432, 983_599),
        size=4_066_513,
        sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
    ),
    _mn("mn05", 443, 1_431_239),
    _mn("mn10", 471, 4_876_831),
    _mn("mn20", 478, 17_909_287),
    _mn("mn30", 482, 39_086_367),
    _mn("mn40", 484, 68_427_303),
)


def entry(name: str) -> WeightsEntry:
    """Look up the weights of this name.

    Raises:
        WeightsError: an unknown name, with the known ones.
    """
    for candidate in WEIGHTS:
        if candidate.name == name:
            return candidate
    names = ", ".join(candidate.name for candidate in WEIGHTS)
    raise WeightsError(f"there are no weights called {name!r}; the names are {names}")
