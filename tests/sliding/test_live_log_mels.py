"""Log-mels that are kept from chunk to chunk equal those of the whole sound."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonotype.audio.buffer import SampleBuffer
from sonotype.config import SystemOptions
from sonotype.core.types import Head
from sonotype.models.build import build_system
from sonotype.sliding.chunk import ChunkMaps
from sonotype.sliding.layout import Layout, Pace
from sonotype.sliding.live_log_mels import LiveLogMels
from sonotype.sliding.system_windows import SystemRows, layout_of


@pytest.mark.parametrize(
    "options",
    [
        {"system": "cbir_2", "backbone": "mn04", "width": 0.05, "seconds": 1.0},
        {"system": "cbir_2", "backbone": "vggish", "width": 0.05, "seconds": 2.0},
        {"system": "cbir_2", "backbone": "compact", "width": 0.0, "pooling": "statistics"},
    ],
    ids=lambda options: options["backbone"],
)
def test_log_mels_of_chunks(options: dict) -> None:  # type: ignore[type-arg]
    torch.manual_seed(1)
    chosen = SystemOptions(**options)
    system = build_system(chosen, (Head("event", ("a", "b"), "single"),)).eval()
    rate = system.sample_rate
    network = SystemRows(ChunkMaps(system, round(chosen.seconds * rate)))
    layout = layout_of(network.maps).at_pace(Pace(0.7, 0.3))
    computed = 0

    def front_ends(waveform: np.ndarray) -> list[np.ndarray]:
        nonlocal computed
        computed += len(waveform)
        return network.log_mels(waveform)

    sound = np.random.default_rng(2).normal(size=20 * rate + 77).astype(np.float32) * 0.1
    sound = np.concatenate([sound[: 10 * rate], sound[10 * rate :] * 0.01])
    mels, count = LiveLogMels(layout, front_ends), 0
    for chunk in layout.chunks(SampleBuffer([sound]), 0.5 * rate):
        start = chunk.first * layout.frame
        end = start + chunk.grown * layout.frame + layout.samples
        waveform = np.pad(sound, (0, max(0, end - len(sound))))[start:end]
        wanted = network.maps.log_mels(torch.from_numpy(waveform)[None], chunk.grown)
        found = mels.of_chunk(chunk, waveform)
        for one, other in zip(found, wanted, strict=True):
            # Before the chunk there is sound, or silence if it is computed alone: three frames.
            inner = slice(3 if chunk.first else 0, None)
            assert one.shape == other.shape
            assert one[:, :, inner] == pytest.approx(other.numpy()[:, :, inner], abs=2e-4)
        count += 1
    assert count > 10
    assert computed < 1.35 * len(sound)


@pytest.mark.parametrize("context", [112, 832])
@pytest.mark.parametrize(("step", "lookahead"), [(0.1, 0.0), (0.32, 0.5), (1.0, 3.0), (9.0, 60.0)])
def test_a_chunk_waits_for_no_more_sound_than_it_must(
    context: int, step: float, lookahead: float
) -> None:
    layout = Layout(80_000, 160, (500,), 16, context, 5760, (8, 16), (63, 32))
    live = layout.at_pace(Pace(step, lookahead))
    assert live.lookahead == min(max(round(lookahead * 100), 3), context)
    sound = SampleBuffer([np.zeros(60 * 16_000, np.float32)])
    chunks = [chunk for chunk in live.chunks(sound, 16_000.0) if chunk.end is not None]
    assert len(chunks) > 3
    for chunk in chunks:
        assert chunk.end is not None
        assert chunk.first % 16 == chunk.grown % 16 == 0
        assert chunk.first <= max(chunk.core - context, 0), "as much context as in a file"
        waits = chunk.first + chunk.grown + 500 - chunk.end
        assert waits >= live.lookahead or chunk.end + live.lookahead < 500
        if chunk.end > 500:
            assert waits < live.lookahead + 16
