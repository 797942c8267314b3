"""Names of files that are no sounds and are easily given in the place of one."""

from __future__ import annotations

MODEL_SUFFIXES = (".safetensors", ".onnx")
"""Models that sonotype writes."""

CHECKPOINT_SUFFIXES = (".ckpt", ".pt", ".pth", ".h5", ".keras", ".pkl", ".tflite")
"""Checkpoints of trainings, and models of other programs."""

TABLE_SUFFIXES = (".csv", ".json", ".jsonl", ".ods", ".parquet", ".tsv", ".txt", ".xls", ".xlsx")
