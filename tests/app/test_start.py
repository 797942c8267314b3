"""The start of the server: the page does not wait for the networks."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from app_projects import tones_project

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from sonotype.app import warm_up

HEAVY = ("torch", "scipy", "sklearn", "matplotlib", "pytorch_lightning")

FIRST_PAGE = """
import sys
from pathlib import Path
from sonotype.app.application import create_app
from sonotype.app.open_context import open_context
from sonotype.app.page_server import serve_page
from sonotype.app.clip_values import clip_values
from sonotype.app.snapshot import snapshot
context = open_context(Path(sys.argv[1]), [])
create_app(context)
state = snapshot(context)
assert state["models"][0]["classes"], state["models"]
for one in state["project"]["classes"]:
    clips = context.project.clips(one["name"])
    assert clips
    print([clip_values(clip, context.findings) for clip in clips][0]["file"])
context.findings.of_project()
context.tray.close()
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""


def printed(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()[-1]


def test_the_first_page_needs_no_network(tmp_path: Path) -> None:
    project = tones_project(tmp_path / "sounds", clips=1)
    assert printed(FIRST_PAGE, project.folder, *HEAVY) == ""


def test_what_the_first_explanation_needs_is_imported_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "torch._dynamo" in warm_up.USED  # takes most of the time of the first explanation
    assert all(find_spec(name) for name in warm_up.USED)
    asked: list[str] = []

    def refuse(name: str) -> None:
        asked.append(name)
        raise ImportError(name)

    monkeypatch.setattr(warm_up, "import_module", refuse)
    timer = warm_up.start_warm_up(0.01)
    assert timer.daemon
    timer.join(20)
    assert asked == [*warm_up.USED]
