"""The page in Chromium: it shows the predictions of sonotype for files and for a microphone."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import soundfile
from browser import Opened, chromium, open_page, overlaps
from exported_models import HEADS, RATE, with_options
from sound_files import noise

import sonotype
from sonotype.modelfile.card import KEY

PAGE = Path(__file__).resolve().parents[2] / "examples" / "browser"
RUNTIME_VARIABLE = "SONOTYPE_TEST_ORT_WEB"
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


OPERATORS = """
<ir_version: 9, opset_import: ["" : 18]>
graph (float[batch, samples] waveform) => (float[batch, 4] event) {
  from = Constant<value_ints: ints = [100]>()
  to = Constant<value_ints: ints = [108]>()
  axis = Constant<value_ints: ints = [1]>()
  part = Slice(waveform, from, to, axis)
  hard = HardSwish(part)
  low, high = Split<axis: int = 1, num_outputs: int = 2>(hard)
  step = Constant<value_float: float = 0.002>()
  zero = Constant<value: tensor = int8 {3}>()
  coarse = QuantizeLinear(low, step, zero)
  rounded = DequantizeLinear(coarse, step, zero)
  gain = Constant<value: tensor = float[4] {20, 21, 22, 23}>()
  shift = Constant<value: tensor = float[4] {0, 0.1, 0, 0.1}>()
  normal = BatchNormalization(rounded, gain, shift, shift, gain)
  size = Shape(high)
  three = Constant<value_int: int = 3>()
  rest = Mod(size, three)
  odd = Cast<to: int = 1>(rest)
  two = Constant<value_ints: ints = [2]>()
  none = Constant<value_ints: ints = [0]>()
  last = Slice(odd, axis, two, none)
  sum = Add(normal, high)
  logits = Mul(sum, last)
  scores = LogSoftmax<axis: int = 1>(logits)
  event = Softmax<axis: int = 1>(scores)
}
"""
"""The operators that networks of other kinds and of 8 bits have and the exported model has not."""


@pytest.fixture(scope="module")
def runtime() -> list[Path]:
    """The files of onnxruntime-web that a user copies."""
    folder = os.environ.get(RUNTIME_VARIABLE)
    if not folder:
        pytest.skip(f"{RUNTIME_VARIABLE} is not set: the folder dist of onnxruntime-web")
    return [Path(folder) / name for name in RUNTIME]


@pytest.fixture(scope="module")
def browser(runtime: list[Path]) -> Iterator[Any]:
    with chromium(*FAKE_MICROPHONE) as started:
        yield started


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def site(tmp_path: Path, runtime: list[Path]) -> Path:
    """The page with the runtime, without a model."""
    folder = tmp_path / "site"
    shutil.copytree(PAGE, folder, ignore=shutil.ignore_patterns("*.onnx", "*.wasm", "ort*"))
    for path in runtime:
        (folder / path.name).symlink_to(path)
    return folder


def until(page: Any, ready: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if ready():
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{what}; the page shows: {page.locator('main').inner_text()}")


def opened_with_model(browser: Any, address: str, width: int = 1400, dark: bool = False) -> Opened:
    opened = open_page(browser, address, width, dark=dark)
    until(opened.page, lambda: opened.page.locator("#file").is_enabled(), "the model is loaded")
    return opened


def classified(page: Any, path: Path) -> dict[str, float]:
    """The probabilities that the page shows for a file."""
    page.locator("#file").set_input_files(path)
    until(page, lambda: path.name in page.locator("#status").inner_text(), "a result")
    return shown(page)


def shown(page: Any) -> dict[str, float]:
    names = page.locator("#bars span").all_inner_texts()
    values = page.locator("#bars data").all_inner_texts()
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def error_of(page: Any) -> str:
    until(page, lambda: page.locator("#error").is_visible(), "an error")
    return str(page.locator("#error").inner_text())


@pytest.mark.parametrize(
    ("pad", "crop"), [("centre", "front"), ("start", "centre"), ("repeat", "front")]
)
def test_files_have_the_predictions_of_sonotype(
    browser: Any, site: Path, exported: Path, tmp_path: Path, pad: str, crop: str
) -> None:
    path = with_options(exported, site / "model.onnx", pad=pad, crop=crop)
    model = sonotype.load(path)
    unknown = set()
    with served(site) as address:
        opened = opened_with_model(browser, address)
        for seed, seconds in enumerate((1.0, 1.0, 0.4, 0.30001, 1.7001, 3.0)):
            wav = tmp_path / f"<b>{seed} ä.wav"
            sound = noise(seconds, seed, RATE)
            samples = np.stack([sound, noise(seconds, 9, RATE)], axis=1) if seed == 1 else sound
            soundfile.write(wav, samples, RATE, subtype="PCM_16")
            wanted = model.predict(wav)
            found = classified(opened.page, wav)
            assert found == pytest.approx(wanted.probabilities["event"], abs=1e-3)
            assert list(found.values()) == sorted(found.values(), reverse=True)
            assert opened.page.locator("#unknown").is_visible() == wanted.is_unknown
            assert f"{wanted.file_seconds:.1f} s" in opened.page.locator("#status").inner_text()
            unknown.add(wanted.is_unknown)
        assert unknown == {True, False}
        assert opened.errors == []
        assert all(request.startswith(address) for request in opened.requests)


def test_a_file_of_another_rate_is_resampled(
    browser: Any, site: Path, exported: Path, tmp_path: Path
) -> None:
    shutil.copy(exported, site / "model.onnx")
    wav = tmp_path / "sound.wav"
    time = np.arange(44_100) / 44_100
    sound = np.sin(2 * np.pi * 300 * time) + np.sin(2 * np.pi * 2000 * time)
    soundfile.write(wav, 0.2 * sound, 44_100, subtype="PCM_16")
    wanted = sonotype.load(exported).predict(wav).probabilities["event"]
    with served(site) as address:
        found = classified(opened_with_model(browser, address).page, wav)
    assert found == pytest.approx(wanted, abs=0.05)


def test_operators_of_other_networks_run_in_browsers(
    browser: Any, site: Path, exported: Path, tmp_path: Path
) -> None:
    proto = onnx.parser.parse_model(OPERATORS)
    proto.metadata_props.extend(one for one in onnx.load(exported).metadata_props if one.key == KEY)
    about = json.loads(proto.metadata_props[0].value)
    proto.metadata_props[0].value = json.dumps(about | {"unknown_threshold": None, "tta_shifts": 2})
    onnx.save(proto, site / "model.onnx")
    samples = noise(1.0, 4, RATE)
    wav = tmp_path / "sound.wav"
    soundfile.write(wav, samples, RATE, subtype="PCM_16")
    clip = soundfile.read(wav, dtype="float32")[0]
    session = onnxruntime.InferenceSession(site / "model.onnx")
    views = np.stack([clip, np.roll(clip, RATE // 2)])
    wanted = session.run(["event"], {"waveform": views})[0].mean(0)
    assert np.ptp(wanted) > 0.01
    with served(site) as address:
        found = classified(opened_with_model(browser, address).page, wav)
    classes = HEADS[-1].classes
    assert found == pytest.approx(dict(zip(classes, wanted.tolist(), strict=True)), abs=1e-3)


def test_the_microphone_is_classified_about_once_a_second(
    browser: Any, site: Path, exported: Path
) -> None:
    shutil.copy(exported, site / "model.onnx")
    with served(site) as address:
        opened = opened_with_model(browser, address)
        page = opened.page
        button, status = page.locator("#microphone"), page.locator("#status")
        page.evaluate(
            """() => {
              globalThis.times = [];
              new MutationObserver(() => times.push(performance.now()))
                .observe(document.getElementById("bars"), { childList: true });
            }"""
        )
        button.click()
        until(page, lambda: page.evaluate("times.length") >= 4, "four results")
        assert "Microphone" in status.inner_text()
        assert sum(shown(page).values()) == pytest.approx(1, abs=0.003)
        assert button.get_attribute("aria-pressed") == "true"
        times = page.evaluate("times")
        assert 700 < np.median(np.diff(times)) < 3000
        button.click()
        until(page, lambda: button.get_attribute("aria-pressed") == "false", "it stops")
        count = page.evaluate("times.length")
        page.wait_for_timeout(1500)
        assert page.evaluate("times.length") == count
        assert opened.errors == []
        assert all(request.startswith(address) for request in opened.requests)


def test_errors_name_the_remedy(browser: Any, site: Path, exported: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    with served(site) as address:
        assert "Export it with sonotype" in error_of(open_page(browser, address, 400).page)
        (site / "model.onnx").write_bytes(b"no model")
        assert "not exported by sonotype" in error_of(open_page(browser, address, 400).page)
        proto = onnx.load(exported)
        del proto.metadata_props[:]
        onnx.save(proto, site / "model.onnx")
        assert "not exported by sonotype" in error_of(open_page(browser, address, 400).page)
        with_options(exported, site / "model.onnx", trim=True)
        assert "trim silence" in error_of(open_page(browser, address, 400).page)
        shutil.copy(exported, site / "model.onnx")
        page = opened_with_model(browser, address).page
        page.locator("#file").set_input_files(text)
        assert "text.wav is no sound file" in error_of(page)
        (site / RUNTIME[0]).unlink()
        assert "README.md says which to copy" in error_of(open_page(browser, address, 400).page)
    assert "python -m http.server" in error_of(open_page(browser, site / "index.html", 400).page)


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_layout(
    browser: Any, site: Path, exported: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    shutil.copy(exported, site / "model.onnx")
    wav = tmp_path / f"{'long name ' * 12}.wav"
    soundfile.write(wav, noise(2.0, 0, RATE), RATE)
    with served(site) as address:
        opened = opened_with_model(browser, address, width, dark)
        classified(opened.page, wav)
        opened.page.evaluate("document.getElementById('unknown').hidden = false")
        assert opened.width == width, "the page does not scroll to the side"
        assert overlaps(opened) == []
        opened.page.keyboard.press("Tab")
        assert opened.page.evaluate("document.activeElement.id") == "file"
