"""An exported file is compared with its model before it is written, and is used as a model."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from small_models import HEADS, write_model
from training_data import RATE, write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import (
    MissingExtraError,
    ModelFileError,
    OptionsError,
    SonotypeError,
)
from sonotype.export import onnx as export_room
from sonotype.export.onnx import export_onnx
from sonotype.export.quantise import unquantised_nodes
from sonotype.inference.onnx_windows import WINDOWS_KEY
from sonotype.inference.prediction import Failure, Prediction
from sonotype.modelfile.card import KEY, ModelCard, document_of
from sonotype.models.system import System


@pytest.fixture(scope="module", autouse=True)
def one_graph() -> Iterator[None]:
    """All tests export one model, so its graph is made once."""
    graphs: dict[str, bytes] = {}
    original = export_room.onnx_graph

    def graph(system: System, card: ModelCard) -> bytes:
        weights = hashlib.sha256(document_of(card).encode())
        for tensor in system.state_dict().values():
            weights.update(tensor.contiguous().numpy().tobytes())
        key = weights.hexdigest()
        if key not in graphs:
            graphs[key] = original(system, card)
        return graphs[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(export_room, "onnx_graph", graph)
        yield
    assert len(graphs) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_model(folder / "model.safetensors", card={"category_source": "events"})
    write_tones(folder / "tönes", clips=3)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def exported(folder: Path, model: Path) -> Path:
    return export_onnx(model, folder / "model.onnx").path


def with_document(exported: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The exported model with another document in its metadata, which no digest covers."""
    proto = onnx.load(exported)
    [entry] = [one for one in proto.metadata_props if one.key == KEY]
    values = json.loads(entry.value)
    change(values)
    entry.value = json.dumps(values)
    onnx.save(proto, path)
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda values: values["heads"][1]["parent_index"].pop(),
            "parent_index of head 'event' has 3 entries for 4 classes",
        ),
        (
            lambda values: values["heads"][0]["classes"].append("c"),
            "its output category has 2 classes, the header names 3",
        ),
        (
            lambda values: values["heads"][1].update(classes=["x"], parent_index=[0]),
            "its output event has 4 classes, the header names 1",
        ),
        (
            lambda values: values["heads"].pop(),
            "its outputs are ['category', 'embedding', 'event'], not ['category', 'embedding']",
        ),
        (lambda values: values.update(sample_rate="16000"), 'sample_rate is "16000", must be a'),
        (lambda values: values.clear(), "the header is no readable description of a model"),
    ],
)
def test_a_header_that_does_not_fit(
    exported: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    path = with_document(exported, tmp_path / "m.onnx", change)
    with pytest.raises(ModelFileError) as caught:
        sonotype.load(path)
    assert str(caught.value).startswith(f"{path}: the ")
    assert reason in str(caught.value)


def numbers(prediction: Prediction | Failure) -> np.ndarray:
    assert isinstance(prediction, Prediction)
    return np.concatenate(list(prediction.proba.values()))


def test_without_data_both_are_compared_on_synthesised_clips(folder: Path, model: Path) -> None:
    report = export_onnx(model, folder / "new" / "a.onnx")
    assert report.path == folder / "new" / "a.onnx"
    assert (report.clips, report.synthetic) == (25, True)
    assert report.difference < 1e-4
    assert report.before == report.after == {}
    assert [one.name for one in report.path.parent.iterdir()] == ["a.onnx"]


def test_a_classifier_with_its_own_options_is_compared_with_these(
    folder: Path, model: Path
) -> None:
    own = sonotype.load(model, tta_shifts=3, category_source="head")
    assert export_onnx(own, folder / "own.onnx").difference < 1e-4


def test_the_name_of_an_export_ends_in_onnx(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = model.read_bytes()
    assert run(["export", str(model), "--out", str(model)]) == 2
    assert (
        capsys.readouterr().err == f"error: {model}: the name of an exported model ends in .onnx\n"
    )
    assert model.read_bytes() == before


def test_with_data_both_are_scored(folder: Path, model: Path) -> None:
    report = export_onnx(model, folder / "b.onnx", data=folder / "tönes")
    assert (report.clips, report.synthetic) == (12, False)
    assert report.difference < 1e-4
    scores = sonotype.evaluate(model, folder / "tönes")
    wanted = {name: head.accuracy.value for name, head in scores.heads.items()}
    for found in (report.before, report.after):
        assert {name: head.accuracy.value for name, head in found.items()} == wanted


def test_the_file_predicts_as_the_model_does(folder: Path, model: Path, exported: Path) -> None:
    ours, theirs = sonotype.load(model), sonotype.load(exported)
    assert theirs.card == ours.card
    assert theirs.category_source == "events"
    paths = [*sorted((folder / "tönes").rglob("*.wav")), folder / "none.wav"]
    wanted = list(ours.predict_files(paths))
    found = list(theirs.predict_files(paths, batch_size=5))
    assert [one.source for one in found] == [one.source for one in wanted]
    for one, other in zip(found[:-1], wanted[:-1], strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-4)
        np.testing.assert_array_equal(numbers(one), numbers(theirs.predict(one.source)))
    assert found[-1] == wanted[-1] == Failure(str(folder / "none.wav"), "does not exist")
    assert isinstance(found[0], Prediction)
    assert found[0].attention == ()
    rolled = sonotype.load(exported, tta_shifts=3).predict(paths[0])
    wanted_rolled = sonotype.load(model, tta_shifts=3).predict(paths[0])
    np.testing.assert_allclose(numbers(rolled), numbers(wanted_rolled), atol=1e-4)


@pytest.mark.parametrize(("seconds", "hop"), [(1.02, 0.25), (7.3, 0.3337), (70.0, 0.5)])
def test_windows_share_their_maps_as_those_of_the_model(
    model: Path, exported: Path, seconds: float, hop: float
) -> None:
    rng = np.random.default_rng(0)
    level = np.repeat(rng.uniform(0.01, 0.3, int(5 * seconds) + 1), RATE // 5)
    sound = (level * rng.standard_normal(len(level)))[: round(seconds * RATE)]
    ours, theirs, exact = (
        list(sonotype.load(path).predict_windows(sound, hop, sample_rate=RATE, exact=exact))
        for path, exact in ((model, False), (exported, False), (exported, True))
    )
    assert [one.start for one in theirs] == [one.start for one in ours]
    found = np.array([numbers(one) for one in theirs])
    np.testing.assert_allclose(found, [numbers(one) for one in ours], rtol=0, atol=1e-4)
    assert np.abs(found - [numbers(one) for one in exact]).max() > 1e-4 or seconds < 2


def test_an_ensemble_of_a_model_and_its_export(folder: Path, model: Path, exported: Path) -> None:
    path = min((folder / "tönes").rglob("*.wav"))
    both = sonotype.load_ensemble([model, exported]).predict(path)
    np.testing.assert_allclose(
        numbers(both), numbers(sonotype.load(model).predict(path)), atol=1e-4
    )


def test_prediction_needs_no_torch(folder: Path, exported: Path) -> None:
    code = (
        "import sys; from sonotype.cli.main import run; code = run(sys.argv[1:]); "
        "assert code == 0 and 'torch' not in sys.modules and 'onnx' not in sys.modules"
    )
    argv = [sys.executable, "-c", code, "predict", str(exported), str(folder / "tönes")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 13
    longer = folder / "longer.wav"
    soundfile.write(longer, np.random.default_rng(0).normal(size=3 * RATE) * 0.1, RATE)
    windows = [*argv[:-1], str(longer), "--hop", "0.1"]
    done = subprocess.run([*windows, "--format", "csv"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1 + 21
    single = [sys.executable, "-c", code, "info", str(exported)]
    shown = subprocess.run(single, capture_output=True, text=True, check=True).stdout
    assert "beep, buzz, hum, whistle" in shown
    assert "an ONNX graph of " in shown.splitlines()[-1]


def test_a_file_with_other_probabilities_is_not_written(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_room, "MAX_DIFFERENCE", -1.0)
    with pytest.raises(SonotypeError) as caught:
        export_onnx(model, folder / "c.onnx")
    assert str(caught.value).startswith(f"{folder / 'c.onnx'} is not written: it differs from ")
    assert str(caught.value).endswith(" in a probability, more than -1")
    assert not (folder / "c.onnx").exists()


def test_eight_bits(folder: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "int8.onnx"
    argv = ["export", str(model), "--int8", "--data", str(folder / "tönes"), "--out", str(out)]
    assert run(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["file", "difference", "category", "event"]
    # Six clips set the ranges, the six others measure the difference.
    assert lines[1].endswith(" in a probability on 6 clips")
    assert "accuracy " in lines[3]
    proto = onnx.load(out)
    front = set(unquantised_nodes(proto))
    kinds = [node.op_type for node in proto.graph.node if node.name not in front]
    assert kinds.count("QuantizeLinear") > 8
    inside = [node.op_type for node in proto.graph.node if node.name in front]
    assert "Conv" in inside
    assert "QuantizeLinear" not in inside
    keys = {entry.key for entry in proto.metadata_props}
    assert KEY in keys
    assert WINDOWS_KEY not in keys
    path = min((folder / "tönes").rglob("*.wav"))
    prediction = sonotype.load(out).predict(path)
    assert tuple(prediction.probabilities["event"]) == HEADS[1].classes


def test_eight_bits_need_data(model: Path, folder: Path) -> None:
    with pytest.raises(OptionsError, match="int8 needs data"):
        export_onnx(model, folder / "d.onnx", int8=True)


def test_an_export_cannot_be_exported(exported: Path, folder: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        export_onnx(exported, folder / "e.onnx")
    assert str(caught.value) == (f"{exported} is no model.safetensors; only those can be exported")


def test_invalid_files(folder: Path, exported: Path) -> None:
    missing = folder / "missing.onnx"
    with pytest.raises(ModelFileError) as caught:
        sonotype.load(missing)
    assert str(caught.value) == f"{missing}: cannot be read (No such file or directory)"
    broken = folder / "broken.onnx"
    broken.write_bytes(exported.read_bytes()[:2_000])
    with pytest.raises(ModelFileError, match=r"broken\.onnx: is no ONNX model, or damaged \("):
        sonotype.load(broken)
    foreign = folder / "foreign.onnx"
    proto = onnx.load(exported)
    del proto.metadata_props[:]
    onnx.save(proto, foreign)
    with pytest.raises(ModelFileError) as caught:
        sonotype.load(foreign)
    assert str(caught.value) == f"{foreign}: is an ONNX model, but sonotype did not export it"
    with pytest.raises(OptionsError) as caught_options:
        sonotype.load(exported, device="cuda")
    assert str(caught_options.value) == "device cuda: a model.onnx runs on the cpu here"


def test_without_onnxruntime_the_extra_is_named(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError) as caught:
        sonotype.load(exported)
    assert str(caught.value) == "a model.onnx needs an optional part: pip install 'sonotype[onnx]'"


def test_the_file_is_written_beside_its_model(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "m.safetensors"
    copy.write_bytes(model.read_bytes())
    assert run(["export", str(copy), "--to", "onnx"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"file:        {tmp_path / 'm.onnx'} (")
    (tmp_path / "m.onnx").write_text("mine")
    assert run(["export", str(copy), "--to", "onnx"]) == 2
    assert capsys.readouterr().err == (
        f"error: --out {tmp_path / 'm.onnx'}: exists already; name another file, or add --force\n"
    )
    assert (tmp_path / "m.onnx").read_text() == "mine"
    assert run(["export", str(copy), "--to", "onnx", "--force"]) == 0
    assert (tmp_path / "m.onnx").stat().st_size > 1000
    capsys.readouterr()
    (tmp_path / "link.onnx").symlink_to("m.safetensors")
    assert run(["export", str(copy), "--out", str(tmp_path / "link.onnx"), "--force"]) == 2
    assert f"link.onnx: is an input ({copy}); name another file" in capsys.readouterr().err
    assert "on 25 synthetic clips" in shown
