"""The files for a container: an ordinary user, a read-only file system, and no torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def test_compose_runs_an_ordinary_user_on_a_read_only_file_system() -> None:
    [service] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"].values()
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert [entry.partition(":")[0] for entry in service["tmpfs"]] == ["/tmp"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert all(volume["read_only"] for volume in service["volumes"])
    assert (DOCKER.parent / service["build"]["dockerfile"]).is_file()


def test_the_image_runs_as_that_user_and_copies_files_that_exist() -> None:
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    assert re.findall(r"^USER (.*)$", text, re.M) == ["10001:10001"]
    assert "HEALTHCHECK" in text
    kept = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for name in line.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in kept


def test_the_image_has_no_packages_for_training() -> None:
    done = subprocess.run(
        [sys.executable, DOCKER / "requirements.py"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    names = {re.split(r"[<>=\[]", line)[0] for line in done.stdout.splitlines()}
    assert {"fastapi", "onnxruntime", "av", "typer"} <= names
    assert names.isdisjoint({"torch", "pytorch-lightning", "scikit-learn", "matplotlib"})
