"""Build a release and install it in clean environments: ``python scripts/release.py --out dist``.

Writes the source archive, the wheel, a software bill of materials and SHA-256 digests. ``build``
makes the wheel from the source archive, not from the working tree; that both have the same files is
checked. For each Python that is named, the script makes two environments, with the lowest and with
the newest versions that ``pyproject.toml`` allows, installs the wheel and its extras in each, and
uses it: train, predict, detect, export, and what the extras add. It prints one line for each
environment. Plain pip installs, so pip's own settings apply, such as a local folder of wheels.

The bill of materials, in CycloneDX format, describes the first environment with the newest
versions, as pip installed it: each package with version, licence and digest of the file that was
installed, the wheel, the source archive and the built-in model.

The extra ``ray`` is left out because Ray is large and its tests start a cluster; ``sed`` because
sed-scores-eval has no wheel and needs a C++ compiler. The tests of the project use ``ray``.
"""
# ruff: noqa: S603, T201 - a script runs programs and prints

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
SMOKE = ROOT / "scripts" / "use_installed.py"
EXTRAS = ("app", "hub", "live", "onnx", "parquet", "remote", "search", "serve", "tensorboard")
"""Extras that are installed and whose versions are varied, besides the required packages."""
LEFT_OUT = ("bench", "dev", "docs", "ray", "release", "sed")
"""Extras that are not installed: those of developers, and two for the reasons above."""
MODELS = ".safetensors"
SHOWN = ("torch", "numpy", "scikit-learn", "onnxruntime")
REPORT = "pip_report_{}.json"


@dataclass(frozen=True)
class Release:
    """The files of a release.

    Attributes:
        sdist: the source archive.
        wheel: the wheel that was built from it.
    """

    sdist: Path
    wheel: Path


def requirements(extras: Sequence[str]) -> list[Requirement]:
    """What the package and some of its extras require."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for name in extras for text in optional[name])]
    return [Requirement(text) for text in texts]


def lowest(required: Sequence[Requirement]) -> list[str]:
    """For each package the lowest version that all requirements allow, as a constraint of pip."""
    found: dict[str, Version] = {}
    for one in required:
        bounds = [spec.version for spec in one.specifier if spec.operator in (">=", "~=", "==")]
        if not bounds:
            raise SystemExit(f"pyproject.toml: {one.name} has no lowest version")
        bound = Version(bounds[0])
        found[one.name] = max(bound, found.get(one.name, bound))
    return sorted(f"{name}=={bound}" for name, bound in found.items())


def run(command: Sequence[str | Path], **options: object) -> str:
    """Run a command; return what it prints, and show its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return str(done.stdout)


