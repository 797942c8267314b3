from __future__ import annotations

import pytest

from sonotype.modelfile.weights_registry import WEIGHTS
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.backbones.names import BACKBONES, BUILTIN, COMPACT, NO_BACKBONE, build_backbone
from sonotype.models.backbones.vggish import VGGish


def test_names_are_those_of_the_published_weights() -> None:
    published = set(BACKBONES) - {COMPACT, BUILTIN}
    assert published == {entry.name for entry in WEIGHTS}
    assert NO_BACKBONE not in BACKBONES


def test_each_name_gives_its_network() -> None:
    vggish = build_backbone("vggish", width=0.125)
    assert isinstance(vggish, VGGish)
    assert vggish.channels == (64, 128, 256, 512)  # a width is not for the published ones
    mobile = build_backbone("mn02", width=0.125)
    assert isinstance(mobile, MobileNet)
    assert mobile.channels == (8, 8, 24, 192)
    assert mobile.tagger is None
    scratch = build_backbone("none", width=0.25)
    assert isinstance(scratch, VGGish)
    assert scratch.channels == (16, 32, 64, 128)
    assert not scratch.blocks[0][0].bias.any()  # He's initialisation, not PyTorch's


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(ValueError) as caught:
        build_backbone("resnet")
    assert str(caught.value) == (
        "there is no backbone 'resnet'; there are vggish, mn01, mn02, mn04, mn05, mn10, mn20, "
        "mn30, mn40, compact, builtin, none"
    )
