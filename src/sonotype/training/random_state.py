"""Context managers that leave the caller's random generators and library settings as they were."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from rich import get_console

LIGHTNING_LOGGERS = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")
CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""Environment variable that Lightning sets for deterministic training."""
IGNORED_WARNINGS = (
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists.*",
    ".*Trying to infer the `batch_size`.*",
    ".*deterministic.*",
    ".*LeafSpec.*",
    ".*have no `val_dataloader`.*",
    ".*in eval mode at the start of training.*",
    ".*GPU available but not used.*",
    ".*sync_dist=True.*",
    ".*broadcast_buffers` is deprecated.*",
)
"""Warnings of Lightning and torch that do not apply to this training."""
_deterministic: Any = torch.utils.deterministic


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the global random generators of torch (all devices), NumPy and Python at the end.

    A training seeds the generators of torch; some packages draw from Python's when imported.
    """
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        if mps is not None:
            torch.mps.set_rng_state(mps)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def kept_settings() -> Iterator[None]:
    """Restore the settings that Lightning changes; hide its messages below the level of errors.

    They are log levels, determinism of torch, and the global console of rich.
    """
    console = get_console().__dict__
    loggers = [logging.getLogger(name) for name in LIGHTNING_LOGGERS]
    levels = [logger.level for logger in loggers]
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    workspace = os.environ.get(CUBLAS_WORKSPACE)
    fill_memory = _deterministic.fill_uninitialized_memory
    try:
        # Every value is written before it is read, so filling new memory would only take time.
        _deterministic.fill_uninitialized_memory = False
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for pattern in IGNORED_WARNINGS:
                warnings.filterwarnings("ignore", pattern)
            yield
    finally:
        get_console().__dict__ = console
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        _deterministic.fill_uninitialized_memory = fill_memory
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        if workspace is None:
            os.environ.pop(CUBLAS_WORKSPACE, None)
        else:
            os.environ[CUBLAS_WORKSPACE] = workspace
