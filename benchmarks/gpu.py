"""A GPU against the CPU: ``python -m benchmarks.gpu [--quick] [--systems NAME ...]``.

Prints two tables. The first has the difference between log-mel spectrograms of the CPU and of the
GPU, over the clips of examples/esc10. The second has clips a second of the paper's systems at full
width: inference from the waveform, and a training step from the waveform (forward, backward and
optimiser; the frozen part is computed each time, not cached). On the GPU a step runs in single
precision and in mixed precision with bfloat16. Times are medians over repeats; the number after the
sign is half the distance of the quartiles.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonotype.audio.clip import AudioSpec
from sonotype.config import TrainOptions, resolve
from sonotype.core.types import Clip, heads_of
from sonotype.data.augment.augmented_copies import Waveforms
from sonotype.data.readers.source import open_source
from sonotype.models import build
from sonotype.models.system import System
from sonotype.training.dataset import Batch, LabelledWaveforms
from sonotype.training.losses import label_loss
from sonotype.training.module import Learner

DATA = Path(__file__).resolve().parent.parent / "examples" / "esc10"
SYSTEMS = ("cbir_1", "cbir_2", "cbir_3", "cbir_4")
FRONT_ENDS = {"VGGish": "vggish", "MobileNet": "mn04"}
WIDTH = 1.0
BATCH = 32


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one repeat of each")
    parser.add_argument("--device", default="cuda", help="the device that is compared with the CPU")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS, metavar="NAME",
                        help="cbir_1 to cbir_4; default: all")  # fmt: skip
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else str(device)
    print(f"{name}, {torch.get_num_threads()} CPU threads, PyTorch {torch.__version__}, "
          f"Python {platform.python_version()}\n")  # fmt: skip
    clips = open_source(DATA).clips
    print("| front end | clips | largest difference | above 1e-4 |\n|---|---|---|---|")
    for title, backbone in FRONT_ENDS.items():
        print(parity(title, backbone, clips[: 8 if options.quick else None], device), flush=True)
    repeats = 1 if options.quick else 7
    print("\n| system | device, precision | inference, clips/s | training, clips/s | memory |")
    print("|---|---|---|---|---|")
    for name in options.systems:
        for place, precision in (("cpu", "32"), (options.device, "32"), (options.device, "bf16")):
            print(throughput(name, torch.device(place), precision, clips, repeats), flush=True)


def parity(title: str, backbone: str, clips: tuple[Clip, ...], device: torch.device) -> str:
    """A row of the first table: natural logarithms of mel energies."""
    system = build.cbir_4(categories=2, backbone=backbone).eval()
    waveforms = Waveforms(clips, AudioSpec(system.sample_rate))
    largest, above, values = 0.0, 0, 0
    with torch.inference_mode():
        for index in range(len(clips)):
            waveform = torch.from_numpy(waveforms[0, index])[None]
            expected = [x.clone() for x in system.log_mels(waveform)]
            found = system.to(device).log_mels(waveform.to(device))
            for one, other in zip(found, expected, strict=True):
                difference = (one.cpu() - other).abs()
                largest = max(largest, float(difference.max()))
                above += int((difference > 1e-4).sum())
                values += difference.numel()
            system.to("cpu")
    return f"| {title} | {len(clips)} | {largest:.1e} | {above} of {values:,} |"


def throughput(
    name: str, device: torch.device, precision: str, clips: tuple[Clip, ...], repeats: int
) -> str:
    """A row of the second table."""
    torch.manual_seed(0)
    heads = heads_of(clips)
    counts = dict(
        zip(("categories", "events"), (len(head.classes) for head in heads), strict=False)
    )
    width: dict[str, Any] = {} if name == "cbir_4" else {"width": WIDTH}
    system: System = getattr(build, name)(**counts, **width).to(device)
    options = resolve(TrainOptions(recipe="paper"), name)
    learner = Learner(system, options, label_loss(heads, options), steps=100).to(device)
    learner.log = lambda *_, **__: None  # type: ignore[method-assign]
    optimiser = learner.configure_optimizers()
    batch = on_device(one_batch(system, clips, heads), device)
    mixed = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

    def step() -> None:
        optimiser.zero_grad()
        with mixed:
            loss = learner.training_step(batch, 0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def infer() -> None:
        with torch.inference_mode(), mixed:
            system(batch["waveform"])

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    cells = []
    for mode, work in ((False, infer), (True, step)):
        learner.train(mode)
        cells.append(clips_a_second(work, device, repeats))
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
    shown = f"{memory:.1f} GB" if memory else ""
    return f"| {name} | {device.type}, {precision} | {cells[0]} | {cells[1]} | {shown} |"


def one_batch(system: System, clips: tuple[Clip, ...], heads: object) -> Batch:
    """The first clips, not augmented."""
    chosen = clips[:BATCH]
    waveforms = Waveforms(chosen, AudioSpec(system.sample_rate))
    return LabelledWaveforms(waveforms, chosen, heads)[[(0, n) for n in range(len(chosen))]]  # type: ignore[arg-type]


def on_device(value: object, device: torch.device) -> Batch:
    """The batch with its tensors on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)  # type: ignore[return-value]
    if isinstance(value, dict):
        return {key: on_device(one, device) for key, one in value.items()}
    return value  # type: ignore[return-value]


def clips_a_second(work: Callable[[], None], device: torch.device, repeats: int) -> str:
    """Median and half the distance of the quartiles; each repeat lasts at least half a second."""
    rates = []
    for number in range(repeats + 1):
        begin, runs = time.perf_counter(), 0
        while not runs or time.perf_counter() - begin < 0.5:
            work()
            runs += 1
            if device.type == "cuda":
                torch.cuda.synchronize()
        if number:  # the first one chooses algorithms
            rates.append(runs * BATCH / (time.perf_counter() - begin))
    low, middle, high = np.percentile(rates, (25, 50, 75))
    return f"{middle:,.0f} ± {(high - low) / 2:,.0f}"


if __name__ == "__main__":
    main()
