"""The source archive, the bill of materials and the versions that a release is checked with."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from script_modules import load_script

ROOT = Path(__file__).resolve().parent.parent
RELEASE = load_script("release")

NOT_IN_ARCHIVE = (".ci/", ".gitignore")
"""Of the service that runs the checks, and of git."""
MADE = {"PKG-INFO", "setup.cfg"}
BY_SETUPTOOLS = "src/sonotype.egg-info/"
STRAY = (
    "runs/first/model.safetensors", "secret.txt", ".env", ".venv/pyvenv.cfg", "dist/old.whl",
    "tests/__pycache__/test_docs.cpython-311.pyc", "docs/.DS_Store", ".mypy_cache/3.11/a.json",
    "src/sonotype/__pycache__/a.cpython-311.pyc", "examples/browser/ort.wasm.bundle.min.mjs",
    "examples/browser/model.onnx", "examples/browser/runtime/a.js", "demo/index.html",
)  # fmt: skip
"""Files of one computer, which no source archive may contain."""


def tracked() -> list[str]:
    """The files that git knows and that are there."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git repository, or git is missing: its files are not known")
    argv = ["git", "-C", str(ROOT), "ls-files", "-z"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The tracked files, and the source archive of a copy of them that has stray files too."""
    version = pytest.importorskip("setuptools").__version__
    if int(version.partition(".")[0]) < 77:
        pytest.skip(f"setuptools {version} cannot build the project, 77 can")
    files = tracked()
    folder = tmp_path_factory.mktemp("copy")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for name in STRAY:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("private")
    out = tmp_path_factory.mktemp("dist")
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    argv = [sys.executable, "-c", code, str(out)]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [path] = out.glob("*.tar.gz")
    return files, path


def test_the_source_archive_has_the_files_of_the_repository(
    archive: tuple[list[str], Path],
) -> None:
    files, path = archive
    with tarfile.open(path) as opened:
        names = {member.name.partition("/")[2] for member in opened if member.isfile()}
        texts = {
            name: file.read()
            for name in ("MANIFEST.in", "tests/conftest.py", "docs/attention.png")
            if (file := opened.extractfile(f"{path.name.removesuffix('.tar.gz')}/{name}"))
        }
    expected = {name for name in files if not name.startswith(NOT_IN_ARCHIVE)}
    made = {name for name in names if name.startswith(BY_SETUPTOOLS)} | MADE
    assert sorted(expected - names) == []
    assert sorted(names - expected - made) == []
    assert {name: (ROOT / name).read_bytes() for name in texts} == texts


def test_the_archive_has_what_a_reader_needs(archive: tuple[list[str], Path]) -> None:
    with tarfile.open(archive[1]) as opened:
        names = {member.name.partition("/")[2] for member in opened}
    needed = {
        "CHANGELOG.md", "CITATION.cff", "LICENSE", "NOTICE", "constraints.txt", "Makefile",
        "docs/index.md", "scripts/demo.py", "examples/esc10/ATTRIBUTION.md", "tests/sound_files.py",
        "benchmarks/__main__.py", "tests/test_docs.py", "mkdocs.yml",
    }  # fmt: skip
    assert needed <= names


def packed(folder: Path, files: dict[str, bytes]) -> Path:
    """A source archive with these files of the package."""
    path = folder / "sonotype-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"README.md": b"text", **files}.items():
            place = name if name == "README.md" else f"src/sonotype/{name}"
            member = tarfile.TarInfo(f"sonotype-1/{place}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def wheel_of(folder: Path, files: dict[str, bytes]) -> Path:
    """A wheel with these files of the package."""
    path = folder / "sonotype-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("sonotype-1.dist-info/METADATA", "Name: sonotype")
        for name, content in files.items():
            wheel.writestr(f"sonotype/{name}", content)
    return path


@pytest.mark.parametrize(
    ("source", "built", "expected"),
    [
        ({"a.py": b"1", "app/page/b.js": b"2"}, {"a.py": b"1", "app/page/b.js": b"2"}, []),
        ({"a.py": b"1"}, {"a.py": b"2"}, ["sonotype/a.py"]),
        ({"a.py": b"1", "b.py": b""}, {"a.py": b"1"}, ["sonotype/b.py"]),
        ({"a.py": b"1"}, {"a.py": b"1", "c.py": b""}, ["sonotype/c.py"]),
    ],
)
def test_files_in_which_the_archives_differ_are_found(
    tmp_path: Path, source: dict[str, bytes], built: dict[str, bytes], expected: list[str]
) -> None:
    release = RELEASE.Release(packed(tmp_path, source), wheel_of(tmp_path, built))
    assert RELEASE.different_files(release) == expected


def test_the_lowest_version_is_that_which_all_requirements_allow() -> None:
    texts = ["numpy>=1.26", "fsspec[http]>=2024.2", "mkdocs>=1.6,<2", "numpy>=1.9", "av~=14.1"]
    assert RELEASE.lowest([Requirement(text) for text in texts]) == [
        "av==14.1", "fsspec==2024.2", "mkdocs==1.6", "numpy==1.26",
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="torch has no lowest version"):
        RELEASE.lowest([Requirement("torch<3")])


def test_each_extra_is_checked_or_left_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*RELEASE.EXTRAS, *RELEASE.LEFT_OUT]
    assert sorted(named) == sorted(project["optional-dependencies"])
    assert RELEASE.lowest(RELEASE.requirements(RELEASE.EXTRAS))


def test_the_python_of_an_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert RELEASE.python_in(tmp_path).parent.parent == tmp_path
    monkeypatch.setattr(os, "name", "posix")
    assert RELEASE.python_in(tmp_path) == tmp_path / "bin" / "python"


def reported(folder: Path, number: int, packages: dict[str, dict[str, Any]]) -> None:
    """A report of pip; the values are what it downloaded."""
    entries = [
        {"metadata": {"name": name}, "download_info": info} for name, info in packages.items()
    ]
    path = folder / RELEASE.REPORT.format(number)
    path.write_text(json.dumps({"install": entries}), encoding="utf-8")


def test_digests_come_from_the_reports_of_pip(tmp_path: Path) -> None:
    reported(tmp_path, 0, {"torch": {"archive_info": {"hashes": {"sha256": "a" * 64}}}})
    reported(
        tmp_path,
        1,
        {
            "Jinja2": {"archive_info": {"hashes": {"sha256": "b" * 64}}},
            "typing_extensions": {"dir_info": {}},
        },
    )
    assert RELEASE.installed(tmp_path) == {
        "torch": "a" * 64, "jinja2": "b" * 64, "typing-extensions": "",
    }  # fmt: skip


def bill() -> dict[str, Any]:
    """What cyclonedx_py writes, in the small."""
    local = [{"type": "distribution", "url": "file:///home/someone/sonotype.whl"}]
    web = [{"type": "website", "url": "https://example.org"}]
    return {
        "metadata": {"component": {"bom-ref": "root-component", "name": "sonotype"}},
        "components": [
            {"bom-ref": "numpy==2", "name": "numpy", "externalReferences": web},
            {"bom-ref": "pip==23", "name": "pip"},
            {"bom-ref": "sonotype==1", "name": "sonotype", "externalReferences": local},
        ],
        "dependencies": [
            {"ref": "numpy==2"},
            {"ref": "pip==23"},
            {"ref": "root-component", "dependsOn": ["numpy==2", "pip==23"]},
            {"ref": "sonotype==1", "dependsOn": ["numpy==2"]},
        ],
    }


def test_the_bill_of_materials_has_digests_and_no_other_packages() -> None:
    files = [{"type": "file", "bom-ref": "file:a.whl", "name": "a.whl"}]
    done = RELEASE.completed(bill(), {"numpy": "a" * 64, "sonotype": "b" * 64}, files)
    digests = {one["name"]: one.get("hashes") for one in done["components"]}
    assert digests == {
        "numpy": [{"alg": "SHA-256", "content": "a" * 64}],
        "sonotype": [{"alg": "SHA-256", "content": "b" * 64}],
        "a.whl": None,
    }
    assert done["dependencies"] == [
        {"ref": "numpy==2"},
        {"ref": "root-component", "dependsOn": ["file:a.whl", "numpy==2"]},
        {"ref": "sonotype==1", "dependsOn": ["numpy==2"]},
        {"ref": "file:a.whl"},
    ]
    assert "file:///" not in json.dumps(done)
    assert "https://example.org" in json.dumps(done)


@pytest.mark.parametrize(
    ("packages", "missing"),
    [({"numpy": "a", "torch": "b"}, "torch"), ({"numpy": "", "sonotype": "b"}, "numpy")],
)
def test_a_bill_of_materials_with_gaps_is_an_error(packages: dict[str, str], missing: str) -> None:
    with pytest.raises(SystemExit, match=missing):
        RELEASE.completed(bill(), packages, [])


def test_the_archives_and_the_model_are_components(tmp_path: Path) -> None:
    files = {"a.py": b"1", "assets/builtin.safetensors": b"weights"}
    release = RELEASE.Release(packed(tmp_path, files), wheel_of(tmp_path, files))
    found = {(one["type"], one["name"]): one["hashes"][0] for one in RELEASE.release_files(release)}
    contents = {
        ("file", "sonotype-1.tar.gz"): release.sdist.read_bytes(),
        ("file", "sonotype-1-py3-none-any.whl"): release.wheel.read_bytes(),
        ("machine-learning-model", "sonotype/assets/builtin.safetensors"): b"weights",
    }
    assert found == {
        key: {"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}
        for key, content in contents.items()
    }


def test_the_bill_of_materials_of_an_environment(tmp_path: Path) -> None:
    """It is that of the environment that is named, and not of the Python that runs."""
    pytest.importorskip("cyclonedx_py")
    folder = tmp_path / "clean"
    argv = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(argv, check=True, capture_output=True)
    [packages] = [*folder.rglob("site-packages")]
    (packages / "Tiny_Package-1.5.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: Tiny_Package\nVersion: 1.5\nLicense: MIT\n"
    (packages / "Tiny_Package-1.5.dist-info" / "METADATA").write_text(metadata)
    digest = {"archive_info": {"hashes": {"sha256": "c" * 64}}}
    reported(folder, 0, {"tiny-package": digest})
    files = {"assets/builtin.safetensors": b"weights"}
    release = RELEASE.Release(packed(tmp_path, files), wheel_of(tmp_path, files))
    out = tmp_path / "sonotype.cdx.json"
    RELEASE.write_bill_of_materials(out, release, folder)
    written = json.loads(out.read_text(encoding="utf-8"))
    names = [one["name"] for one in written["components"]]
    assert names == [
        "Tiny_Package", release.sdist.name, release.wheel.name,
        "sonotype/assets/builtin.safetensors",
    ]  # fmt: skip
    assert written["components"][0]["version"] == "1.5"
    assert written["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


def test_the_digests_of_a_release(tmp_path: Path) -> None:
    (tmp_path / "b.whl").write_bytes(b"1")
    (tmp_path / "a.tar.gz").write_bytes(b"2")
    (tmp_path / "environment").mkdir()
    RELEASE.write_digests(tmp_path)
    RELEASE.write_digests(tmp_path)
    expected = [f"{hashlib.sha256(content).hexdigest()}  {name}"
                for name, content in (("a.tar.gz", b"2"), ("b.whl", b"1"))]  # fmt: skip
    assert (tmp_path / "SHA256SUMS").read_text().splitlines() == expected


@pytest.mark.parametrize("arguments", [["--only", "lowest"], []])
def test_a_release_is_not_written_over_files(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.whl").write_bytes(b"old")
    monkeypatch.setattr(sys, "argv", ["release.py", "--out", str(tmp_path), *arguments])
    with pytest.raises(SystemExit):
        RELEASE.main()
    assert [path.name for path in tmp_path.iterdir()] == ["old.whl"]
    assert (tmp_path / "old.whl").read_bytes() == b"old"
