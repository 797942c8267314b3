"""The page of ``sonotype app`` in Chromium; its server runs in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import soundfile
from browser import Opened, chromium
from training_data import RATE, tone

HERTZ = {"beep": 1500.0, "hum": 200.0}
"""Classes of the sounds, and their frequencies; the microphone delivers beeps."""
BACKGROUND = "background"
BUTTONS = """
window.buttons = new Set();
new MutationObserver((changes) => {
  for (const { target } of changes) {
    const button = (target.closest ? target : target.parentElement)?.closest("button");
    if (!button) continue;
    window.buttons.add(button.textContent.trim()).add(button.getAttribute("aria-label"));
  }
}).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
"""
"""Keeps what buttons said, however short."""
SOON = 60_000
"""Milliseconds that a test waits for what comes soon."""
VIOLATION = "addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective))"
PICTURES = "[...document.images].every((image) => image.complete)"
"""Whether all pictures have arrived."""
REFUSED = "Failed to load resource"
"""How the browser begins its own message about an answer that is an error."""


@dataclass
class Server:
    """A server that runs, and its project."""

    project: Path
    address: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    def get(self, path: str) -> Any:
        """The JSON values of a resource."""
        answer = httpx.get(self.address + path, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()


def start_server(project: Path, *models: Path, port: int = 0) -> Server:
    """Start ``sonotype app`` without any weights besides the built-in ones."""
    environment = {name: value for name, value in os.environ.items() if name != "SONOTYPE_WEIGHTS"}
    command = [sys.executable, "-m", "sonotype", "app", *map(str, models)]
    options = ["--no-browser", "--port", str(port), "--project", str(project)]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith("page: http://127.0.0.1:"), first
    return Server(project, first.split()[1].rstrip("/"), process)


def stop_server(server: Server) -> None:
    """End a server as Ctrl-C does, and wait for its end."""
    server.process.terminate()
    server.process.wait(30)
    assert server.process.stdout is not None
    server.process.stdout.close()


@contextmanager
def served(project: Path, *models: Path) -> Iterator[Server]:
    """A server that ends with the block."""
    server = start_server(project, *models)
    try:
        yield server
    finally:
        stop_server(server)


@contextmanager
def listening_browser(folder: Path) -> Iterator[Any]:
    """A browser whose microphone delivers beeps. Pages have to be allowed to use it.

    Args:
        folder: for the sound of the microphone.
    """
    path = folder / "microphone.wav"
    samples = np.concatenate([samples_of("beep", seed) for seed in range(100, 120)])
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    device = "--use-fake-device-for-media-stream"
    with chromium(device, f"--use-file-for-fake-audio-capture={path}") as browser:
        yield browser


@contextmanager
def page_at(
    browser: Any, server: Server, tab: str = "build", *, expected: tuple[str, ...] = (),
    model: str = "", script: str = "", **options: Any,
) -> Iterator[Opened]:  # fmt: skip
    """A page of a person of their own. At the end it has asked no other host, and has no errors.

    Args:
        browser: from :func:`listening_browser`.
        server: of the page.
        tab: which is shown first.
        expected: beginnings of messages in the console that are no fault.
        model: id of the model to choose.
        script: runs before those of the page.
        options: of ``browser.new_context``; the microphone is allowed unless they say otherwise.
    """
    chosen = {"permissions": ["microphone"], "viewport": {"width": 1400, "height": 900}}
    context = browser.new_context(**chosen | options)
    context.add_init_script(VIOLATION)
    context.add_init_script(BUTTONS)
    if script:
        context.add_init_script(script)
    opened = Opened(context.new_page())
    opened.page.set_default_timeout(SOON)
    _watch(opened, server)
    opened.page.goto(f"{server.address}/#{tab}")
    expect(opened.page.get_by_test_id("project")).to_contain_text(server.project.name)
    if model:
        opened.page.get_by_test_id("model-select").select_option(model)
    try:
        yield opened
    finally:
        context.close()
    errors = [text for text in opened.errors if not text.startswith(expected)]
    assert not opened.requests + errors, opened.requests + errors


def _watch(opened: Opened, server: Server) -> None:
    own = (f"{server.address}/", "data:", f"blob:{server.address}/")

    def asked(request: Any) -> None:
        if not request.url.startswith(own):
            opened.requests.append(request.url)

    opened.page.on("request", asked)
    opened.page.on("console", lambda message: opened.errors.append(_said(message)))
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on("dialog", lambda dialog: (opened.errors.append("dialog"), dialog.dismiss()))


def _said(message: Any) -> str:
    """A message of the console; that of a refused request names the address, too."""
    text = str(message.text)
    return f"{text} {message.location['url']}" if text.startswith(REFUSED) else text


def expect(locator: Any, seconds: float = SOON / 1000) -> Any:
    """Assertions of playwright, which wait for a while."""
    from playwright.sync_api import expect as assertions

    assertions.set_options(timeout=seconds * 1000)
    return assertions(locator)


def until(page: Any, condition: Callable[[], bool], seconds: float = SOON / 1000) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        page.wait_for_timeout(30)


def until_said(page: Any, button: str) -> None:
    """Wait until a button has had a text or a label since the last call; it may be another now."""
    until(page, lambda: page.evaluate("(text) => window.buttons.delete(text)", button))


def card(page: Any, label: str) -> Any:
    """The card of a class."""
    return page.locator(f'[data-testid=class-card][aria-label="{label}"]')


def top_label(page: Any, bars: str) -> str:
    """The class of the first bar, empty without bars."""
    found = page.get_by_test_id(bars).get_by_test_id("bar")
    return str(found.first.get_attribute("data-label")) if found.count() else ""


def upload(name: str, content: bytes) -> dict[str, Any]:
    """A file for the file input of a page."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    """A WAV file of 16 bits."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def sounds_of(label: str, count: int = 5, first: int = 0) -> list[dict[str, Any]]:
    """Files with sounds of a class."""
    return [
        upload(f"{label} {seed}.wav", wav(samples_of(label, seed)))
        for seed in range(first, first + count)
    ]


def samples_of(label: str, seed: int) -> np.ndarray:
    """A second of a sound of a class; level and noise differ from sound to sound."""
    rng = np.random.default_rng(seed)
    noise = 10 ** rng.uniform(-2.3, -1.3) * rng.standard_normal(RATE).astype(np.float32)
    return noise + rng.uniform(0.3, 1) * tone(HERTZ[label], seed) if label in HERTZ else noise


def add_sound(page: Any, name: str, content: bytes) -> None:
    """Add a sound in Try, and wait for its answer."""
    page.get_by_test_id("try-file").set_input_files([upload(name, content)])
    expect(page.get_by_test_id("try-name")).to_have_text(name)
    expect(page.get_by_test_id("try-bars").get_by_test_id("bar").first).to_be_visible()
    expect(page.get_by_test_id("try-clip")).to_contain_text("Of the part")
