"""YAMNet in TensorFlow Lite (ai-edge-litert), with int8 weights; its file is not ours to ship."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer import (
    ASSETS_VARIABLE,
    Answer,
    Clips,
    Facts,
    Loaded,
    NotGivenError,
    Peer,
    asset,
)
from benchmarks.ways import one_by_one

FILE = "yamnet_dynamic_range.tflite"
RATE, PATCH = 16_000, 15_600


def write(folder: Path) -> Facts:
    """A copy of the file that is given."""
    given = asset("weights", FILE)
    if given is None:
        raise NotGivenError(f"no file: {ASSETS_VARIABLE} names no folder with weights/{FILE}")
    shutil.copyfile(given, folder / FILE)
    return Facts(size=given.stat().st_size)


def interpreter(folder: Path, **options: Any) -> Callable[[Clips], Answer]:
    """A clip to the mean of the scores of its five patches, which do not overlap."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_path=str(folder / FILE), **options)
    network.allocate_tensors()
    into, out = network.get_input_details()[0], network.get_output_details()[0]

    def run(clip: Clips) -> Answer:
        scores = []
        for start in range(0, len(clip) - PATCH + 1, PATCH):
            network.set_tensor(into["index"], clip[start : start + PATCH].reshape(into["shape"]))
            network.invoke()
            scores.append(network.get_tensor(out["index"]).reshape(-1))
        return np.asarray(np.mean(scores, axis=0))

    return run


def load(folder: Path, threads: int) -> Loaded:
    """One interpreter with all threads, or one of them for each thread."""
    one = interpreter(folder, num_threads=threads)
    ways = {"1 x 1": one_by_one([one])}
    if threads > 1:
        several = [interpreter(folder, num_threads=1) for _ in range(threads)]
        ways[f"{threads} x 1"] = one_by_one(several)
    return Loaded(one, ways)


def slow(folder: Path) -> Callable[[Clips], Answer]:
    """An interpreter of its own with one thread.

    TensorFlow Lite's plain kernels are no measure for its fast ones: they round activations too.
    """
    return interpreter(folder, num_threads=1)


PEERS = (
    Peer(
        name="yamnet",
        title="YAMNet (ai-edge-litert)",
        group="classifier",
        sample_rate=RATE,
        packages=("ai-edge-litert",),
        write=write,
        load=load,
        slow=slow,
        note="published weights in int8; five patches of 0.975 s that do not overlap, half the "
        "work of the original's hop; deviation from an interpreter with one thread, while its "
        "plain kernels, which round activations too, give up to 0.7 other scores for a patch",
    ),
)
