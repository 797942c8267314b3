"""How many clips are worked through: in batches, or one by one, by one thread or by several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.peer import Answer, Clips

Batched = Callable[[Clips], Answer]


def in_batches(batch: Batched, sizes: Sequence[int]) -> dict[str, Batched]:
    """``[clips, samples]`` to answers, in batches of each of these sizes."""

    def of(size: int) -> Batched:
        def run(clips: Clips) -> Answer:
            parts = [batch(clips[start : start + size]) for start in range(0, len(clips), size)]
            return np.concatenate(parts)

        return run

    return {f"1 x {size}": of(size) for size in sizes}


def one_by_one(ones: Sequence[Callable[[Clips], Answer]]) -> Batched:
    """Each function in a thread of its own, clips dealt out among them; answers in order."""
    pool = ThreadPoolExecutor(len(ones)) if len(ones) > 1 else None

    def run(clips: Clips) -> Answer:
        if pool is None:
            return np.stack([ones[0](clip) for clip in clips])

        def hand(number: int) -> list[Answer]:
            return [ones[number](clip) for clip in clips[number :: len(ones)]]

        hands = list(pool.map(hand, range(len(ones))))
        return np.stack([hands[i % len(ones)][i // len(ones)] for i in range(len(clips))])

    return run
