"""YAMNet in TensorFlow Lite (ai-edge-litert), with int8 weights; the file is not distributed."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.baseline import Baseline, Clips, Facts, Loaded, Predictions, Run, asset
from benchmarks.modes import one_by_one

FILE = "yamnet_dynamic_range.tflite"
PATCH = 15_600


def write(folder: Path) -> Facts:
    source = asset(f"weights/{FILE}")
    if source is None:
        raise FileNotFoundError(f"SONOTYPE_TEST_ASSETS names no folder with weights/{FILE}")
    shutil.copyfile(source, folder / FILE)
    return Facts(size=source.stat().st_size)


def interpreter(folder: Path, threads: int) -> Run:
    """A clip to the mean of the scores of its five patches, which do not overlap."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_path=str(folder / FILE), num_threads=threads)
    network.allocate_tensors()
    source, target = network.get_input_details()[0], network.get_output_details()[0]

    def run(clip: Clips) -> Predictions:
        scores = []
        for start in range(0, len(clip) - PATCH + 1, PATCH):
            patch = clip[start : start + PATCH].reshape(source["shape"])
            network.set_tensor(source["index"], patch)
            network.invoke()
            scores.append(network.get_tensor(target["index"]).reshape(-1))
        return np.asarray(np.mean(scores, axis=0))

    return run


def load(folder: Path, threads: int) -> Loaded:
    """One interpreter with all threads, or an interpreter for each thread."""
    single = interpreter(folder, threads)
    several = [interpreter(folder, 1) for _ in range(threads)]
    return Loaded(single, {**one_by_one(*several), **one_by_one(single)})


BASELINE = Baseline(
    name="yamnet", title="YAMNet (ai-edge-litert)", sample_rate=16_000,
    packages=("ai-edge-litert",), write=write, load=load,
    # Not TensorFlow Lite's plain kernels: they round activations, the fast ones do not.
    reference=partial(interpreter, threads=1),
    note="published weights in int8; five patches of 0.975 s that do not overlap, half the work of "
    "the original hop; deviation from an interpreter with one thread (scores of its plain kernels, "
    "which round activations too, differ by up to 0.7)",
)  # fmt: skip
