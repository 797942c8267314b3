"""Networks of other packages on torch, with random weights: torchvggish, CNN14, AST."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.baseline import Baseline, Clips, Facts, Loaded, Predictions, Run
from benchmarks.modes import in_batches

FILE = "weights.pth"
AST_FRAMES = 512
"""The authors' input for clips of 5 s; the network for AudioSet takes 1,024 frames."""


Network = tuple[Any, Callable[[Clips], Any], Callable[[Any], Any]]
"""A module; from ``[clips, samples]`` to its input; from its output to ``[clips, ...]``."""


def torchvggish(folder: Path | None) -> Network:
    """Five patches of 0.96 s a clip, ``[clips * 5, 1, 96, 64]``, to embeddings; all dense layers.

    ``vggish()`` would download its weights. The log-mel is computed in double precision.
    """
    import torch
    from torchvggish.torchvggish import VGG, make_layers
    from torchvggish.vggish_input import waveform_to_examples

    with torch.device("meta" if folder else "cpu"):  # no initialisation of 72 million weights
        module = VGG(make_layers(), postprocess=False)
    if folder:
        state = torch.load(folder / FILE, weights_only=True, mmap=True)
        module.load_state_dict(state, assign=True)

    def inputs(clips: Clips) -> Any:
        patches = [waveform_to_examples(clip, 16_000, return_tensor=False) for clip in clips]
        return np.concatenate(patches)[:, None]

    return module, inputs, lambda found: found


def cnn14(folder: Path | None) -> Network:
    """Of panns-inference, ``[clips, samples]`` to probabilities; torchlibrosa's log-mel is inside.

    The package's own import downloads a file, so an empty module takes its place.
    """
    import torch

    name = "panns_inference"
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        package = sys.modules[name] = ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
    from panns_inference.models import Cnn14

    module = Cnn14(
        sample_rate=32_000, window_size=1024, hop_size=320, mel_bins=64, fmin=50, fmax=14_000,
        classes_num=527,
    )  # fmt: skip
    if folder:
        module.load_state_dict(torch.load(folder / FILE, weights_only=True, mmap=True))
    return module, lambda clips: clips, lambda found: found["clipwise_output"]


def ast(folder: Path | None) -> Network:
    """The Audio Spectrogram Transformer, ``[clips, frames, 128]`` to logits; in its own format."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    options: dict[str, Any] = {"max_length": AST_FRAMES, "num_labels": 527}
    module = (
        ASTForAudioClassification.from_pretrained(folder, local_files_only=True)
        if folder
        else ASTForAudioClassification(ASTConfig(**options))
    )
    extract: Any = ASTFeatureExtractor(max_length=AST_FRAMES)

    def inputs(clips: Clips) -> Any:
        return np.stack(extract(list(clips), sampling_rate=16_000)["input_values"])

    return module, inputs, lambda found: found.logits


def baseline(
    read: Callable[[Path | None], Network], shape: tuple[int, ...], *, batch: int, **row: Any
) -> Baseline:
    """A row for a network, read from a folder, or new without one; ``shape`` is of its input."""

    def write(folder: Path) -> Facts:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        torch.manual_seed(0)
        module = read(None)[0].eval()
        if hasattr(module, "save_pretrained"):
            module.save_pretrained(folder)
        else:
            torch.save(module.state_dict(), folder / FILE)
        files = [*folder.glob("*.safetensors"), *folder.glob(FILE)]
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            module(torch.zeros(*shape))
        parameters = sum(parameter.numel() for parameter in module.parameters())
        size = sum(path.stat().st_size for path in files)
        return Facts(parameters, counter.get_total_flops() // 2, size)

    def runner(folder: Path, precision: str) -> Run:
        import torch

        dtype = getattr(torch, precision)
        module, inputs, output = read(folder)
        module = module.eval().to(dtype)

        def run(clips: Clips) -> Predictions:
            with torch.inference_mode():
                found = output(module(torch.from_numpy(inputs(clips)).to(dtype)))
            return np.asarray(found.numpy().reshape(len(clips), -1))

        return run

    def single(run: Run) -> Run:
        return lambda clip: np.asarray(run(clip[None])[0])

    def load(folder: Path, threads: int) -> Loaded:
        run = runner(folder, "float32")
        return Loaded(single(run), in_batches(run, batch))

    return Baseline(
        write=write, load=load, reference=lambda folder: single(runner(folder, "float64")),
        batch=batch, **row,
    )  # fmt: skip


BASELINES = (
    baseline(
        torchvggish, (5, 1, 96, 64), name="torchvggish", title="torchvggish",
        sample_rate=16_000, batch=8, packages=("torchvggish", "torch"),
        note="random weights; log-mel in NumPy; embeddings, no classes",
    ),
    baseline(
        cnn14, (1, 160_000), name="cnn14", title="CNN14 (panns-inference)",
        sample_rate=32_000, batch=8, packages=("panns-inference", "torchlibrosa", "torch"),
        note="random weights; without the package's own import, which downloads a file",
    ),
    baseline(
        ast, (1, AST_FRAMES, 128), name="ast", title="AST (transformers)",
        sample_rate=16_000, batch=4, packages=("transformers", "torch"),
        note="random weights; 512 frames of input, as its authors use for 5 s; its feature "
        "extractor without torchaudio, in NumPy",
    ),
)  # fmt: skip
