"""From nothing to a trained model in a minute or two: run it with ``make demo``.

Needs no network, no weights and no recordings: the sounds are synthesised, and the pretrained
network is the one that comes with sonotype. So its scores say nothing about real sounds; the point
is to see every step once, and what a pretrained network is worth where clips are few. Run it again
and nothing is trained twice; stop it, and the next run goes on from there.
"""
# ruff: noqa: T201 - a script talks to whoever runs it

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import soundfile
import torch

import sonotype
from sonotype.core.errors import SonotypeError
from sonotype.data.synth import synthesise, synthesise_clip
from sonotype.evaluation.plots import plot_attention
from sonotype.frontends import VGGishLogMel
from sonotype.inference.classifier import Classifier
from sonotype.inference.prediction import Prediction

DEMO = Path(__file__).resolve().parent.parent / "demo"
DATA, RUN, ALONE = DEMO / "data", DEMO / "run", DEMO / "run_from_scratch"
HELD_OUT = DEMO / "held_out"
MODEL = RUN / "model.safetensors"
CLIPS = 6  # of each event, of which about four are learnt from
ATTENTION = HELD_OUT / "laughing_attention.png"

NEW = ("siren", "laughing")
SEED_OF_HELD_OUT = 1  # the set to train on has seed 0


SHARED: dict[str, Any] = {
    "system": "cbir_2",
    "pooling": "attention",
    "pool_blocks": (4,),
    "softmax_over": "positions",  # says more about where the network listens
    "min_steps": 0,  # so many epochs and no more
    "learning_rate": 3e-3,  # in few epochs: more than usual
}
TRANSFER: dict[str, Any] = {"backbone": "builtin", "width": 0, "epochs": 40}
SCRATCH: dict[str, Any] = {
    "backbone": "none",
    "width": 0.125,
    "epochs": 28,
    "mixup": 0.0,  # from scratch: plainer sounds
}


def main() -> int:
    """Make sounds, train, show scores, classify, draw; the exit code."""
    # So narrow a network gains little from a second core, and loses much where cores are shared.
    torch.set_num_threads(1)
    print(
        f"1. Synthetic sounds in {shown(DATA)}: five categories, 25 events, {CLIPS} clips of each"
    )
    synthesise(DATA, clips_per_event=CLIPS, progress=True)

    print("\n2. What the built-in model, which has heard real sounds alone, makes of two new ones")
    show_answers(sonotype.load())

    print("\n3. Training on its features, which are kept as they are")
    if not train(RUN, TRANSFER):
        print(f"interrupted; `make demo` goes on from {shown(RUN)}")
        return 130

    print("\n4. Training the same system from scratch, an eighth as wide as in the paper")
    if not train(ALONE, SCRATCH):
        print(f"interrupted; `make demo` goes on from {shown(ALONE)}")
        return 130

    print("\n5. Scores on the test part, which was read once, after training")
    print(f"\n{(RUN / 'scores.txt').read_text(encoding='utf-8')}")
    print()
    for name, run in (("on the built-in features", RUN), ("from scratch", ALONE)):
        print(f"   {accuracy(run):.2f} of the events right {name}")

    print("\n6. The same two sounds, which were in no part of the set")
    model = sonotype.load(MODEL, category_source="both")  # both heads, averaged
    draw_attention(show_answers(model), ATTENTION)

    print(f"""
The sounds are synthetic: these scores say nothing about real ones.

model      {shown(MODEL)}
scores     {shown(RUN / "scores.txt")}, {shown(RUN / "scores.json")}
plots      {shown(RUN / "plots")}
           {shown(ATTENTION)} (where it listened)

Now your own sounds: a folder with one folder of recordings for each class.

  .venv/bin/sonotype data check recordings
  .venv/bin/sonotype train recordings --out runs/first
  .venv/bin/sonotype predict runs/first/model.safetensors new_sound.wav

The second line downloads a small pretrained network (mn04, 4 MB) on its first
run. Such a network is what makes a small folder of recordings enough.""")
    return 0


def train(run: Path, options: dict[str, Any]) -> bool:
    """Train, go on with an unfinished training, or find a finished one; False after ctrl-C."""
    if (run / "scores.json").exists():
        print(f"   finished before, see {shown(run)}; remove that folder to train again")
        return True
    if (run / "config.json").exists():
        print(f"   going on with {shown(run)}")
        return not sonotype.train(
            None, run, resume=True, progress=True, on_message=print
        ).interrupted
    result = sonotype.train(DATA, run, **SHARED, **options, progress=True, on_message=print)
    return not result.interrupted


def accuracy(run: Path) -> float:
    """Share of the test clips whose event was answered rightly."""
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    return float(scores["event"]["accuracy"]["value"])


def show_answers(model: Classifier) -> Prediction:
    """What a model hears in the two new sounds; the last answer."""
    for event in NEW:
        prediction = model.predict(new_sound(event))
        guesses = ", ".join(f"{label} {share:.2f}" for label, share in prediction.top(3))
        print(f"   {Path(prediction.source).name}: {prediction.category}; {guesses}")
    return prediction


def new_sound(event: str) -> Path:
    """Write one clip that the training set does not have."""
    path = HELD_OUT / f"{event}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, synthesise_clip(event, seed=SEED_OF_HELD_OUT), 16_000)
    return path


def draw_attention(prediction: Prediction, path: Path) -> None:
    """Draw where the network listened, over the log-mel that it heard."""
    samples, _ = soundfile.read(prediction.source, dtype="float32")
    log_mel = VGGishLogMel(pad_end=True)(torch.from_numpy(samples)).numpy()
    title = f"synthetic {Path(prediction.source).stem}, heard as {prediction.event}"
    plot_attention(log_mel, prediction.attention[0], path, title, seconds=len(log_mel) / 100)


def shown(path: Path) -> str:
    """A path as seen from where the user stands."""
    return os.path.relpath(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; `make demo` goes on from here")
        sys.exit(130)
