"""Windows that share maps, against the maps of the whole recording, pooled window by window."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, cast

import numpy as np
import pytest
import torch
from ensembles import with_members
from lively_systems import lively, lively_sound
from torch import Tensor, nn

from sonotype.audio.buffer import SampleBuffer, window_count, window_start
from sonotype.frontends.efficientat_logmel import EfficientATLogMel
from sonotype.frontends.vggish_logmel import VGGishLogMel
from sonotype.models.backbones.mobilenet import SqueezeExcitation
from sonotype.models.backbones.vggish import VGGish
from sonotype.models.build import cbir_1, cbir_2, cbir_4
from sonotype.models.shared_copy import shared_copy
from sonotype.models.system import System
from sonotype.sliding.chunk import ChunkLogMel, ChunkMaps, reach_of
from sonotype.sliding.shared import SharedWindows
from sonotype.sliding.squeeze import SlidingSqueeze
from sonotype.sliding.system_windows import (
    SystemNetwork,
    layout_of,
    reductions_of,
    system_windows,
)

SYSTEMS: dict[str, tuple[Callable[..., System], dict[str, Any]]] = {
    "joined": (cbir_1, {"backbone": partial(VGGish, width=0.125)}),
    "joined, positions": (cbir_1, {"backbone": "compact", "softmax_over": "positions"}),
    "joined, mean": (cbir_1, {"backbone": "none", "pooling": "mean"}),
    "joined, one map": (cbir_1, {"backbone": "compact", "width": 0.0}),
    "joined, two strides": (cbir_1, {"backbone": "mn01", "adapters": ()}),
    "separate": (cbir_2, {"backbone": "none"}),
    "separate, positions": (cbir_2, {"backbone": "none", "softmax_over": "positions"}),
    "separate, all adapters": (
        cbir_2,
        {"backbone": partial(VGGish, width=0.125), "adapters": (1, 2, 3, 4)},
    ),
    "separate, maximum": (cbir_2, {"backbone": "compact", "pooling": "max"}),
    "separate, blocks": (cbir_2, {"backbone": "compact", "pool_blocks": (2, 4)}),
    "small, all adapters": (cbir_2, {"backbone": "compact", "adapters": (1, 2, 3, 4)}),
    "small, alone": (cbir_2, {"backbone": "compact", "width": 0.0, "pooling": "attention_mean"}),
    "small, global maximum": (cbir_4, {"backbone": "compact"}),
    "small, statistics": (
        cbir_2,
        {"backbone": "compact", "width": 0.0, "pooling": "statistics", "pool_blocks": (3, 4)},
    ),
    "small, ensemble": (
        lambda **options: with_members(cbir_2(**options)),
        {"backbone": "compact", "width": 0.0, "pooling": "statistics", "pool_blocks": (3, 4)},
    ),
    "squeezed": (
        cbir_2,
        {"backbone": "mn01", "width": 0.0, "pool_blocks": (3, 4), "pooling": "attention_mean"},
    ),
    "squeezed, two branches": (cbir_2, {"backbone": "mn01", "adapters": ()}),
    "global maximum": (cbir_4, {"backbone": "none"}),
    "global maximum, squeezed": (cbir_4, {"backbone": "mn01", "pool_blocks": (1, 3)}),
}
systems = pytest.mark.parametrize("name", SYSTEMS)
SECONDS = 1.0
FRAMES_BEYOND = 8 * 96
"""Frames by which a recording exceeds a clip: its last window lies on every stride."""
LONG = {True: 24 * 96, False: 15 * 96}
"""Enough for several chunks with their context, in systems with and without squeezes."""


@cache
def build(name: str) -> System:
    """A system whose outputs differ from window to window."""
    function, options = SYSTEMS[name]
    torch.manual_seed(4)
    backbone = options["backbone"]
    own = {"backbone": backbone if isinstance(backbone, str) else backbone()}
    return lively(function(**{"categories": 3, "events": 7, "width": 0.06} | options | own))


def clip_samples(system: System) -> int:
    return round(SECONDS * system.sample_rate)


def recording(system: System, frames: int = FRAMES_BEYOND) -> np.ndarray:
    return lively_sound(system, clip_samples(system) / system.sample_rate + frames / 100)


@torch.no_grad()
def window_by_window(system: System, sound: np.ndarray, hop: float) -> Tensor:
    """Reference: all maps of the recording in one piece, cut, and pooled by the layers."""
    maps = ChunkMaps(system, clip_samples(system))
    rows = {}
    for layer in system.modules():
        if isinstance(layer, SqueezeExcitation):
            with_hook(layer, rows, system, clip_samples(system))
    sliding = {layer: SlidingSqueeze(layer, count) for layer, count in rows.items()}
    whole = cast(System, shared_copy(system, sliding))
    caught: list[list[Tensor]] = []
    hook = whole.pooling.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    whole(torch.from_numpy(sound)[None])
    hook.remove()
    outputs = []
    for index in range(window_count(len(sound), clip_samples(system), hop)):
        frame = float(window_start(index, hop)) / (system.sample_rate / 100)
        cut = []
        for x, stride, count in zip(caught[0], maps.strides, maps.counts, strict=True):
            first = int(np.floor(frame / stride + 0.5))
            cut.append(x[:, :, first : first + count])
        if all(x.shape[2] == count for x, count in zip(cut, maps.counts, strict=True)):
            outputs.append(side_by_side(*whole.classify(whole.pool_maps(cut)[0])[:2]))
    return torch.cat(outputs)


def side_by_side(logits: dict[str, Tensor], embedding: Tensor) -> Tensor:
    return torch.cat([*logits.values(), embedding], dim=1)


def with_hook(layer: nn.Module, rows: dict[nn.Module, int], system: System, samples: int) -> None:
    """Note how many rows a layer sees in a clip."""
    handle = layer.register_forward_hook(
        lambda module, given, _: rows.update({module: given[0].shape[2]})
    )
    system.branch_1(torch.zeros(1, samples))  # the system itself would run folded copies
    handle.remove()


def shared(
    system: System, sound: np.ndarray, hop: float, *, least: int = 1, **options: Any
) -> Tensor:
    """The outputs of all windows, from at least ``least`` chunks."""
    windows = system_windows(system, clip_samples(system), **options)
    outputs = list(windows.outputs(np.array_split(sound, 7), hop))
    assert len(outputs) >= least
    firsts = np.cumsum([0, *(len(output.embedding) for _, output in outputs)])
    assert [first for first, _ in outputs] == firsts[:-1].tolist()
    return torch.cat([side_by_side(output.logits, output.embedding) for _, output in outputs])


def is_squeezed(system: System) -> bool:
    return any(isinstance(layer, SqueezeExcitation) for layer in system.modules())


def tolerance_of(system: System) -> float:
    return 2e-3 if is_squeezed(system) else 1e-4


@systems
@pytest.mark.parametrize("hop", [0.24, 0.06])
def test_shared_windows_are_those_of_the_whole_recordings_maps(name: str, hop: float) -> None:
    system = build(name)
    sound = recording(system)
    wanted = window_by_window(system, sound, hop * system.sample_rate)
    assert len(wanted) == round(7.68 / hop) + 1
    if hop == 0.24:  # the other is shorter than a row
        assert (wanted[1:] - wanted[:-1]).abs().amax(1).min() > 10 * tolerance_of(system)
    for chunk in (96, 200, 5_000) if hop == 0.24 else (200,):
        actual = shared(system, sound, hop * system.sample_rate, chunk=chunk)
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=tolerance_of(system))


@pytest.mark.parametrize("name", ["small, alone", "small, all adapters", "joined, one map"])
@pytest.mark.parametrize("samples", [16_001, 16_050, 16_159])
def test_clips_that_end_within_a_frame(
    name: str, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zeros follow the last frames of each chunk; no row that counts depends on them."""
    monkeypatch.setitem(globals(), "SECONDS", samples / 16_000)
    system = build(name)
    sound = recording(system)
    wanted = window_by_window(system, sound, 3_840)
    for chunk in (96, 200):
        actual = shared(system, sound, 3_840, chunk=chunk)
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4)


