"""Suffixes of sounds, and of the models, checkpoints and tables that are confused with them."""

from __future__ import annotations

# fmt: off
SOUND_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".alac", ".amr", ".ape", ".asf",
    ".au", ".avi", ".awb", ".caf", ".dsf", ".dts", ".eac3", ".f4v", ".flac", ".flv", ".gsm",
    ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp1", ".mp2", ".mp3", ".mp4",
    ".mpc", ".mpeg", ".mpg", ".mts", ".nist", ".oga", ".ogg", ".ogv", ".oma", ".opus", ".ra",
    ".rf64", ".rm", ".snd", ".sph", ".spx", ".tak", ".tta", ".vob", ".voc", ".w64", ".wav",
    ".wave", ".weba", ".webm", ".wma", ".wmv", ".wv",
})
# fmt: on
"""Suffixes of decodable formats, videos included; compared in lower case."""

COMMON_SOUNDS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
"""Suffixes of the most common formats, for messages."""

MODEL_SUFFIXES = (".safetensors", ".onnx")
"""Models that sonotype writes."""

CHECKPOINT_SUFFIXES = (".ckpt", ".pt", ".pth", ".h5", ".keras", ".pkl", ".tflite")
"""Checkpoints of trainings, and models of other programs."""

TABLE_SUFFIXES = (".csv", ".json", ".jsonl", ".ods", ".parquet", ".tsv", ".txt", ".xls", ".xlsx")