def sha256(content: bytes) -> str:
    """The SHA-256 digest in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def python_in(environment: Path) -> Path:
    """The Python of an environment that ``venv`` made."""
    windows = environment / "Scripts" / "python.exe"
    return windows if os.name == "nt" else environment / "bin" / "python"


def build(out: Path) -> Release:
    """Write the source archive, and the wheel made from it."""
    # Without --sdist and --wheel, build unpacks its own source archive to make the wheel.
    run([sys.executable, "-m", "build", "--outdir", out, ROOT])
    [sdist], [wheel] = out.glob("*.tar.gz"), out.glob("*.whl")
    release = Release(sdist, wheel)
    if differing := different_files(release):
        raise SystemExit(f"{wheel}: is not made from {sdist}: {', '.join(differing[:5])}")
    return release


def different_files(release: Release) -> list[str]:
    """Files of the package that the wheel and the source archive do not share; empty if right."""
    with tarfile.open(release.sdist) as archive:
        packed = {
            str(PurePosixPath(*PurePosixPath(member.name).parts[2:])): sha256(file.read())
            for member in archive
            if "/src/sonotype/" in member.name and (file := archive.extractfile(member))
        }
    with zipfile.ZipFile(release.wheel) as wheel:
        names = [name for name in wheel.namelist() if name.startswith("sonotype/")]
        built = {name: sha256(wheel.read(name)) for name in names}
    return sorted(name for name in packed | built if packed.get(name) != built.get(name))


def install(python: str, folder: Path, wheel: Path, constraints: Sequence[str]) -> Path:
    """A clean environment with the wheel and the extras; return its Python.

    pip's reports of what it installed are left in the folder.
    """
    run([python, "-m", "venv", "--clear", folder])
    own = python_in(folder)
    pinned = folder / "constraints.txt"
    pinned.write_text("\n".join(constraints) + "\n", encoding="utf-8")
    torch = next((text for text in constraints if text.startswith("torch==")), "torch")
    for number, wanted in enumerate([torch, f"{wheel}[{','.join(EXTRAS)}]"]):
        report = folder / REPORT.format(number)
        run([own, "-m", "pip", "install", "--quiet", "--report", report,
             "--constraint", pinned, wanted])  # fmt: skip
    return own


def installed(folder: Path) -> dict[str, str]:
    """The packages that pip installed in an environment, and the SHA-256 digests of their files.

    pip, and what else ``venv`` adds, is not among them; a package that was built here, from a
    source archive, has the digest of that archive.
    """
    found = {}
    for path in sorted(folder.glob(REPORT.format("*"))):
        for one in json.loads(path.read_text(encoding="utf-8"))["install"]:
            digest = one["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
            found[canonicalize_name(one["metadata"]["name"])] = digest or ""
    return found


def check(python: str, name: str, wheel: Path, folder: Path, constraints: Sequence[str]) -> bool:
    """Install the wheel and use it; print what was found."""
    try:
        own = install(python, folder, wheel, constraints)
        versions = json.loads(run([own, "-m", "pip", "list", "--format", "json"]))
        used = run([own, SMOKE, ROOT / "examples" / "esc10"], cwd=folder)
    except SystemExit as failure:
        (folder / "failure.txt").write_text(str(failure), encoding="utf-8")
        lines = [line for line in str(failure).splitlines() if line.strip()]
        print(f"{python:<28} {name:<8} FAILED: {lines[-1][:200]}", flush=True)
        return False
    (folder / "used.txt").write_text(used, encoding="utf-8")
    found = {one["name"].lower(): one["version"] for one in versions}
    shown = ", ".join(f"{key} {found[key]}" for key in SHOWN)
    print(f"{python:<28} {name:<8} works: {run([own, '--version']).strip()}, {shown}", flush=True)
    return True


def write_bill_of_materials(out: Path, release: Release, folder: Path) -> None:
    """Write what an environment contains, and the files of the release, as CycloneDX JSON."""
    own = python_in(folder)
    run([sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible",
         "--of", "JSON", "--pyproject", ROOT / "pyproject.toml", "-o", out, own])  # fmt: skip
    content = completed(
        json.loads(out.read_text(encoding="utf-8")), installed(folder), release_files(release)
    )
    place = f"{platform.system()} {platform.machine()}, {run([own, '--version']).strip()}"
    content["metadata"]["properties"].append({"name": "sonotype:environment", "value": place})
    text = json.dumps(content, indent=2) + "\n"
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    version = SchemaVersion.from_version(content["specVersion"])
    if fault := JsonStrictValidator(version).validate_str(text):
        raise SystemExit(f"{out}: is not valid CycloneDX {content['specVersion']}: {fault}")
    out.write_text(text, encoding="utf-8")


def release_files(release: Release) -> list[dict[str, Any]]:
    """The files of a release as components: the archives, and the models in the wheel."""
    archives = (release.sdist, release.wheel)
    with zipfile.ZipFile(release.wheel) as wheel:
        models = sorted(name for name in wheel.namelist() if name.endswith(MODELS))
        return [
            *(_component("file", path.name, path.read_bytes()) for path in archives),
            *(_component("machine-learning-model", name, wheel.read(name)) for name in models),
        ]


def completed(
    content: Mapping[str, Any], packages: Mapping[str, str], files: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A bill of materials with digests and with the files of the release.

    Args:
        content: what cyclonedx_py wrote.
        packages: names and digests of what pip installed; other packages are removed.
        files: components to add.

    Raises:
        SystemExit: an installed package is missing, or has no digest.
    """
    components = []
    for component in content["components"]:
        name = canonicalize_name(component["name"])
        if name in packages:
            components.append({**_without_paths(component), "hashes": _hashes(packages[name])})
    own = content["metadata"]["component"]
    missing = set(packages) - {canonicalize_name(one["name"]) for one in (own, *components)}
    unknown = {name for name, digest in packages.items() if not digest}
    if missing or unknown:
        raise SystemExit(
            "the bill of materials lacks packages or digests: "
            + ", ".join(sorted(missing | unknown))
        )
    kept = {one["bom-ref"] for one in components}
    root = _without_paths(content["metadata"]["component"])
    named = [one["bom-ref"] for one in files]
    dependencies = list(_dependencies(content["dependencies"], kept, root["bom-ref"], named))
    return {
        **content,
        "metadata": {**content["metadata"], "component": root},
        "components": [*components, *files],
        "dependencies": dependencies,
    }