@systems
def test_hops_that_fit_no_stride(name: str) -> None:
    """The last windows reach into silence, which the reference does not have."""
    system = build(name)
    sound = recording(system)
    wanted = window_by_window(system, sound, 0.25 * system.sample_rate)
    actual = shared(system, sound, 0.25 * system.sample_rate, chunk=300)
    assert len(actual) == 32
    sure = 12 if "squeezed" in name or "two" in name else 24
    torch.testing.assert_close(actual[:sure], wanted[:sure], rtol=1e-4, atol=tolerance_of(system))


@systems
def test_where_chunks_end_does_not_matter(name: str) -> None:
    system = build(name)
    squeezed = is_squeezed(system)
    sound = recording(system, LONG[squeezed])
    whole = shared(system, sound, 4_000, chunk=10_000)
    # Many short chunks are slow, the more so with the long context of squeezes.
    chunks = {97: 10, 400: 3} if squeezed else {33: 20, 400: 3}
    if name in ("joined", "small, alone"):
        chunks[1] = 20
    for chunk, least in chunks.items():
        actual = shared(system, sound, 4_000, chunk=chunk, least=least)
        torch.testing.assert_close(actual, whole, rtol=1e-4, atol=tolerance_of(system))


@systems
@torch.no_grad()
def test_a_recording_of_one_window_is_a_clip(name: str) -> None:
    system = build(name)
    sound = recording(system, frames=0)
    output = system(torch.from_numpy(sound)[None])
    wanted = side_by_side(output.logits, output.embedding)
    actual = shared(system, sound, 1_000.0)
    rounding = 5e-6 * float(wanted.abs().max())  # single precision, from the waveform on
    torch.testing.assert_close(actual, wanted, rtol=0, atol=rounding)


