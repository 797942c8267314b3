"""Build a release and install it in clean environments: ``python scripts/release.py --out dist``.

Writes the source archive and the wheel, a software bill of materials (the packages of the
environment, in CycloneDX format), and SHA-256 digests. Then, for each Python that is named, it
makes two environments, with the lowest and with the newest versions that ``pyproject.toml`` allows,
installs the wheel in each, and uses it: train, predict, detect, export. It prints one line for each
environment. Plain pip installs, so pip's own settings apply, such as a local folder of wheels.
"""
# ruff: noqa: S603, T201 - a script runs programs and prints

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
SMOKE = ROOT / "scripts" / "use_installed.py"
EXTRAS = ("onnx", "parquet", "serve")
"""Extras whose versions are varied, besides the required packages."""


def requirements(extras: Sequence[str]) -> list[Requirement]:
    """What the package and some of its extras require."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for name in extras for text in optional[name])]
    return [Requirement(text) for text in texts]


def lowest(required: Sequence[Requirement]) -> list[str]:
    """For each requirement the lowest version that it allows, as a constraint of pip."""
    found = {}
    for one in required:
        bounds = [spec.version for spec in one.specifier if spec.operator in (">=", "~=", "==")]
        if not bounds:
            raise SystemExit(f"pyproject.toml: {one.name} has no lowest version")
        found[one.name] = f"{one.name}=={bounds[0]}"
    return sorted(found.values())


def run(command: Sequence[str | Path], **options: object) -> str:
    """Run a command; show its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return str(done.stdout)


def build(out: Path) -> Path:
    """Write the source archive, and the wheel made from it; return the wheel."""
    run([sys.executable, "-m", "build", "--outdir", out, ROOT])
    [wheel] = out.glob("*.whl")
    return wheel


def write_bill_of_materials(out: Path, python: Path) -> None:
    """Write the packages of an environment, with versions and licences, as CycloneDX JSON."""
    run([sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible",
         "--of", "JSON", "--pyproject", ROOT / "pyproject.toml", "-o", out, python])  # fmt: skip
    content = json.loads(out.read_text(encoding="utf-8"))
    for component in [content["metadata"]["component"], *content["components"]]:
        references = component.pop("externalReferences", [])
        # An editable installation refers to its folder on this computer.
        kept = [one for one in references if not one["url"].startswith("file:")]
        if kept:
            component["externalReferences"] = kept
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_digests(out: Path) -> None:
    """Write the SHA-256 digests of all files of a release."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        for path in sorted(out.iterdir())
        if path.is_file() and path.name != "SHA256SUMS"
    ]
    (out / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")


def install(python: str, folder: Path, wheel: Path, constraints: Sequence[str]) -> Path:
    """A clean environment with the wheel and the extras; return its Python."""
    run([python, "-m", "venv", "--clear", folder])
    own = folder / "bin" / "python"
    pinned = folder / "constraints.txt"
    pinned.write_text("\n".join(constraints) + "\n", encoding="utf-8")
    torch = next((text for text in constraints if text.startswith("torch==")), "torch")
    pip = [own, "-m", "pip", "install", "--quiet", "--constraint", pinned]
    run([*pip, torch])
    run([*pip, f"{wheel}[{','.join(EXTRAS)}]"])
    return own


def check(python: str, name: str, wheel: Path, folder: Path, constraints: Sequence[str]) -> bool:
    """Install the wheel and use it; print what was found."""
    try:
        own = install(python, folder, wheel, constraints)
        versions = json.loads(run([own, "-m", "pip", "list", "--format", "json"]))
        run([own, SMOKE, ROOT / "examples" / "esc10"], cwd=folder)
    except SystemExit as failure:
        (folder / "failure.txt").write_text(str(failure), encoding="utf-8")
        lines = [line for line in str(failure).splitlines() if line.strip()]
        print(f"{python:<28} {name:<8} FAILED: {lines[-1][:200]}")
        return False
    found = {one["name"].lower(): one["version"] for one in versions}
    shown = ", ".join(f"{key} {found[key]}" for key in ("torch", "numpy", "scikit-learn"))
    print(f"{python:<28} {name:<8} works: {shown}", flush=True)
    return True


def main() -> int:
    """Build, and check in each environment; the exit code."""
    parser = argparse.ArgumentParser(description="Build a release and install it.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="new or empty folder")
    parser.add_argument("--python", action="append", help="to check with; repeat for more")
    parser.add_argument("--torch", default="torch", help="newest torch to check, as torch==2.13.0")
    parser.add_argument("--only", choices=("lowest", "newest"), help="check one of both")
    parser.add_argument("--wheel", type=Path, help="check this wheel, and build nothing")
    options = parser.parse_args()
    out, wheel = options.out, options.wheel
    out.mkdir(parents=True, exist_ok=True)
    if wheel is None:
        if any(out.iterdir()):
            raise SystemExit(f"{out}: is not empty; name another folder")
        wheel = build(out)
    cases = {"lowest": lowest(requirements(EXTRAS)), "newest": [options.torch]}
    good = True
    for python in options.python or [sys.executable]:
        for name, constraints in cases.items():
            if options.only in (None, name):
                label = re.sub(r"\W+", "_", f"{python}_{name}").strip("_")
                good &= check(python, name, wheel, out / label, constraints)
    if options.wheel is None:
        write_bill_of_materials(out / "sonotype.cdx.json", Path(sys.executable))
        write_digests(out)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
