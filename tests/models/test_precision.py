"""Front ends and frozen blocks compute in full precision; the caller's settings come back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_models import HEADS

from sonotype.models import precision
from sonotype.models.build import cbir_2
from sonotype.models.precision import full_precision
from sonotype.models.system import System
from sonotype.sliding.chunk import ChunkMaps
from sonotype.training.distillation.teachers import Teacher, Teachers

CPU = torch.device("cpu")
backends: Any = torch.backends
BY_OPERATION = precision._has_settings_by_operation()


def older() -> dict[str, Any]:
    """The settings that every PyTorch has."""
    return {
        "matmul": torch.get_float32_matmul_precision(),
        "cublas": backends.cuda.matmul.allow_tf32,
        "cudnn": backends.cudnn.allow_tf32,
    }


def state() -> dict[str, Any]:
    """All that decides how float32 is computed, as far as this PyTorch supports it."""
    return older() | operations()


def operations() -> dict[str, Any]:
    """What is set for each operation that is used here."""
    if not BY_OPERATION:
        return {}
    return {
        "cuda.matmul": backends.cuda.matmul.fp32_precision,
        "cudnn.conv": backends.cudnn.conv.fp32_precision,
        "mkldnn.matmul": backends.mkldnn.matmul.fp32_precision,
        "mkldnn.conv": backends.mkldnn.conv.fp32_precision,
    }


def is_full() -> bool:
    """Whether neither TF32 nor bfloat16 may be used."""
    if BY_OPERATION:
        return set(operations().values()) == {"ieee"}
    return (
        torch.get_float32_matmul_precision() == "highest"
        and not backends.cuda.matmul.allow_tf32
        and not backends.cudnn.allow_tf32
    )


def nothing() -> None:
    """As PyTorch begins."""


def cudnn_off() -> None:
    backends.cudnn.allow_tf32 = False


def products_in_tf32() -> None:
    torch.set_float32_matmul_precision("high")


def products_in_bfloat16() -> None:
    torch.set_float32_matmul_precision("medium")


def each_operation() -> None:
    backends.cuda.matmul.fp32_precision = "tf32"
    backends.cudnn.conv.fp32_precision = "ieee"
    backends.mkldnn.conv.fp32_precision = "bf16"


def all_operations() -> None:
    backends.fp32_precision = "tf32"


CALLERS = [nothing, cudnn_off, products_in_tf32, products_in_bfloat16]
NEWER = [each_operation, all_operations] if BY_OPERATION else []


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Leave the process as it was found."""
    yield
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = True
    if BY_OPERATION:
        backends.fp32_precision = "none"
        backends.cuda.matmul.fp32_precision = "none"
        backends.mkldnn.conv.fp32_precision = backends.mkldnn.matmul.fp32_precision = "none"


@pytest.mark.parametrize("caller", CALLERS)
def test_settings_come_back(caller: Callable[[], None]) -> None:
    caller()
    before = state()
    with full_precision(CPU):
        assert is_full()
        with full_precision(CPU):
            assert is_full()
        assert is_full()
    assert state() == before
    with pytest.raises(KeyError), full_precision(CPU):
        raise KeyError
    assert state() == before


@pytest.mark.parametrize("caller", NEWER)
def test_settings_by_operation_come_back(caller: Callable[[], None]) -> None:
    """Some of them cannot be read through the older settings any more, which are left alone."""
    caller()
    before = operations()
    with full_precision(CPU):
        assert is_full()
    assert operations() == before


@pytest.mark.skipif(not BY_OPERATION, reason="needs settings by operation")
def test_what_was_inherited_is_still_inherited() -> None:
    backends.fp32_precision = "tf32"
    with full_precision(CPU):
        assert is_full()
    backends.fp32_precision = "ieee"
    assert backends.cuda.matmul.fp32_precision == "ieee"


@pytest.mark.parametrize("caller", CALLERS)
def test_the_settings_before_pytorch_2_9(
    caller: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_has_settings_by_operation", lambda: False)
    caller()
    before = older()
    with full_precision(CPU):
        assert torch.get_float32_matmul_precision() == "highest"
        assert not backends.cuda.matmul.allow_tf32
        assert not backends.cudnn.allow_tf32
    assert older() == before


def test_threads_that_overlap() -> None:
    products_in_tf32()
    before = state()
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    found: list[bool] = []

    def first() -> None:
        with full_precision(CPU):
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with full_precision(CPU):
            second_in.set()
            first_out.wait(10)
            found.append(is_full())

    threads = [threading.Thread(target=one) for one in (first, second)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [True]
    assert state() == before


def watched(parts: list[torch.nn.Module]) -> list[bool]:
    """Whether precision was full, each time one of the parts ran."""
    seen: list[bool] = []
    for part in parts:
        part.register_forward_pre_hook(lambda *_: seen.append(is_full()))
    return seen


def system() -> System:
    torch.manual_seed(0)
    made = cbir_2(categories=2, events=4, backbone="mn01", width=0.05)
    return made.eval()


def test_front_ends_and_frozen_blocks_run_in_full_precision() -> None:
    products_in_tf32()
    before, one = state(), system()
    parts = [one.branch_1.front_end, one.front_end_2, one.decimate]
    seen = watched([*parts, *one._fused.of(one.frozen_blocks())])
    trained = watched([one.branch_2])
    waveform = 0.1 * torch.randn(1, 32_000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        feature_maps = one.frozen_part(waveform)
    assert {x.dtype for x in feature_maps.values()} == {torch.float32}
    assert len(seen) == 3 + 4
    assert all(seen)
    assert state() == before
    one.trained_part(feature_maps)
    assert trained == [False]  # as the caller wants it


def test_an_error_in_a_front_end_leaves_the_settings() -> None:
    products_in_tf32()
    before, one = state(), system()
    with pytest.raises(RuntimeError):
        one.frozen_part(torch.zeros(1, 2, 3, 4))
    assert state() == before


def test_maps_of_a_chunk_run_in_full_precision() -> None:
    one = system()
    maps = ChunkMaps(one, 32_000)
    products_in_tf32()
    before = state()
    seen = watched([one.branch_1.front_end, one.front_end_2, one.decimate])
    with torch.inference_mode():
        maps(torch.zeros(1, 32_000), 0)
    assert seen == [True] * 3
    assert state() == before


def test_teachers_answer_in_full_precision() -> None:
    products_in_tf32()
    before, one = state(), system()
    audio_spec: Any = None
    teachers = Teachers([Teacher("a", one, HEADS, audio_spec, frozenset(), {})])
    seen = watched([one.branch_1.front_end, one.branch_2, one.classifiers["category"]])
    teachers.outputs(0.1 * torch.randn(1, 32_000))
    assert seen == [True] * 3
    assert state() == before


def test_it_costs_microseconds() -> None:
    times = []
    for _ in range(200):
        begun = time.perf_counter()
        with full_precision(CPU):
            pass
        times.append(time.perf_counter() - begun)
    assert np.median(times) < 5e-4


def test_no_warning_in_a_new_process() -> None:
    script = (
        "import torch\n"
        "from sonotype.models.precision import full_precision\n"
        "for _ in range(2):\n"
        "    with full_precision(torch.device('cpu')):\n"
        "        torch.zeros(4, 4) @ torch.zeros(4, 4)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
