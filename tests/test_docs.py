"""The documentation agrees with the code: commands, flags, Python, tables, links."""

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
from typing import Any, get_type_hints

import pytest
import torch
import typer
import yaml
from documentation import CODE_BLOCK, DOCS, PAGES, README, ROOT, blocks, commands, text_of
from small_models import write_model

import sonotype
from sonotype.cli.main import program
from sonotype.config import NETWORKS, RECIPES, ScoreOptions, SystemOptions, to_dict
from sonotype.core import errors
from sonotype.core.types import Head
from sonotype.data.readers.source import open_source
from sonotype.experiments.run_options import RunOptions
from sonotype.modelfile.model_file import load_model
from sonotype.modelfile.pretrained import builtin_path
from sonotype.modelfile.weights_registry import WEIGHTS
from sonotype.models.backbones.names import BACKBONES, build_backbone
from sonotype.models.build import cbir_1, cbir_2, cbir_3, cbir_4
from sonotype.models.summary import summarise
from sonotype.models.system import System

SYSTEMS = {"cbir_1": cbir_1, "cbir_2": cbir_2, "cbir_3": cbir_3, "cbir_4": cbir_4}
OPTION_NAMES = {
    field.name for kind in get_type_hints(RunOptions).values() for field in dataclasses.fields(kind)
}
TRAIN_ARGUMENTS = OPTION_NAMES | set(inspect.signature(sonotype.train).parameters)

PROGRAM = typer.main.get_command(program())

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def tables(page: Path, *header: str) -> list[list[list[str]]]:
    """Rows of each table whose header begins with these cells."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text_of(page), re.MULTILINE):
        lines = [line.strip("|").split("|") for line in block.splitlines()]
        head, _, *rows = [[cell.strip().strip("`") for cell in line] for line in lines]
        if tuple(head[: len(header)]) == header:
            found.append(rows)
    return found


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that some words name, and the remaining words."""
    command: Any = PROGRAM
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        known = command.commands
        assert words[0] in known, f"no command {words[0]!r}; there are {', '.join(known)}"
        command, words = known[words[0]], words[1:]
    return command, words


def flags_of(command: Any) -> set[str]:
    flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    return flags | {"--help", "-h", "--debug"}


def all_flags(command: Any = PROGRAM) -> set[str]:
    children = getattr(command, "commands", {}).values()
    return flags_of(command).union(*(all_flags(child) for child in children))


def parse(line: str) -> None:
    """Parse a command as the program does, without running it."""
    words = shlex.split(line, comments=True)[1:]
    command, rest = command_of(words)
    assert not hasattr(command, "commands") or rest, f"{line!r} names no command"
    if not set(rest) & {"--help", "-h", "--version"}:
        command.make_context(words[0], [word for word in rest if word != "--debug"])


@pages
def test_commands_parse(page: Path) -> None:
    for line in commands(page):
        parse(line)


@pages
def test_commands_and_flags_in_the_text_exist(page: Path) -> None:
    everywhere = all_flags()
    for span in re.findall(r"`([^`\n]+)`", CODE_BLOCK.sub("", text_of(page))):
        if flag := re.match(r"--[a-z0-9-]+", span):
            assert flag[0] in everywhere, f"{span}: no command has {flag[0]}"
        if span.startswith("sonotype "):
            command, rest = command_of(span.split()[1:])
            assert {word for word in rest if word.startswith("-")} <= flags_of(command), span


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("sonotype trane recordings", "no command 'trane'"),
        ("sonotype weights", "names no command"),
        ("sonotype data check recordings --decoded", "No such option"),
        ("sonotype train recordings --system cbir_5", "cbir_5"),
        ("sonotype predict", "Missing"),
    ],
)
def test_a_wrong_command_is_noticed(line: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        parse(line)


def test_the_readme_shows_the_main_commands() -> None:
    shown = {command_of(line.split()[1:])[0].name for line in commands(README)}
    assert {"train", "predict", "evaluate", "crossval", "distill", "export", "info"} <= shown


@pages
def test_python_blocks_compile_and_use_names_that_exist(page: Path) -> None:
    for code in blocks(page, "python"):
        tree = ast.parse(code)
        compile(tree, str(page), "exec")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sonotype":
                assert node.attr in sonotype.__all__
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sonotype"):
                module = importlib.import_module(str(node.module))
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "sonotype.train":
                assert {keyword.arg for keyword in node.keywords} <= TRAIN_ARGUMENTS


@pages
def test_json_blocks_are_json(page: Path) -> None:
    for code in blocks(page, "json"):
        assert isinstance(json.loads(code), dict)


@pages
def test_links_and_paths_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(page))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []
    paths = re.findall(r"`((?:src|scripts|studies|benchmarks)/[\w/.]+)`", text_of(page))
    assert [path for path in paths if not (ROOT / path).exists()] == []


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as Markdown viewers make them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pages
def test_anchors_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", text_of(page))
    assert [
        f"{name}#{anchor}"
        for name, anchor in targets
        if anchor not in anchors(page.parent / name if name else page)
    ] == []


