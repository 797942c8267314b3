"""Ways to process many clips: in batches, or clip by clip, in one thread or in several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.baseline import Clips, Predictions, Run


def in_batches(run: Run, *sizes: int) -> dict[str, Run]:
    """Modes that take ``[clips, samples]`` in batches of each of these sizes."""
    return {
        f"1 x {size}": lambda clips, size=size: np.concatenate(  # type: ignore[misc]
            [run(batch) for batch in _batches(clips, size)]
        )
        for size in sizes
    }


def one_by_one(*functions: Run) -> dict[str, Run]:
    """A mode that takes clip by clip, each function in a thread of its own."""
    count = len(functions)
    run_all = ThreadPoolExecutor(count).map if count > 1 else map

    def mode(clips: Clips) -> Predictions:
        def share(number: int) -> list[Predictions]:
            return [functions[number](clip) for clip in clips[number::count]]

        shares = list(run_all(share, range(count)))
        return np.stack([shares[n % count][n // count] for n in range(len(clips))])

    return {f"{count} x 1": mode}


def torch_threads(run: Run, size: int, threads: int) -> dict[str, Run]:
    """A mode that divides batches among threads, in each of which torch uses one thread."""
    import torch

    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    return {
        f"{threads} x {size}": lambda clips: np.concatenate(
            list(pool.map(run, _batches(clips, size)))
        )
    }


def _batches(clips: Clips, size: int) -> list[Clips]:
    return [clips[start : start + size] for start in range(0, len(clips), size)]