@torch.no_grad()
def test_adapters_from_mobilenet_lie_beside_their_rows() -> None:
    """Not so in a clip, whose 4 rows of 32 frames an adapter brings to 6 of 16."""
    system = lively(cbir_2(categories=3, events=7, backbone="mn01", width=0.06))
    sound = recording(system, LONG[True])
    whole = shared(system, sound, 4_000, chunk=10_000)
    actual = shared(system, sound, 4_000, chunk=400, least=3)
    torch.testing.assert_close(actual, whole, rtol=1e-4, atol=2e-3)


@systems
@torch.no_grad()
def test_a_row_depends_on_no_more_than_its_reach(name: str) -> None:
    """Sound that changes further away than the reach changes nothing; nearer it does."""
    system = build(name)
    if is_squeezed(system):
        pytest.skip("a squeeze reaches further")
    maps = ChunkMaps(system, clip_samples(system))
    grown = 960
    sound = torch.from_numpy(recording(system, grown))[None]
    changed = sound.clone()
    changed[:, 500 * maps.frame :] += 0.1
    for one, other, stride in zip(
        maps(sound, grown), maps(changed, grown), maps.strides, strict=True
    ):
        rows = (one - other).abs().amax((0, 1, 3)) > 1e-5
        first = int(rows.int().argmax()) * stride
        assert 500 - maps.reach - stride <= first < 500


@pytest.mark.parametrize("name", ["squeezed, two branches", "joined, one map", "joined"])
@pytest.mark.parametrize("grown", [96, 960, 1_920])
@torch.no_grad()
def test_log_mels_in_pieces_are_those_of_the_whole(name: str, grown: int) -> None:
    system = build(name)
    maps = ChunkMaps(system, clip_samples(system))
    sound = recording(system, grown)
    wanted = maps.log_mels(torch.from_numpy(sound)[None], grown)

    def front_ends(waveform: np.ndarray) -> list[np.ndarray]:
        return [x.numpy() for x in maps.system.log_mels(torch.from_numpy(waveform))]

    found = layout_of(maps).log_mels(front_ends, sound)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["joined, positions", "squeezed"])
