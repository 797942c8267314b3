"""Hostile files from outside: nothing in them is executed, and no other file is read or written.

Each test runs the program in a process whose audit hook reports processes, connections, unpickled
classes, and files that are opened outside of a folder; see ``scripts/fuzzing/guard.py``.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from script_modules import SCRIPTS

from sonotype.audio.decode import seconds_of
from sonotype.audio.stream import stream as stream_sound
from sonotype.core.errors import SonotypeError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="paths of Linux in the files")

GUARDED = """
import sys
from pathlib import Path
sys.path.append({scripts!r})
from fuzzing.guard import Guard
import sonotype
if "sonotype.load" in {call!r}:
    import onnxruntime, sonotype.inference.onnx_engine, sonotype.modelfile.model_file
from sonotype.core.errors import SonotypeError
from sonotype.data.readers.source import open_source
from sonotype.evaluation.predictions import load_predictions
folder = Path({folder!r})
path = folder / {name!r}
guard = Guard([folder], readable=[Path({source!r})])
with guard.watching() as events:
    try:
        {call}
        print("accepted")
    except SonotypeError as error:
        print("refused", str(error).splitlines()[0])
print(events)
sys.exit(bool(events))
"""
SOURCE = SCRIPTS.parent / "src"


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


def guarded(folder: Path, name: str, call: str) -> str:
    """What the call on a file says; it must neither execute anything nor touch other files."""
    for module in ("onnxruntime", "pyarrow"):
        pytest.importorskip(module)
    code = GUARDED.format(
        scripts=str(SCRIPTS), folder=str(folder), name=name, call=call, source=str(SOURCE)
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder.parent / "owned").exists()
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "given"
    found.mkdir()
    (tmp_path / "secret.bin").write_bytes(np.full(4, 0.25, np.float32).tobytes())
    return found


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt", "model.pt", "model.onnx"])
@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_pickles_are_not_models(folder: Path, name: str, kind: str) -> None:
    trap = Trap(folder.parent / "owned")
    if kind == "pickle":
        (folder / name).write_bytes(pickle.dumps(trap))
    else:
        torch.save({"state_dict": trap}, folder / name)
    assert guarded(folder, name, "sonotype.load(path)").startswith("refused")


def test_object_arrays_are_no_predictions(folder: Path) -> None:
    trap = np.array([Trap(folder.parent / "owned")], dtype=object)
    with (folder / "predictions.npz").open("wb") as stream:
        np.savez(stream, names=trap)
    said = guarded(folder, "predictions.npz", "load_predictions(path)")
    assert said.startswith("refused")


@pytest.mark.parametrize("length", [2**63 - 1, 2**40, 100_000_001])
def test_a_huge_header_allocates_nothing(folder: Path, length: int) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", length) + b"{" + bytes(100))
    assert guarded(folder, "model.safetensors", "sonotype.load(path)").startswith("refused")


@pytest.mark.parametrize("size", [0x4000000, 70_000])
def test_a_huge_format_chunk_of_a_wav_file_is_not_read(folder: Path, size: int) -> None:
    """The file is sparse: it takes no space on the disk."""
    path = folder / "sound.wav"
    with path.open("wb") as stream:
        stream.write(
            b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", size)
        )
        stream.write(struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
        stream.seek(20 + size)
        stream.write(b"data" + struct.pack("<I", 16000) + bytes(16000))
    tracemalloc.start()
    try:
        with suppress(SonotypeError):
            list(stream_sound(path, sample_rate=8000))
        with suppress(SonotypeError):
            seconds_of(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "../../../etc/passwd"])
def test_external_data_of_an_onnx_file_is_not_read(folder: Path, location: str) -> None:
    onnx = pytest.importorskip("onnx")
    weights = onnx.TensorProto(name="weights", data_type=onnx.TensorProto.FLOAT, dims=[4])
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    (folder / "model.onnx").write_bytes(onnx_file(onnx, "Identity", "", weights))
    assert guarded(folder, "model.onnx", "sonotype.load(path)").startswith("refused")


def test_operators_of_other_libraries_are_not_loaded(folder: Path) -> None:
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "weights")
    content = onnx_file(onnx, "Run", "../evil.so", weights)
    (folder / "model.onnx").write_bytes(content)
    assert guarded(folder, "model.onnx", "sonotype.load(path)").startswith("refused")


def onnx_file(onnx: object, operator: str, domain: str, weights: object) -> bytes:
    """A model of one operator."""
    helper, proto = onnx.helper, onnx.TensorProto  # type: ignore[attr-defined]
    node = helper.make_node(operator, ["weights"], ["event"], domain=domain)
    output = helper.make_tensor_value_info("event", proto.FLOAT, [4])
    graph = helper.make_graph([node], "g", [], [output], [weights])
    opsets = [helper.make_opsetid("", 18)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=9
    ).SerializeToString()
    return content


def test_yaml_tags_and_templates_in_a_data_set_are_text(folder: Path) -> None:
    tag = '!!python/object/apply:os.system ["touch owned"]'
    document = {"name": tag, "licence": "{{ 7 * 7 }}", "citation": "=cmd|'/c calc'!A1"}
    (folder / "sonotype.json").write_text(json.dumps(document))
    (folder / "data.csv").write_text(f"path,category\n/etc/passwd,{tag}\n../secret.bin,a\n")
    (folder / "README.md").write_text(f"---\nx: {tag}\n---\n")
    assert guarded(folder, "data.csv", "open_source(path)").startswith("refused")


def test_archives_write_nothing_beside_their_folder(folder: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("../owned", "/owned", "a/../../../owned", "..\\owned", "a.txt"):
            archive.writestr(zipfile.ZipInfo(name), "hello")
    (folder / "x.zip").write_bytes(stream.getvalue())
    call = "from sonotype.data.readers.unpack import unpack_zip; unpack_zip(path, folder / 'set')"
    call = f"import tempfile; tempfile.tempdir = str(folder); {call}"
    assert guarded(folder, "x.zip", call).startswith("accepted")
    assert not Path("/owned").exists()


def test_the_guard_sees_what_it_should(folder: Path) -> None:
    (folder / "x").write_bytes(pickle.dumps(Trap(folder / "inside")))
    for call in (
        "import pickle; pickle.loads(path.read_bytes())",
        "import subprocess; subprocess.run(['true'])",
        "open('/etc/passwd').read()",
        "import os; os.mkdir(folder.parent / 'new')",
    ):
        with pytest.raises(AssertionError):
            guarded(folder, "x", call)