def shown(value: object) -> str:
    """An option value as the tables show it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def test_recipes() -> None:
    [recipes] = tables(DOCS / "training.md", "option", *RECIPES)
    [networks] = tables(DOCS / "training.md", "option", *NETWORKS)
    names = {name for recipe in RECIPES.values() for name in recipe}
    assert len(recipes) == len(names)
    for flag, *cells in recipes:
        name = flag.removeprefix("--").replace("-", "_")
        assert cells == [shown(recipe[name]) for recipe in RECIPES.values()]
    usual: dict[str, object] = to_dict(SystemOptions()) | to_dict(ScoreOptions())
    assert len(networks) == len({name for network in NETWORKS.values() for name in network})
    for flag, *cells in networks:
        name = flag.removeprefix("--").replace("-", "_")
        assert cells == [shown(network.get(name, usual[name])) for network in NETWORKS.values()]


def small(name: str, backbone: str) -> System:
    return SYSTEMS[name](categories=5, events=50, backbone=backbone)


def test_size_of_cached_feature_maps() -> None:
    [rows] = tables(DOCS / "training.md", "", "vggish", "mn04")
    sizes = {name: cells for names, *cells in rows for name in names.split("`, `")}
    assert set(sizes) == set(SYSTEMS)
    for name, cells in sizes.items():
        for backbone, cell in zip(("vggish", "mn04"), cells, strict=True):
            system = small(name, backbone)
            feature_maps = system.frozen_part(torch.zeros(1, 5 * system.sample_rate))
            assert cell == f"{4 * sum(x.numel() for x in feature_maps.values()) / 1e6:.2f} MB"


def test_table_of_systems() -> None:
    [rows] = tables(README, "--system")
    assert [row[0].split("`")[0] for row in rows] == list(SYSTEMS)
    for first, *_, vggish, mn04 in rows:
        for backbone, cell in (("vggish", vggish), ("mn04", mn04)):
            parameters = small(first.split("`")[0], backbone).parameters()
            trained = sum(weight.numel() for weight in parameters if weight.requires_grad)
            assert cell == f"{trained / 1e6:.{1 if trained > 1e6 else 2}f} M"


def test_table_of_backbones() -> None:
    [table] = tables(README, "--backbone")
    rows = {row[0].split("`")[0]: row[1:] for row in table}
    assert list(rows) == [*BACKBONES, "none"]
    for entry in WEIGHTS:
        with torch.device("meta"):
            backbone = build_backbone(entry.name)
        count, rate, _, licence = rows[entry.name]
        parameters = sum(weight.numel() for weight in backbone.parameters())
        assert count == f"{parameters / 1e6:.2f} M"
        assert rate == f"{backbone.sample_rate // 1000} kHz"
        assert licence == entry.licence == backbone.licence


def test_shapes_of_the_feature_maps() -> None:
    [rows] = tables(DOCS / "paper.md", "after")
    for column, name in ((1, "vggish"), (2, "mn04")):
        backbone = build_backbone(name).eval()
        waveform = torch.zeros(1, 5 * backbone.sample_rate)
        with torch.inference_mode():
            maps = [backbone.prepare(backbone.front_end(waveform)), *backbone(waveform)]
        assert [row[column] for row in rows] == [" x ".join(map(str, x.shape[1:])) for x in maps]


def test_exit_codes() -> None:
    [rows] = tables(README, "code", "meaning")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = {kind.exit_code for kind in kinds if issubclass(kind, errors.SonotypeError)}
    assert [int(code) for code, _ in rows] == [0, *sorted(ours)]
    epilog = re.findall(r"^ +(\d+) ", str(PROGRAM.epilog), re.MULTILINE)
    assert epilog == [code for code, _ in rows]


def test_extras() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    [rows] = tables(README, "install", "for")
    assert sorted(re.findall(r"\.\[(\w+)\]", str(rows))) == sorted(project["optional-dependencies"])


def read_model_as_documented() -> Any:
    """The reader in docs/model_file.md."""
    [code] = blocks(DOCS / "model_file.md", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    return names["read_model"]


def test_the_documented_reader_reads_a_model_file(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    document, tensors = read_model_as_documented()(path)
    system, card = load_model(path)
    assert [head["classes"] for head in document["heads"]] == [
        list(head.classes) for head in card.heads
    ]
    assert document["options"]["width"] == card.options.width
    [keys] = tables(DOCS / "model_file.md", "key", "value")
    assert sorted(row[0] for row in keys) == sorted(document)
    [options] = tables(DOCS / "model_file.md", "key", "meaning")
    assert [row[0] for row in options] == [
        field.name for field in dataclasses.fields(SystemOptions)
    ]
    [entries] = tables(DOCS / "model_file.md", "key", "content")
    assert [row[0] for row in entries] == [field.name for field in dataclasses.fields(Head)]
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


def test_the_page_of_the_built_in_model_agrees_with_its_file() -> None:
    page = text_of(DOCS / "builtin.md")
    system, card = load_model(builtin_path())
    for head in card.heads:
        scores = card.scores["heads"][head.name]
        for figure in (scores["accuracy"], scores["f1"]):
            value, low, high = (f"{figure[name]:.3f}" for name in ("value", "low", "high"))
            assert f"{value} [{low}, {high}]" in page
        # Files of earlier formats have weights that are divided by the temperature.
        temperature = card.training.get("temperature", {}).get(head.name, head.temperature)
        assert f"{head.name}: {temperature:.2f}" in page
    total = summarise(system, card.options.seconds).total
    assert f"{total.parameters / 1e6:.2f} M parameters" in page
    assert f"{total.multiply_adds / 1e6:.0f} million multiply-adds" in page
    assert f"{builtin_path().stat().st_size / 1e6:.1f} MB" in page
    [rows] = tables(DOCS / "builtin.md", "class", "precision")
    assert [row[0] for row in rows] == [
        entry["label"] for entry in card.scores["heads"]["event"]["per_class"]
    ]


def test_citation_licence_and_notice() -> None:
    citation = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert citation["version"] == sonotype.__version__
    assert citation["license"] == project["license"] == "Apache-2.0"
    assert "Apache License" in text_of(ROOT / "LICENSE")
    titles = [reference["title"].lower() for reference in citation["references"]]
    notice = " ".join(text_of(ROOT / "NOTICE").lower().split())
    assert "cc by-nc" in notice
    for entry in WEIGHTS:
        title = re.split(r"\(\d{4}\)\. ", entry.citation)[1].split(". ICASSP")[0].lower()
        assert any(known in entry.citation.lower() for known in titles), entry.name
        assert title in notice, entry.name


def test_the_demo_trains_with_options_that_exist() -> None:
    tree = ast.parse(text_of(ROOT / "scripts" / "demo.py"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    [training] = [call for call in calls if ast.unparse(call.func) == "sonotype.train"]
    given = {str(keyword.arg): keyword.value for keyword in training.keywords}
    assert set(given) <= TRAIN_ARGUMENTS
    options = {name: ast.literal_eval(value) for name, value in given.items()}
    chosen = RunOptions.of({name: options[name] for name in OPTION_NAMES & set(options)})
    assert (chosen.train.recipe, chosen.system.backbone) == ("linear", "builtin")


def test_the_clips_of_the_demo_are_readable_and_attributed() -> None:
    folder = ROOT / "examples" / "esc10"
    manifest = open_source(folder)
    assert (len(manifest.clips), len(manifest.heads[0].classes)) == (80, 10)
    attribution = text_of(folder / "ATTRIBUTION.md")
    for clip in manifest.clips:
        assert clip.path.relative_to(folder).as_posix() in attribution
