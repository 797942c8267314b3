"""From nothing to a trained model in a minute or two: run it with ``make demo``.

Needs no network, no weights and no recordings: the sounds are synthesised. So its scores say
nothing about real sounds; the point is to see every step once. Run it again and nothing is trained
twice; stop it, and the next run goes on from there.
"""
# ruff: noqa: T201 - a script talks to whoever runs it

from __future__ import annotations

import os
import sys
from pathlib import Path

import soundfile
import torch

import sonotype
from sonotype.data.synth import synthesise, synthesise_clip
from sonotype.errors import SonotypeError
from sonotype.evaluation.plots import plot_attention
from sonotype.features import VGGishLogMel
from sonotype.inference.prediction import Prediction

DEMO = Path(__file__).resolve().parent.parent / "demo"
DATA, RUN, HELD_OUT = DEMO / "data", DEMO / "run", DEMO / "held_out"
MODEL = RUN / "model.safetensors"
ATTENTION = HELD_OUT / "laughing_attention.png"

SEED_OF_HELD_OUT = 1  # the set to train on has seed 0
STACKED = 480  # frames of 10 ms that the network hears of a clip of 5 s: five patches of 0.96 s


def main() -> int:
    """Make sounds, train, show scores, classify, draw; the exit code."""
    # So narrow a network gains little from a second core, and loses much where cores are shared.
    torch.set_num_threads(1)
    print(f"1. Synthetic sounds in {shown(DATA)}: five categories, 25 events, 12 clips of each")
    synthesise(DATA, clips_per_event=12, progress=True)

    print("\n2. Training CBIR_2 from scratch, an eighth as wide as in the paper")
    if not train():
        print(f"interrupted; `make demo` goes on from {shown(RUN)}")
        return 130

    print("\n3. Scores on the test part, which was read once, after training")
    print(f"\n{(RUN / 'scores.txt').read_text(encoding='utf-8')}")

    print("\n4. Two sounds that were in no part of the set")
    model = sonotype.load(MODEL, category_from="both")  # both heads, averaged
    for event in ("siren", "laughing"):
        prediction = model.predict(new_sound(event))
        guesses = ", ".join(f"{label} {share:.2f}" for label, share in prediction.top(3))
        print(f"   {Path(prediction.source).name}: {prediction.category}; {guesses}")
    draw_attention(prediction, ATTENTION)

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


def train() -> bool:
    """Train, go on with an unfinished training, or find a finished one; False after ctrl-C."""
    if (RUN / "scores.json").exists():
        print(f"   finished before, see {shown(RUN)}; remove that folder to train again")
        return True
    if (RUN / "config.json").exists():
        print(f"   going on with {shown(RUN)}")
        return not sonotype.train(None, RUN, resume=True, progress=True, say=print).interrupted
    result = sonotype.train(
        DATA,
        RUN,
        system="cbir_2",
        backbone="none",
        width=0.125,
        pooling="attention",  # the paper's network in small
        pool_blocks=(4,),
        softmax_over="positions",  # its attention says more about where the network listens
        epochs=28,
        least_steps=0,  # so many epochs and no more
        learning_rate=3e-3,  # from scratch and in few epochs: more than for a pretrained branch,
        mixup=0.0,  # and plainer sounds
        progress=True,
        say=print,
    )
    return not result.interrupted


def new_sound(event: str) -> Path:
    """Write one clip that the training set does not have."""
    path = HELD_OUT / f"{event}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, synthesise_clip(event, seed=SEED_OF_HELD_OUT), 16_000)
    return path


def draw_attention(prediction: Prediction, path: Path) -> None:
    """Draw where branch 2 listened, over the log-mel that it heard."""
    samples, _ = soundfile.read(prediction.source, dtype="float32")
    log_mel = VGGishLogMel()(torch.from_numpy(samples))[:STACKED].numpy()
    title = f"synthetic {Path(prediction.source).stem}, heard as {prediction.event}"
    plot_attention(log_mel, prediction.attention[1], path, title, seconds=STACKED / 100)


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
