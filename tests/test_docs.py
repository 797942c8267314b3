"""What the documentation says is what the code does: commands, flags, tables, figures, links."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest
import torch
import typer
import yaml
from script_modules import load_script
from small_models import write_model

import sonotype
from sonotype import errors
from sonotype.cli.main import app
from sonotype.config import NETWORKS, RECIPES, ScoreOptions, SystemOptions, to_dict
from sonotype.models.backbone import BACKBONES, build_backbone
from sonotype.models.model_file import load_model
from sonotype.models.summary import summarise
from sonotype.models.systems import System, cbir_1, cbir_2, cbir_3, cbir_4
from sonotype.training.run_options import RunOptions
from sonotype.weights.builtin import builtin_path
from sonotype.weights.registry import WEIGHTS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SYSTEMS = {"cbir_1": cbir_1, "cbir_2": cbir_2, "cbir_3": cbir_3, "cbir_4": cbir_4}
OPTION_NAMES = {
    field.name for part in get_type_hints(RunOptions).values() for field in dataclasses.fields(part)
}

PROGRAM = typer.main.get_command(app)
CODE_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ |\.venv/bin/)?(sonotype .*)$")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in CODE_BLOCK.findall(text_of(page)) if language in languages]


def commands(page: Path) -> list[str]:
    """Whole commands of the code blocks, without their comments; a backslash joins two lines."""
    codes = [code.replace("\\\n", " ") for code in blocks(page, "", "sh", "console")]
    lines = [line for code in codes for line in code.splitlines()]
    return [match[1] for line in lines if (match := COMMAND.match(line.strip()))]


def inline(page: Path) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"`([^`\n]+)`", CODE_BLOCK.sub("", text_of(page)))


def table(page: Path, mark: str) -> list[list[str]]:
    """Rows of the table between ``<!-- mark -->`` and ``<!-- /mark -->``, its head left out."""
    part = text_of(page).split(f"<!-- {mark} -->")[1].split(f"<!-- /{mark} -->")[0]
    return rows_of(part)


def rows_of(text: str) -> list[list[str]]:
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]


def section(page: Path, title: str) -> str:
    return text_of(page).split(f"\n## {title}\n")[1].split("\n## ")[0]


def verb_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that some words name, and the words behind it."""
    command: Any = PROGRAM
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        known = command.commands
        assert words[0] in known, f"no verb {words[0]!r}; there are {', '.join(known)}"
        command, words = known[words[0]], words[1:]
    return command, words


def flags_of(command: Any) -> set[str]:
    flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    return flags | {"--help", "-h", "--debug"}


def all_flags(command: Any = PROGRAM) -> set[str]:
    deeper = getattr(command, "commands", {}).values()
    return flags_of(command).union(*(all_flags(one) for one in deeper))


def understood(line: str) -> None:
    """Parse a command as the program would, without running it."""
    words = shlex.split(line, comments=True)[1:]
    command, rest = verb_of(words)
    assert not hasattr(command, "commands") or rest, f"{line!r} names no verb"
    if not set(rest) & {"--help", "-h", "--version"}:
        command.make_context(words[0], [word for word in rest if word != "--debug"])


def millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


@pages
def test_commands_are_understood(page: Path) -> None:
    for line in commands(page):
        understood(line)


