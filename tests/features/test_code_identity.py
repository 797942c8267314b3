"""The keys of cached feature maps depend on the code and the constants that compute them."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import sonotype
from sonotype.audio import decode
from sonotype.data.augment import augmented_copies, waveform
from sonotype.features import cache
from sonotype.features.code_identity import _file_digest, code_identity
from sonotype.frontends import vggish_logmel
from sonotype.models.backbones import mobilenet
from sonotype.models.precision import full_precision

SOURCE = Path(sonotype.__file__).parent


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (vggish_logmel, "LOG_OFFSET", 0.5),
        (mobilenet, "TABLE", mobilenet.TABLE[:-1]),
        (decode, "_BLOCK", 1 << 10),
        (waveform, "WIDTH_LOW", 4.0),
        (augmented_copies, "MIXED_SHARE", 0.25),
        (cache, "BATCH_SIZE", 8),
    ],
)
def test_a_constant_that_is_changed_at_run_time(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: Any
) -> None:
    before, facts = code_identity(), cache.facts_of(None)
    with monkeypatch.context() as patched:
        patched.setattr(module, name, value)
        assert code_identity() != before
        assert cache.facts_of(None) != facts
    assert (code_identity(), cache.facts_of(None)) == (before, facts)


def test_the_state_of_a_process_does_not_count() -> None:
    before = code_identity()
    with full_precision(torch.device("cpu")):
        assert code_identity() == before


def test_another_process_with_a_zipped_package_has_the_same_identity(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sonotype.zip", "w") as packed:
        for path in SOURCE.rglob("*.py"):
            packed.write(path, path.relative_to(SOURCE.parent))
    code = (
        "from sonotype.features.code_identity import code_identity\n"
        "print(code_identity(), code_identity('sonotype.features.store'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "sonotype.zip")}
    arguments = [sys.executable, "-c", code]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    found = done.stdout.split()
    assert found == [code_identity(), code_identity("sonotype.features.store")]
    assert found[0] != found[1]


def test_the_digest_of_a_module_is_that_of_its_file(tmp_path: Path) -> None:
    def digest(path: Path) -> str:
        spec = importlib.util.spec_from_file_location("module", path)
        return _file_digest(importlib.util.module_from_spec(spec))

    digests = []
    for text in ("a = 1", "a = 1  # another comment"):
        (tmp_path / "module.py").write_text(text)
        digests += [digest(tmp_path / "module.py")] * 2
        py_compile.compile(str(tmp_path / "module.py"), str(tmp_path / "module.pyc"))
        digests.append(digest(tmp_path / "module.pyc"))  # as in a package without its source
    assert len(set(digests)) == 4