def test_chunks_side_by_side_have_the_same_windows_in_order(name: str) -> None:
    system = build(name)
    sound, hop = recording(system, LONG[True]), 0.3337 * system.sample_rate
    maps = ChunkMaps(system, clip_samples(system))
    both = []
    for threads in (1, 3):
        windows = SharedWindows(
            layout_of(maps, 97), reductions_of(maps), SystemNetwork(maps), threads=threads
        )
        outputs = list(windows.outputs(np.array_split(sound, 7), hop))
        assert len(outputs) > 5
        both.append([(first, output.embedding.numpy()) for first, output in outputs])
    for (first, one), (same, other) in zip(*both, strict=True):
        assert first == same
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_the_original_is_left_as_it_was() -> None:
    system = build("squeezed")
    before = {name: one.clone() for name, one in system.state_dict().items()}
    kinds = [type(one) for one in system.modules()]
    shared(system, recording(system), 8_000)
    assert [type(one) for one in system.modules()] == kinds
    assert all(torch.equal(one, before[name]) for name, one in system.state_dict().items())
    assert not any(one._forward_hooks for one in system.modules())


# Front ends, reach, counting


def test_the_log_mel_of_a_chunk_has_all_frames() -> None:
    front_end = VGGishLogMel()
    waveform = 0.1 * torch.randn(1, 17_000, generator=torch.manual_seed(0))
    whole, longer = front_end(waveform), ChunkLogMel(front_end)(waveform)
    assert longer.shape[1] >= whole.shape[1] + 96
    torch.testing.assert_close(longer[:, : whole.shape[1]], whole, rtol=0, atol=2e-5)
    padded = VGGishLogMel(pad_end=True)  # it pads the end by itself
    assert torch.equal(ChunkLogMel(padded)(waveform), padded(waveform))
    other = 0.1 * torch.randn(1, 34_000, generator=torch.manual_seed(0))
    assert torch.equal(ChunkLogMel(EfficientATLogMel())(other), EfficientATLogMel()(other))


def test_reach_by_hand() -> None:
    convs = [nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Conv2d(1, 1, 5, stride=2), nn.Conv2d(1, 1, 3)]
    assert reach_of([nn.Sequential(*convs)]) == 1 + 1 + 2 * 2 + 4 * 1
    assert reach_of([]) == 0


@pytest.mark.parametrize(
    ("total", "samples", "hop", "count"),
    [
        (1, 50, 10, 1),
        (50, 50, 10, 1),
        (51, 50, 10, 2),
        (60, 50, 10, 2),
        (61, 50, 10, 3),
        (100, 50, 50, 2),
        (100, 50, 100, 1),
        (101, 50, 100, 2),
        (120, 50, 70, 2),
        (75, 50, 70, 2),
        (60, 50, 70, 1),
        (1_000, 50, 1, 951),
        (1_000, 50, 33.3, 30),
    ],
)
def test_windows_until_all_is_heard(total: int, samples: int, hop: float, count: int) -> None:
    assert window_count(total, samples, hop) == count
    starts = [int(window_start(index, hop)) for index in range(count)]
    assert starts[-1] < total
    if hop <= samples:
        assert starts[-1] + samples >= total
        assert count == 1 or starts[-2] + samples < total


def test_a_buffer_keeps_what_is_needed() -> None:
    samples = np.arange(100, dtype=np.float32)
    buffer = SampleBuffer(np.array_split(samples, 9))
    assert buffer.reaches(20)
    np.testing.assert_array_equal(buffer.part(3, 20), samples[3:20])
    buffer.forget(70)
    assert buffer.reaches(90)
    np.testing.assert_array_equal(buffer.part(70, 90), samples[70:90])
    assert not buffer.reaches(101)
    assert buffer.end == 100
    np.testing.assert_array_equal(buffer.part(95, 105), [*samples[95:], 0, 0, 0, 0, 0])
    buffer.forget(1_000)
    np.testing.assert_array_equal(buffer.part(1_000, 1_003), [0, 0, 0])