@pages
def test_verbs_and_flags_in_the_text_exist(page: Path) -> None:
    everywhere = all_flags()
    for span in inline(page):
        flag = re.match(r"--[a-z0-9-]+", span)
        if flag:
            assert flag[0] in everywhere, f"{span}: no command has {flag[0]}"
        if span.startswith("sonotype "):
            command, rest = verb_of(span.split()[1:])
            given = {word for word in rest if word.startswith("-")}
            assert given <= flags_of(command), span


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("sonotype trane recordings", "no verb 'trane'"),
        ("sonotype weights", "names no verb"),
        ("sonotype data check recordings --decoded", "No such option"),
        ("sonotype train recordings --system cbir_5", "cbir_5"),
        ("sonotype train recordings --epochs many", "valid integer"),
        ("sonotype predict", "Missing"),
    ],
)
def test_a_wrong_command_would_be_noticed(line: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        understood(line)


def test_commands_are_found() -> None:
    found = commands(ROOT / "README.md")
    assert "sonotype train recordings --out runs/first" in found
    assert {verb_of(line.split()[1:])[0].name for line in found} == {
        *(
            "check",
            "train",
            "crossval",
            "distill",
            "learning-curve",
            "evaluate",
            "export",
            "predict",
            "info",
        ),
        *("list", "get", "path"),
    }


@pages
def test_python_blocks_compile_and_use_what_there_is(page: Path) -> None:
    for code in blocks(page, "python"):
        tree = ast.parse(code)
        compile(tree, str(page), "exec")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sonotype":
                assert node.attr in sonotype.__all__
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sonotype"):
                module = importlib.import_module(str(node.module))
                assert [one.name for one in node.names if not hasattr(module, one.name)] == []
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "sonotype.train":
                known = OPTION_NAMES | set(inspect.signature(sonotype.train).parameters)
                assert {keyword.arg for keyword in node.keywords} <= known


@pages
def test_json_blocks_are_json(page: Path) -> None:
    for code in blocks(page, "json"):
        assert isinstance(json.loads(code), dict)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(page))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pages
def test_lines_are_readable_without_rendering(page: Path) -> None:
    prose = [
        line
        for line in CODE_BLOCK.sub("", text_of(page)).splitlines()
        if not line.startswith("|") and "](" not in line
    ]
    assert [line for line in prose if len(line) > 105] == []


def test_recipes() -> None:
    rows = table(ROOT / "docs" / "training.md", "recipes")
    names = {name for recipe in RECIPES.values() for name in recipe}
    assert len(rows) == len(names)
    for flag, *shown in rows:
        name = flag.removeprefix("--").replace("-", "_")
        wanted = [RECIPES[recipe][name] for recipe in RECIPES]
        assert shown == [one if isinstance(one, str) else f"{one:g}" for one in wanted]


def test_networks_of_the_recipes() -> None:
    rows = table(ROOT / "docs" / "training.md", "networks")
    assert [flag.removeprefix("--").replace("-", "_") for flag, *_ in rows] == list(
        NETWORKS["student"]
    )
    for flag, *shown in rows:
        name = flag.removeprefix("--").replace("-", "_")
        usual: dict[str, object] = to_dict(SystemOptions()) | to_dict(ScoreOptions())
        values = [NETWORKS[recipe].get(name, usual[name]) for recipe in NETWORKS]
        wanted = [
            ",".join(map(str, one))
            if isinstance(one, tuple)
            else f"{one:g}"
            if isinstance(one, float)
            else one
            for one in values
        ]
        assert shown == wanted


def test_size_of_cached_maps() -> None:
    part = section(ROOT / "docs" / "training.md", "Cached maps")
    rows = {name: cells for names, *cells in rows_of(part) for name in names.split("`, `")}
    assert set(rows) == set(SYSTEMS)
    for name, cells in rows.items():
        for backbone, cell in zip(("vggish", "mn04"), cells, strict=True):
            system = small(name, backbone)
            stage = system.frozen_part(torch.zeros(1, 5 * system.sample_rate))
            assert cell == f"{4 * sum(x.numel() for x in stage.values()) / 1e6:.2f} MB"


def test_options_in_the_model_file() -> None:
    rows = table(ROOT / "docs" / "model_file.md", "options")
    assert [name for name, _ in rows] == [field.name for field in dataclasses.fields(SystemOptions)]


def test_keys_of_the_document(tmp_path: Path) -> None:
    part = section(ROOT / "docs" / "model_file.md", "The document")
    keys = [row[0] for row in rows_of(part.split("<!-- options -->")[0])]
    document, _ = read_model_as_documented()(write_model(tmp_path / "model.safetensors"))
    assert sorted(keys) == sorted(document)


