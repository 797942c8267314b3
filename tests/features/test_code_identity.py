"""The key of kept maps knows the code and the constants that make them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import sonotype
from sonotype.audio import decode
from sonotype.data.augment import augmented_copies as waveforms
from sonotype.data.augment import waveform as augment
from sonotype.features import cache as feature_maps_by_key
from sonotype.features.code_identity import _plain, code_identity
from sonotype.frontends import vggish_logmel as vggish
from sonotype.models.backbones import mobilenet
from sonotype.models.precision import full_precision

SOURCE = Path(sonotype.__file__).parent
CODE = (
    "from sonotype.features.code_identity import code_identity\n"
    "print(code_identity(), code_identity('sonotype.features.store'))"
)


def elsewhere(path: Path, seed: int = 0) -> list[str]:
    """The identities that another process finds in a copy of the package."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONHASHSEED": str(seed)}
    arguments = [sys.executable, "-c", CODE]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (vggish, "LOG_OFFSET", 0.5),
        (vggish.VGGishLogMel, "bands", 65),
        (vggish.VGGishLogMel, "forward", lambda self, x: x),
        (mobilenet, "TABLE", mobilenet.TABLE[:-1]),
        (decode, "_BLOCK", 1 << 10),
        (augment, "WIDTH_LOW", 4.0),
        (augment, "gain", lambda samples, most_db, rng: samples),
        (waveforms, "MIXED_SHARE", 0.25),
        (feature_maps_by_key, "BATCH", 8),
    ],
)
def test_another_value_at_run_time_is_another_key(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: Any
) -> None:
    before = code_identity()
    with monkeypatch.context() as patched:
        patched.setattr(module, name, value)
        assert code_identity() != before
    assert code_identity() == before


def test_a_changed_constant_is_another_kind_of_map(monkeypatch: pytest.MonkeyPatch) -> None:
    before = feature_maps_by_key.facts_of(None)
    assert feature_maps_by_key.facts_of(None) == before
    monkeypatch.setattr(vggish, "LOG_OFFSET", 0.5)
    assert feature_maps_by_key.facts_of(None) != before


def test_what_a_process_has_computed_before_changes_no_key() -> None:
    before = code_identity()
    with full_precision(torch.device("cpu")):
        assert code_identity() == before
    assert code_identity() == before


def test_other_processes_find_the_same_and_an_edit_is_seen(tmp_path: Path) -> None:
    copy = tmp_path / "sonotype"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    before = [code_identity(), code_identity("sonotype.features.store")]
    assert len(set(before)) == 2
    assert elsewhere(tmp_path, seed=1) == before
    with (copy / "frontends" / "vggish_logmel.py").open("a") as stream:
        stream.write("# another line\n")
    after = elsewhere(tmp_path, seed=2)
    assert set(after).isdisjoint(before)


def test_packages_that_are_zipped_have_the_same_key(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sonotype.zip", "w") as packed:
        for path in SOURCE.rglob("*.py"):
            packed.write(path, path.relative_to(SOURCE.parent))
    assert elsewhere(tmp_path / "sonotype.zip")[0] == code_identity()


def test_packages_without_their_source_have_a_key(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "sonotype", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-bq", str(tmp_path)], check=True)
    for path in tmp_path.rglob("*.py"):
        path.unlink()
    first, second = (elsewhere(tmp_path) for _ in range(2))
    assert first == second
    assert first[0] != code_identity()


def test_it_takes_no_time() -> None:
    start = time.perf_counter()
    code_identity()
    assert time.perf_counter() - start < 0.5  # 0.01 s on a free machine


def first(x: int) -> int:
    return x + 1


def second(x: int) -> int:
    return x + 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        ("a", b"a"),
        ((1, 2), [1, 2]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (np.zeros(2), np.zeros(2, np.float32)),
        (torch.zeros(2), torch.ones(2)),
        (torch.float32, torch.float16),
        (first, second),
        (Path("a"), Path("b")),
    ],
)
def test_values_are_told_apart(one: Any, other: Any) -> None:
    assert _plain(one, "") == _plain(one, "")
    assert _plain(one, "") != _plain(other, "")


def test_addresses_and_the_order_of_sets_do_not_count() -> None:
    assert _plain(object(), "") == _plain(object(), "")
    assert _plain({"a", "b"}, "") == _plain({"b", "a"}, "")
    module = ModuleType("m")
    assert "0x" not in str(_plain(vars(module), "m"))
