"""A demonstration of every step, from sounds to a trained model: run it with ``make demo``.

It takes a minute or two and needs no network, no weights and no recordings: the sounds are
synthetic, and the pretrained network is part of the package. The scores therefore say nothing about
real sounds; they show the benefit of a pretrained network for few clips. The next run resumes a
stopped one and does not repeat a finished training.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import soundfile
import torch

import sonotype
from sonotype.core.errors import SonotypeError, StoppedError
from sonotype.data.synth import synthesise, synthesise_clip
from sonotype.evaluation.plots import plot_attention
from sonotype.experiments.runner import train_or_resume
from sonotype.frontends import VGGishLogMel
from sonotype.inference.classifier import Classifier
from sonotype.inference.prediction import Prediction

DEMO = Path(__file__).resolve().parent.parent / "demo"
DATA, RUN, ALONE = DEMO / "data", DEMO / "run", DEMO / "run_from_scratch"
HELD_OUT = DEMO / "held_out"
MODEL = RUN / "model.safetensors"
CLIPS = 6  # per event; about four are trained on
ATTENTION = HELD_OUT / "laughing_attention.png"

NEW = ("siren", "laughing")
SEED_OF_HELD_OUT = 1  # the training set has seed 0

SHARED: dict[str, Any] = {
    "system": "cbir_2",
    "pooling": "attention",
    "pool_blocks": (4,),
    "softmax_over": "positions",  # gives a clearer attention map
    "min_steps": 0,  # do not extend the epochs
    "learning_rate": 3e-3,  # higher than usual, for few epochs
}
TRANSFER: dict[str, Any] = {"backbone": "builtin", "width": 0, "epochs": 40}
SCRATCH: dict[str, Any] = {
    "backbone": "none",
    "width": 0.125,
    "epochs": 28,
    "mixup": 0.0,  # easier to learn from scratch
}


def main() -> int:
    """Make sounds, train, show scores, classify, plot; returns the exit code."""
    # Such a narrow network gains little from a second core, and loses much if cores are shared.
    torch.set_num_threads(1)
    print(
        f"1. Synthetic sounds in {shown(DATA)}: five categories, 25 events, {CLIPS} clips of each"
    )
    synthesise(DATA, clips_per_event=CLIPS, progress=True)

    print("\n2. Predictions of the built-in model, trained on real sounds, for two new ones")
    show_predictions(sonotype.load())

    print("\n3. Training on its features, which stay frozen")
    train(RUN, TRANSFER)

    print("\n4. Training the same system from scratch, with an eighth of the paper's width")
    train(ALONE, SCRATCH)

    print("\n5. Scores on the test subset, which was read once, after training")
    print(f"\n{(RUN / 'scores.txt').read_text(encoding='utf-8')}")
    print()
    for name, run in (("on the built-in features", RUN), ("from scratch", ALONE)):
        print(f"   event accuracy {accuracy(run):.2f} {name}")

    print("\n6. The same two sounds, which are not in the set")
    model = sonotype.load(MODEL, category_source="both")  # both heads, averaged
    draw_attention(show_predictions(model), ATTENTION)

    print(f"""
The sounds are synthetic: these scores say nothing about real ones.

model      {shown(MODEL)}
scores     {shown(RUN / "scores.txt")}, {shown(RUN / "scores.json")}
plots      {shown(RUN / "plots")}
           {shown(ATTENTION)} (attention over time)

For your own sounds, make a folder with one folder of recordings per class.

  .venv/bin/sonotype data check recordings
  .venv/bin/sonotype train recordings --out runs/first
  .venv/bin/sonotype predict runs/first/model.safetensors new_sound.wav

The second line downloads a small pretrained network (mn04, 4 MB) on its first
run. With such a network, a small folder of recordings is enough.""")
    return 0


def train(run: Path, options: dict[str, Any]) -> None:
    """Train, resume a stopped training, or keep a finished one."""
    train_or_resume(DATA, run, **SHARED, **options, progress=True, on_message=print)


def accuracy(run: Path) -> float:
    """Share of the test clips whose event was predicted correctly."""
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    return float(scores["event"]["accuracy"]["value"])


def show_predictions(model: Classifier) -> Prediction:
    """Print the predictions for the two new sounds; returns the last one."""
    for event in NEW:
        prediction = model.predict(new_sound(event))
        guesses = ", ".join(f"{label} {share:.2f}" for label, share in prediction.top(3))
        print(f"   {Path(prediction.source).name}: {prediction.category}; {guesses}")
    return prediction


def new_sound(event: str) -> Path:
    """Write a clip that is not in the training set."""
    path = HELD_OUT / f"{event}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, synthesise_clip(event, seed=SEED_OF_HELD_OUT), 16_000)
    return path


def draw_attention(prediction: Prediction, path: Path) -> None:
    """Plot the attention of a prediction over the log-mel of its clip."""
    samples, _ = soundfile.read(prediction.source, dtype="float32")
    log_mel = VGGishLogMel(pad_end=True)(torch.from_numpy(samples)).numpy()
    title = f"synthetic {Path(prediction.source).stem}, predicted as {prediction.event}"
    plot_attention(log_mel, prediction.attention[0], path, title, seconds=len(log_mel) / 100)


def shown(path: Path) -> str:
    """A path relative to the working directory."""
    return os.path.relpath(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, StoppedError):
        print("interrupted; run `make demo` again to resume")
        sys.exit(130)
    except SonotypeError as error:
        sys.exit(f"error: {error}")
