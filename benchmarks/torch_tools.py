"""What the peers that run on torch share. Import it late: torch comes with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peer import Answer, Clips
from benchmarks.ways import Batched


def parameters_of(module: nn.Module) -> int:
    """All that is in its model file and was learnt."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.inference_mode()
def multiply_adds_of(run: Callable[[], Any]) -> int:
    """Of convolutions and matrix products in one run."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) // 2


def shared_out(batch: Batched, size: int, threads: int) -> Batched:
    """Batches dealt out among threads, each of which lets torch have one thread."""
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def run(clips: Clips) -> Answer:
        parts = [clips[start : start + size] for start in range(0, len(clips), size)]
        return np.concatenate(list(pool.map(batch, parts)))

    return run
