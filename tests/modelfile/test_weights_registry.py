from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sonotype.core.errors import WeightsError
from sonotype.modelfile.weights_registry import WEIGHTS, entry

NAMES = ["vggish", "mn01", "mn02", "mn04", "mn05", "mn10", "mn20", "mn30", "mn40"]


def test_names_files_and_addresses() -> None:
    assert [weights.name for weights in WEIGHTS] == NAMES
    assert [weights.file for weights in WEIGHTS] == [
        "vggish-10086976.pth",
        "mn01_as_mAP_298.pt",
        "mn02_as_mAP_378.pt",
        "mn04_as_mAP_432.pt",
        "mn05_as_mAP_443.pt",
        "mn10_as_mAP_471.pt",
        "mn20_as_mAP_478.pt",
        "mn30_as_mAP_482.pt",
        "mn40_as_mAP_484.pt",
    ]
    for weights in WEIGHTS:
        assert weights.address.startswith("https://github.com/")
        assert weights.address.endswith(f"/{weights.file}")


def test_licences_and_citations() -> None:
    assert entry("vggish").licence == "Apache-2.0"
    assert "Hershey" in entry("vggish").citation
    for name in NAMES[1:]:
        assert entry(name).licence == "MIT"
        assert "Schmid" in entry(name).citation


def test_digests_are_well_formed() -> None:
    for weights in WEIGHTS:
        if weights.sha256 is not None:
            assert len(weights.sha256) == (8 if weights.name == "vggish" else 64)
            int(weights.sha256, base=16)


def test_an_unknown_name_lists_the_known_names() -> None:
    with pytest.raises(WeightsError) as caught:
        entry("mn99")
    for name in ("mn99", *NAMES):
        assert name in str(caught.value)


def test_an_unknown_size_is_estimated_from_the_parameters() -> None:
    assert entry("mn04").approximate_size == 4_066_513
    assert entry("mn10").approximate_size == 4 * entry("mn10").parameters


# The parameter counts, from the published tables of layers


def test_vggish_parameters() -> None:
    convolutions = [(1, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    dense = [(12288, 4096), (4096, 4096), (4096, 128)]
    count = sum(9 * before * after + after for before, after in convolutions)
    count += sum(before * after + after for before, after in dense)
    assert entry("vggish").parameters == count


# kernel, expanded, out, squeeze-and-excitation
BLOCKS = [
    (3, 16, 16, False),
    (3, 64, 24, False),
    (3, 72, 24, False),
    (5, 72, 40, True),
    (5, 120, 40, True),
    (5, 120, 40, True),
    (3, 240, 80, False),
    (3, 200, 80, False),
    (3, 184, 80, False),
    (3, 184, 80, False),
    (3, 480, 112, True),
    (3, 672, 112, True),
    (5, 672, 160, True),
    (5, 960, 160, True),
    (5, 960, 160, True),
]


def _to_eight(width: float) -> int:
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


@pytest.mark.parametrize("name", NAMES[1:])
def test_mobilenet_parameters(name: str) -> None:
    multiplier = int(name.removeprefix("mn")) / 10

    def convolution(before: int, after: int, kernel: int = 1) -> int:
        return kernel * kernel * before * after + 2 * after  # with its batch norm

    def dense(before: int, after: int) -> int:
        return before * after + after

    width = _to_eight(16 * multiplier)
    count = convolution(1, width, 3)
    for kernel, full_expanded, full_out, squeezes in BLOCKS:
        expanded, out = _to_eight(full_expanded * multiplier), _to_eight(full_out * multiplier)
        if expanded != width:
            count += convolution(width, expanded)
        count += convolution(1, expanded, kernel)  # one filter a channel
        if squeezes:
            squeezed = _to_eight(expanded // 4)
            count += dense(expanded, squeezed) + dense(squeezed, expanded)
        count += convolution(expanded, out)
        width = out
    hidden = _to_eight(1280 * multiplier)
    count += convolution(width, 6 * width) + dense(6 * width, hidden) + dense(hidden, 527)
    assert entry(name).parameters == count


def test_mn04_is_the_published_file(assets: Path) -> None:
    content = (assets / "weights" / entry("mn04").file).read_bytes()
    assert len(content) == entry("mn04").size
    assert hashlib.sha256(content).hexdigest() == entry("mn04").sha256