def _dependencies(
    given: Sequence[Mapping[str, Any]], kept: set[str], root: str, files: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for one in given:
        if one["ref"] in kept | {root}:
            wanted = [ref for ref in one.get("dependsOn", []) if ref in kept]
            wanted += files if one["ref"] == root else []
            yield (
                {"ref": one["ref"], "dependsOn": sorted(wanted)} if wanted else {"ref": one["ref"]}
            )
    yield from ({"ref": ref} for ref in files)


def _without_paths(component: Mapping[str, Any]) -> dict[str, Any]:
    """A component without references to folders of this computer."""
    references = component.get("externalReferences", [])
    kept = [one for one in references if not one["url"].startswith("file:")]
    rest = {key: value for key, value in component.items() if key != "externalReferences"}
    return {**rest, "externalReferences": kept} if kept else rest


def _component(kind: str, name: str, content: bytes) -> dict[str, Any]:
    return {"type": kind, "bom-ref": f"file:{name}", "name": name,
            "hashes": _hashes(sha256(content))}  # fmt: skip


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def write_digests(out: Path) -> None:
    """Write the SHA-256 digests of all files of a release."""
    lines = [
        f"{sha256(path.read_bytes())}  {path.name}"
        for path in sorted(out.iterdir())
        if path.is_file() and path.name != "SHA256SUMS"
    ]
    (out / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Build, and check in each environment; the exit code."""
    parser = argparse.ArgumentParser(description="Build a release and install it.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="new or empty folder")
    parser.add_argument("--python", action="append", help="to check with; repeat for more")
    parser.add_argument("--torch", default="torch", help="newest torch to check, as torch==2.13.0")
    parser.add_argument("--only", choices=("lowest", "newest"), help="check one of both")
    parser.add_argument("--wheel", type=Path, help="check this wheel, and build nothing")
    options = parser.parse_args()
    out, wheel = options.out.resolve(), options.wheel and options.wheel.resolve()
    if wheel is None and options.only == "lowest":
        parser.error("--only lowest: the bill of materials needs newest; name --wheel too")
    out.mkdir(parents=True, exist_ok=True)
    release = None
    if wheel is None:
        if any(out.iterdir()):
            raise SystemExit(f"{out}: is not empty; name another folder")
        release = build(out)
        wheel = release.wheel
    cases = {"lowest": lowest(requirements(EXTRAS)), "newest": [options.torch]}
    results: dict[tuple[str, Path], bool] = {}
    for python in options.python or [sys.executable]:
        for name, constraints in cases.items():
            if options.only in (None, name):
                folder = out / re.sub(r"\W+", "_", f"{python}_{name}").strip("_")
                results[name, folder] = check(python, name, wheel, folder, constraints)
    good = all(results.values())
    if release and good:
        described = next(folder for name, folder in results if name == "newest")
        write_bill_of_materials(out / "sonotype.cdx.json", release, described)
        write_digests(out)
    elif release:
        print("no bill of materials and no digests are written, because a check failed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
