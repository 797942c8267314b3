"""Frames from shared maps, against the maps of the whole recording, pooled frame by frame."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from ensembles import with_members

from sonotype.inference.torch_engine import TorchEngine
from sonotype.models.build import cbir_2
from sonotype.models.frame_head import FrameHead, frame_reductions, scales_within
from sonotype.models.system import System
from sonotype.sliding.chunk import ChunkMaps
from sonotype.sliding.frames import SharedFrames, frame_bounds, rows_of_clip
from sonotype.sliding.shared import RowReduction
from sonotype.sliding.system_frames import (
    FrameNetwork,
    frame_features,
    frame_scales,
    has_frames,
    system_frames,
)
from sonotype.sliding.system_windows import layout_of

BACKBONES = ("compact", "mn01")


@cache
def system_of(backbone: str) -> System:
    torch.manual_seed(3)
    return cbir_2(
        categories=3, events=0, width=0.0, backbone=backbone, pooling="statistics",
        pool_blocks=(3, 4),
    ).eval()  # fmt: skip


def sound(seconds: float, rate: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    return (rng.normal(size=round(seconds * rate)) * 0.1).astype(np.float32)


def slow_vectors(system: System, samples: int, waveform: np.ndarray) -> np.ndarray:
    """Each frame pooled by itself, from maps of the whole padded recording."""
    maps = ChunkMaps(system, samples)
    layout = layout_of(maps)
    unit, rows = layout.coarsest * layout.frame, rows_of_clip(layout)
    centre = (rows - 1) // 2
    padded = np.concatenate(
        [np.zeros(centre * unit), waveform, np.zeros((rows - centre) * unit)]
    ).astype(np.float32)
    grown = max(-(-(len(padded) - samples) // unit), 0) * layout.coarsest
    padded = np.pad(padded, (0, samples + grown * layout.frame - len(padded)))
    with torch.inference_mode():
        found = maps(torch.from_numpy(padded)[None], grown)
        frames = []
        for frame in range(int(np.ceil(len(waveform) / unit))):
            vector = []
            for scale in scales_within(rows):
                for pooling, (index,) in frame_reductions(system.pooling.reductions()):
                    fine = layout.coarsest // layout.strides[index]
                    # As many rows before as behind the row at the time of the frame.
                    middle, half = (frame + centre) * fine, (scale * fine - 1) // 2
                    part = found[index][:, :, middle - half : middle + half + 1]
                    vector.append(pooling(part)[0][0])
            frames.append(torch.cat(vector).numpy())
    return np.stack(frames)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frames_have_the_statistics_of_the_rows_around_them(backbone: str) -> None:
    system = system_of(backbone)
    samples = 2 * system.sample_rate
    waveform = sound(9.3, system.sample_rate)
    shared = system_frames(system, samples, vectors=True)
    found = np.concatenate([vectors for _, vectors in shared.outputs([waveform])])
    expected = slow_vectors(system, samples, waveform)
    assert len(found) >= len(expected)
    np.testing.assert_allclose(found[: len(expected)], expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("threads", [1, 2])
def test_chunks_and_pieces_do_not_matter(backbone: str, threads: int) -> None:
    system = system_of(backbone)
    rate = system.sample_rate
    samples, waveform = 2 * rate, sound(70.0 if backbone == "mn01" else 40.0, rate)
    maps = ChunkMaps(system, samples)
    scales = scales_within(rows_of_clip(layout_of(maps)))
    reductions = [
        RowReduction(pooling.operation, indices)
        for pooling, indices in frame_reductions(system.pooling.reductions())
    ]
    whole, chunked = (
        SharedFrames(
            layout_of(maps, chunk), reductions, FrameNetwork(maps, scales), scales, threads=threads
        )
        for chunk in (100_000, 960)
    )
    one = list(whole.outputs([waveform]))
    many = list(chunked.outputs(np.array_split(waveform, 17)))
    assert len(one) == 1
    assert len(many) > 1
    assert [first for first, _ in many] == np.cumsum([0, *(len(v) for _, v in many)])[:-1].tolist()
    np.testing.assert_allclose(
        np.concatenate([vectors for _, vectors in many]), one[0][1], atol=2e-3, rtol=2e-3
    )


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 5.0, 5.13, 20.4])
def test_every_moment_of_a_recording_has_a_frame(seconds: float) -> None:
    system = system_of("compact")
    rate = system.sample_rate
    shared = system_frames(system, rate, vectors=True)
    count = sum(len(vectors) for _, vectors in shared.outputs([sound(seconds, rate)]))
    times = frame_bounds(0, count, shared.unit / rate, seconds)
    assert times[0] == 0
    assert times[-1] == seconds
    assert (np.diff(times) >= 0).all()


def test_a_sound_is_in_the_frame_of_its_time() -> None:
    system = system_of("mn01")
    rate = system.sample_rate
    waveform = sound(12.0, rate) * 0.001
    shared = system_frames(system, 2 * rate, vectors=True)
    quiet = np.concatenate([vectors for _, vectors in shared.outputs([waveform])])
    waveform[round(6.0 * rate) : round(6.1 * rate)] += sound(0.1, rate)
    loud = np.concatenate([vectors for _, vectors in shared.outputs([waveform])])
    size = loud.shape[1] // len(frame_scales(system, 2 * rate))
    local = np.abs(loud - quiet)[:, :size].sum(axis=1)
    times = frame_bounds(0, len(loud), shared.unit / rate, 12.0)
    best = int(local.argmax())
    assert times[best] - 0.16 <= 6.05 <= times[best + 1] + 0.16


def test_scales_fit_into_a_clip() -> None:
    assert scales_within(16) == (1, 3, 7)
    assert scales_within(4) == (1, 3)
    assert frame_scales(system_of("mn01"), 5 * 32_000) == (1, 3, 7)
    assert frame_scales(system_of("mn01"), 32_000) == (1, 3)


def test_only_poolings_without_weights_have_frames() -> None:
    assert has_frames(system_of("compact"))
    attention = cbir_2(categories=2, events=0, width=0.0, backbone="compact")
    assert not has_frames(attention)


def test_members_of_an_ensemble_change_no_frame() -> None:
    def alone() -> System:
        torch.manual_seed(7)
        return cbir_2(
            categories=3, events=0, width=0.0, backbone="compact", pooling="statistics",
            pool_blocks=(3, 4),
        ).eval()  # fmt: skip

    system = alone()
    ensemble = with_members(alone()).eval()
    waveform = sound(6.0, system.sample_rate)
    shared = [system_frames(one, one.sample_rate, vectors=True) for one in (system, ensemble)]
    found = [np.concatenate([v for _, v in one.outputs([waveform])]) for one in shared]
    np.testing.assert_allclose(*found, atol=1e-6)


def test_an_engine_gives_probabilities_of_frames() -> None:
    system = system_of("compact")
    rate = system.sample_rate
    assert TorchEngine(system, ()).frames([sound(3.0, rate)], rate) is None
    assert TorchEngine(system, ()).frame_seconds is None
    torch.manual_seed(2)
    scales = frame_scales(system, rate)
    head = FrameHead(scales, frame_features(system), 4)
    vectors = np.concatenate(
        [v for _, v in system_frames(system, rate, vectors=True).outputs([sound(3.0, rate)])]
    )
    with torch.inference_mode():
        expected = head(torch.from_numpy(vectors)).sigmoid().numpy()
    system.set_frame_head(head)
    try:
        engine = TorchEngine(system, ())
        frames = engine.frames([sound(3.0, rate)], rate)
        assert frames is not None
        found = np.concatenate([scores for _, scores in frames])
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert engine.frame_seconds == system_frames(system, rate).unit / rate
    finally:
        system.frame_head = None
