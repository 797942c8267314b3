"""Backbones from model files, from the package and from published files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_models import write_model

from sonotype.core.errors import OptionsError, WeightsError
from sonotype.modelfile import pretrained
from sonotype.modelfile.model_file import load_model
from sonotype.modelfile.pretrained import available, builtin_path, load_pretrained
from sonotype.models.backbones.compact import Compact


def compact(path: Path) -> Path:
    licences = {"licences": {"mn04": "MIT", "data tones": "CC0-1.0"}}
    return write_model(path, backbone="compact", width=0, unfreeze_from=1, card=licences)


def test_the_first_branch_of_a_model_file(tmp_path: Path) -> None:
    path = compact(tmp_path / "small.safetensors")
    found = load_pretrained(str(path))
    assert isinstance(found.backbone, Compact)
    assert found.name == "builtin", "its shape; it is not trained from scratch again"
    assert found.licences == {"mn04": "MIT", "data tones": "CC0-1.0"}
    weights = load_model(path)[0].branch_1.state_dict()
    for name, tensor in found.backbone.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_a_branch_as_wide_as_its_options_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    with pytest.raises(OptionsError, match="was trained with backbone none"):
        load_pretrained(str(path))


def test_the_builtin_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact(tmp_path / "small.safetensors")
    monkeypatch.setattr(pretrained, "builtin_path", lambda: path)
    found = load_pretrained("builtin")
    assert isinstance(found.backbone, Compact)
    assert found.name == "builtin"


def test_auto_is_mn04_or_the_builtin_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    assert available("mn10", on_message=messages.append) == "mn10"
    monkeypatch.setattr(pretrained, "weights_path", lambda *_, **__: tmp_path / "mn04.pt")
    assert available("auto", on_message=messages.append) == "mn04"
    assert messages == []

    def refuse(*_: object, **__: object) -> None:
        raise WeightsError("there is no network")

    monkeypatch.setattr(pretrained, "weights_path", refuse)
    monkeypatch.setattr(pretrained, "builtin_path", lambda: tmp_path)
    assert available("auto", on_message=messages.append) == "builtin"
    [message] = messages
    assert "backbone builtin" in message
    assert "mn04 is not available: there is no network" in message
    monkeypatch.setattr(pretrained, "builtin_path", refuse)
    with pytest.raises(WeightsError, match="there is no network"):
        available("auto", on_message=messages.append)


def test_a_package_without_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonotype.modelfile.builtin.files", lambda _: tmp_path)
    with pytest.raises(WeightsError, match=r"builtin.safetensors is missing"):
        builtin_path()


def test_the_model_in_the_package() -> None:
    path = builtin_path()
    assert path.stat().st_size <= 3_000_000
    system, card = load_model(path)
    assert isinstance(system.branch_1, Compact)
    assert [len(head.classes) for head in card.heads] == [5, 50]
    assert card.sample_rate == 16_000
    assert card.licences["data esc50"].startswith("CC BY-NC")
    assert card.scores["notes"], "whose scores these are"
    waveform = torch.randn(2, 80_000, generator=torch.manual_seed(0))
    with torch.inference_mode():
        output = system(waveform)
    assert torch.isfinite(output.logits["event"]).all()
    assert isinstance(load_pretrained("builtin").backbone, Compact)
