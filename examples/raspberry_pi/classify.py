"""Classify sound: python classify.py model.onnx sound.wav, or - for samples on standard input."""

import json
import os
import sys
import wave

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reads it when it is imported
import onnxruntime


def sounds(source, rate, length, crop):
    """Yield what the model takes of a WAV file, or once a second the end of standard input."""
    if source == "-":
        heard = b""
        while len(block := sys.stdin.buffer.read(2 * rate)) > 1:
            heard = (heard + block[: len(block) // 2 * 2])[-2 * length :]
            yield np.frombuffer(heard, "<i2") / np.float32(32768)
    else:
        with wave.open(source) as file:
            channels, width, now, *_ = file.getparams()
            if (now, width) != (rate, 2):
                advice = f"convert it: ffmpeg -i IN.wav -ar {rate} -c:a pcm_s16le OUT.wav"
                raise ValueError(f"{now} Hz, {8 * width} bits, not {rate} Hz, 16 bits; {advice}")
            data = file.readframes(length if crop == "front" else file.getnframes())
            frames = np.frombuffer(data, ("<i2", (channels,)), len(data) // (2 * channels))
            first = max(len(frames) - length, 0) // 2 if crop == "centre" else 0
            yield (frames[first : first + length] / np.float32(32768)).mean(1)


def classify(model, source):
    """Yield for each clip whether it is unknown, and the probabilities of the finest classes."""
    session = onnxruntime.InferenceSession(model)
    about = session.get_modelmeta().custom_metadata_map.get("sonotype")
    card = json.loads(about or sys.exit(f"{model}: was not exported by sonotype"))
    head, rate, shifts = card["heads"][-1], card["sample_rate"], card["tta_shifts"]
    pad, crop, trim, seconds = (card["options"][key] for key in ("pad", "crop", "trim", "seconds"))
    names = [head["name"]] + ["unknown_score"] * (card["unknown_threshold"] is not None)
    length = round(seconds * rate)
    for samples in sounds(source, rate, length, crop):
        if trim or not len(samples):
            raise ValueError("models that trim silence do not work here" if trim else "no samples")
        before = (length - len(samples)) // 2 if pad == "centre" else 0
        silence = (before, length - len(samples) - before)
        clip = np.resize(samples, length) if pad == "repeat" else np.pad(samples, silence)
        views = np.stack([np.roll(clip, round(n * (length / shifts))) for n in range(shifts)])
        proba, *score = (out.mean(0) for out in session.run(names, {"waveform": views}))
        unknown = any(value > card["unknown_threshold"] for value in score)
        yield unknown, dict(zip(head["classes"], proba.tolist(), strict=True))


if __name__ == "__main__":
    try:
        for unknown, proba in classify(*sys.argv[1:]):
            best = [f"{name} {proba[name]:.3f}" for name in sorted(proba, key=proba.get)[:-4:-1]]
            print(*["unknown"] * unknown, *best, sep="  ", flush=True)
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(f"{' '.join(sys.argv[1:])}: {str(error) or type(error).__name__}")