def read_model_as_documented() -> Any:
    """The reader of docs/model_file.md, which knows the format from the text alone."""
    [code] = blocks(ROOT / "docs" / "model_file.md", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    return names["read_model"]


def test_the_documented_reader_reads_what_is_written(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    document, tensors = read_model_as_documented()(path)
    system, card = load_model(path)
    assert document["labels"]["categories"] == list(card.labels.categories)
    assert document["options"]["width"] == card.options.width
    state = system.state_dict()
    assert set(tensors) == set(state)
    for name, (kind, shape, content) in tensors.items():
        dtype = {"F32": torch.float32, "I64": torch.int64}[kind]
        read = torch.frombuffer(bytearray(content), dtype=dtype).reshape(shape)
        assert torch.equal(read, state[name])


def test_the_documented_reader_notices_a_change(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="was changed after it was written"):
        read_model_as_documented()(path)


def test_shapes_of_the_maps() -> None:
    rows = table(ROOT / "docs" / "paper.md", "shapes")
    for column, name in ((1, "vggish"), (2, "mn04")):
        backbone = build_backbone(name).eval()
        waveform = torch.zeros(1, 5 * backbone.sample_rate)
        with torch.inference_mode():
            maps = [backbone.prepare(backbone.front_end(waveform)), *backbone(waveform)]
        shapes = [" x ".join(map(str, x.shape[1:])) for x in maps]
        assert [row[column] for row in rows] == shapes


def small(name: str, backbone: str) -> System:
    return SYSTEMS[name](categories=5, events=50, backbone=backbone)


def test_table_of_systems() -> None:
    rows = rows_of(section(ROOT / "README.md", "Systems").split("| `--backbone`")[0])
    assert [row[0].split("`")[0] for row in rows] == list(SYSTEMS)
    for first, *_, vggish, mn04 in rows:
        for backbone, cell in (("vggish", vggish), ("mn04", mn04)):
            learnt = sum(
                parameter.numel()
                for parameter in small(first.split("`")[0], backbone).parameters()
                if parameter.requires_grad
            )
            digits = 1 if learnt > 1e6 else 2
            assert cell == f"{learnt / 1e6:.{digits}f} M"


def test_table_of_backbones() -> None:
    part = section(ROOT / "README.md", "Systems").split("\n| `--backbone`")[1]
    rows = {row[0].split("`")[0]: row[1:] for row in rows_of(f"| {part}")}
    assert list(rows) == [*BACKBONES, "none"]
    licences = {entry.name: entry.licence for entry in WEIGHTS}
    assert all(rows[name][-1] == "-" for name in ("compact", "none"))
    for name in licences:
        with torch.device("meta"):
            backbone = build_backbone(name)
        count, rate, _, licence = rows[name]
        assert count == millions(sum(parameter.numel() for parameter in backbone.parameters()))
        assert rate == f"{backbone.sample_rate // 1000} kHz"
        assert licence == licences[name] == backbone.licence


def test_defaults_are_marked() -> None:
    part = section(ROOT / "README.md", "Systems")
    assert re.findall(r"^\|? ?`(\w+)` \(default\)", part, re.MULTILINE) == [
        SystemOptions().system,
        SystemOptions().backbone,
    ]


def test_exit_codes() -> None:
    rows = rows_of(section(ROOT / "README.md", "Exit codes"))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = {kind.exit_code for kind in kinds if issubclass(kind, errors.SonotypeError)}
    assert [int(code) for code, _ in rows] == [0, *sorted(ours)]
    shown = re.findall(r"^ +(\d+) ", str(PROGRAM.epilog), re.MULTILINE)
    assert shown == [code for code, _ in rows]


def test_extras() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    part = section(ROOT / "README.md", "Optional parts")
    named = re.findall(r"\.\[(\w+)\]", part)
    assert sorted(named) == sorted(project["optional-dependencies"])


def test_every_figure_stands_in_its_interval() -> None:
    part = section(ROOT / "README.md", "Measured")
    figures = re.findall(r"(0\.\d{3}) \[(0\.\d{3}), (0\.\d{3})\]", part)
    rows = [line for line in part.splitlines() if line.startswith("| `cbir")]
    assert len(figures) == 2 * len(rows) > 0
    assert all(float(low) < float(value) < float(high) for value, low, high in figures)


def test_rooms_are_those_of_the_source() -> None:
    part = section(ROOT / "CONTRIBUTING.md", "The rooms of the house").split("```")[1]
    named = set(re.findall(r"\b(\w+)(?:/|\.py)", part.split("scripts/")[0]))
    source = ROOT / "src" / "sonotype"
    rooms = {
        path.stem
        for path in source.iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or list(path.glob("*.py")))
    }
    assert named - {"src", "sonotype"} == rooms


def test_citation() -> None:
    citation = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == sonotype.__version__
    assert citation["authors"] == [{"name": "The sonotype authors"}]
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert citation["license"] == project["license"] == "Apache-2.0"
    paper, *networks = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Chen", "Gupta"]
    titles = [network["title"].lower() for network in networks]
    for entry in WEIGHTS:
        assert any(title in entry.citation.lower() for title in titles), entry.name


def test_licence_and_notice() -> None:
    licence = text_of(ROOT / "LICENSE")
    assert licence.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in licence
    notice = " ".join(text_of(ROOT / "NOTICE").split())
    for entry in WEIGHTS:
        title = re.split(r"\(\d{4}\)\. ", entry.citation)[1].split(". ICASSP")[0]
        assert title.lower() in notice.lower(), entry.name
    assert "CC BY-NC" in notice


class FakeTrain:
    """Stands for ``sonotype.train`` and remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.interrupted = False

    def __call__(self, *arguments: Any, **options: Any) -> FakeTrain:
        self.calls.append((arguments, options))
        return self


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, FakeTrain]:
    """The demo script with its run folder elsewhere, and what stands for its training."""
    module, fake = load_script("demo"), FakeTrain()
    monkeypatch.setattr(module, "RUN", tmp_path / "run")
    monkeypatch.setattr(module, "ALONE", tmp_path / "alone")
    monkeypatch.setattr(sonotype, "train", fake, raising=False)
    return module, fake


@pytest.mark.parametrize(("name", "backbone"), [("TRANSFER", "builtin"), ("SCRATCH", "none")])
def test_the_demo_trains_with_options_that_exist(
    demo: tuple[ModuleType, FakeTrain], name: str, backbone: str
) -> None:
    module, fake = demo
    assert module.train(module.RUN, getattr(module, name))
    [(arguments, options)] = fake.calls
    assert arguments == (module.DATA, module.RUN)
    chosen = RunOptions.of({name: options[name] for name in options if name in OPTION_NAMES})
    assert (chosen.system.system, chosen.system.backbone) == ("cbir_2", backbone)
    assert set(options) - OPTION_NAMES == {"progress", "say"}


def test_the_demo_goes_on_with_an_unfinished_run(demo: tuple[ModuleType, FakeTrain]) -> None:
    module, fake = demo
    module.RUN.mkdir()
    (module.RUN / "config.json").touch()
    fake.interrupted = True
    assert not module.train(module.RUN, module.SCRATCH)
    [(arguments, options)] = fake.calls
    assert arguments == (None, module.RUN)
    assert options["resume"] is True


def test_the_demo_does_not_train_twice(
    demo: tuple[ModuleType, FakeTrain], capsys: pytest.CaptureFixture[str]
) -> None:
    module, fake = demo
    module.RUN.mkdir()
    (module.RUN / "scores.json").touch()
    assert module.train(module.RUN, module.SCRATCH)
    assert fake.calls == []
    assert "finished before" in capsys.readouterr().out


def test_the_card_of_the_built_in_model_is_its_own() -> None:
    page = text_of(ROOT / "docs" / "builtin.md")
    path = builtin_path()
    system, card = load_model(path)
    event, category = card.scores["event"], card.scores["category"]
    for figure in (event["accuracy"], event["f1"], category["f1"], category["accuracy"]):
        value, low, high = (f"{figure[name]:.3f}" for name in ("value", "low", "high"))
        assert f"{value} [{low}, {high}]" in page
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|$", page, re.M)
    assert {row[0]: row[1:] for row in rows} == {
        one["label"]: (*(f"{one[name]:.2f}" for name in ("precision", "recall", "f1")),
                       str(one["support"]))
        for one in event["per_class"]
    }  # fmt: skip
    assert card.scores["clips"] == 800
    assert card.training["clips"] == {"train": 1600, "val": 0, "test": 0}
    total = summarise(system, card.options.seconds).total
    assert millions(total.parameters) in page
    assert f"{total.multiply_adds / 1e6:.0f} million multiply-adds" in page
    assert f"{path.stat().st_size / 1e6:.1f} MB" in page
    assert path.stat().st_size <= 3_000_000
    assert set(card.licences.values()) == {"CC BY-NC 3.0", "MIT"}
    for head, temperature in card.training["temperature"].items():
        assert f"{head}: {temperature:.2f}" in page
