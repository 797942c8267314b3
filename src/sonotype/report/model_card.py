"""A model card: what a model recognises, how good it is, what limits it, as Markdown.

Every sentence follows from the model file, or from the run folder with it; what these do not record
is stated as unknown. The structure follows Mitchell et al., "Model cards for model reporting"
(2019).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.json_text import read_json
from sonotype.core.text import counted, printable
from sonotype.data.splits.split_file import SPLIT, read_split
from sonotype.evaluation.metrics import Scores, scores_from_json
from sonotype.experiments.run_folder import CONFIG, SCORES, config_of_folder
from sonotype.experiments.run_options import RunOptions
from sonotype.inference.locate import find_model
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.hub_address import is_hub_address, parse_address
from sonotype.report.card_limits import licence_rows, limits
from sonotype.report.card_repeat import repeat_lines
from sonotype.report.card_scores import detection, score_section, trust
from sonotype.report.front_matter import front_matter
from sonotype.report.levels import trained_clips
from sonotype.report.markdown import md, table

ONNX = ".onnx"


@dataclass(frozen=True)
class CardSource:
    """What a card is made from.

    Attributes:
        name: of the model.
        file: name of the model file.
        card: of the model file.
        scores: on held-out clips; ``None`` if there are none.
        options: of the run; ``None`` for a model file without a run folder.
        unreadable: whether the options of the run cannot be read, as those of another version.
        trained: by level and class the number of training clips; empty likewise.
        unit: what was scored: ``"clip"``, or ``"window"`` of an annotated recording.
    """

    name: str
    file: str
    card: ModelCard
    scores: Scores | None
    options: RunOptions | None
    unreadable: bool
    trained: dict[str, dict[str, int]]
    unit: str


def model_card(run_or_model: str | Path, address: str = "") -> str:
    """The card of a run, of a ``model.safetensors`` or of a ``model.onnx``.

    Args:
        run_or_model: the model, or its address on the Hugging Face Hub.
        address: where the model will be on the Hub, such as ``hf://user/name``; the card then
            says how to use it from there.

    Raises:
        MissingExtraError: a ``model.onnx``, but onnxruntime is not installed.
        ModelFileError: there is no model, or its file is invalid.
        SonotypeError: a file of the run cannot be read.
    """
    source = read_source(Path(run_or_model))
    if is_hub_address(address or run_or_model):
        where = parse_address(address or run_or_model)
        source = replace(source, name=where.repository.rpartition("/")[2], file=str(where))
    blocks = [
        front_matter(source.name, source.card, source.scores, source.unit),
        f"# {md(source.name)}",
        *_introduction(source),
        "## Classes",
        *_classes(source.card),
        "## Use",
        *_use(source),
        "## Training",
        *_training(source),
        "## Scores",
        *score_section(source.scores, source.unit, source.trained),
        "## Unknown sounds and calibration",
        *trust(source.card, source.scores),
        *detection(source.card),
        "## Limits and intended use",
        "\n".join(f"- {text}" for text in limits(source.card, source.scores, source.trained)),
        "## Licences",
        *_licences(source.card),
        "## Repeat the training",
        *repeat_lines(source.card, source.options, unreadable=source.unreadable),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def read_source(path: Path) -> CardSource:
    """Read a model file, and the run folder if that was named.

    Raises:
        MissingExtraError: a ``model.onnx``, but onnxruntime is not installed.
        ModelFileError: there is no model, or its file is invalid.
        SonotypeError: a file of the run cannot be read.
    """
    file = find_model(path)
    card = _read_card(file)
    scores = _scores(card.scores, file) if card.scores else None
    found = card.detection
    # Only a training on annotated recordings fits a frame head without sonotype tune.
    windows = found is not None and bool(found.frame_scales) and "recordings" not in found.tuned
    unit = "window" if windows else "clip"
    if not path.is_dir():
        stem, folder = file.stem, file.absolute().parent.name
        name = folder if stem == "model" else stem
        return CardSource(name, file.name, card, scores, None, False, {}, unit)
    if (path / SCORES).is_file():
        scores = _scores(_json(path / SCORES), path / SCORES)
    options, unreadable = None, False
    if (path / CONFIG).is_file():
        try:
            options = config_of_folder(path)[1]
        except OptionsError:
            unreadable = True
    trained = _trained(path / SPLIT, card) if (path / SPLIT).is_file() else {}
    name = path.absolute().resolve().name
    return CardSource(name, file.name, card, scores, options, unreadable, trained, unit)


def _read_card(file: Path) -> ModelCard:
    if file.suffix.lower() == ONNX:
        from sonotype.inference.onnx_engine import load_onnx

        return load_onnx(file)[1]
    from sonotype.modelfile.model_file import read_card

    return read_card(file)


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise SonotypeError(f"{path} cannot be read ({error})") from None


def _scores(values: Any, path: Path) -> Scores:
    try:
        return scores_from_json(values)
    except SonotypeError as error:
        raise SonotypeError(f"{path}: {error}") from None


def _trained(path: Path, card: ModelCard) -> dict[str, dict[str, int]]:
    """Training clips of each class."""
    rows = [row for row in read_split(path) if row["subset"] == "train"]
    heads = [head for head in card.heads if rows and head.name in rows[0]]
    counts = {head.name: trained_clips(rows, head) for head in heads}
    return {head.name: {name: counts[head.name][name] for name in head.classes} for head in heads}


def _introduction(source: CardSource) -> Iterator[str]:
    card = source.card
    what = " and ".join(
        f"{'any' if head.problem == 'multi' else 'one'} of {len(head.classes)} labels of the level "
        f"{md(head.name)}"
        for head in card.heads
    )
    version = card.versions.get("sonotype", "unknown")
    yield (
        f"An audio classifier that was trained with sonotype {version}. It gives a sound of "
        f"{card.options.seconds:g} s {what}, with probabilities."
    )


def _classes(card: ModelCard) -> Iterator[str]:
    for head in card.heads:
        kind = "a sound has any number of them" if head.problem == "multi" else "a sound has one"
        yield f"{len(head.classes)} labels of the level {md(head.name)} ({kind}):"
        if head.parent is None:
            yield ", ".join(map(md, head.classes))
            continue
        parent = next(one for one in card.heads if one.name == head.parent)
        rows = [
            [
                md(name),
                ", ".join(
                    md(label)
                    for label, index in zip(head.classes, head.parent_index, strict=True)
                    if index == number
                ),
            ]
            for number, name in enumerate(parent.classes)
        ]
        yield table([md(parent.name), md(head.name)], rows)


def _use(source: CardSource) -> Iterator[str]:
    card = source.card
    file = printable(shlex.quote(source.file))
    commands = [
        f"sonotype predict {file} sounds             # one prediction for each file",
        f"sonotype predict {file} recording.wav --hop 1 --format csv --out windows.csv",
        f"sonotype evaluate {file} labelled_sounds   # scores on your own labelled sounds",
    ]
    if card.detection is not None:
        commands.append(f"sonotype detect {file} recordings --out events")
    yield "On the command line, with sonotype installed:"
    yield "\n".join(["```sh", *commands, "```"])
    yield "In Python:"
    shown = "prediction.present" if card.heads[-1].problem == "multi" else "prediction.labels"
    if card.unknown_threshold is not None:
        shown += ", prediction.is_unknown"
    yield "\n".join(
        [
            "```python",
            "import sonotype",
            "",
            f"model = sonotype.load({source.file!r})",
            'prediction = model.predict("sound.wav")',
            f"print({shown})",
            "```",
        ]
    )
    part = "first" if card.options.crop == "front" else "middle"
    yield (
        f"The network gets {card.options.seconds:g} s of one channel at {card.sample_rate} Hz; "
        f"sounds of other rates and with more channels are converted. Of a longer sound the {part} "
        f"{card.options.seconds:g} s count, unless `--hop` cuts it into windows."
    )


def _training(source: CardSource) -> Iterator[str]:
    card, training = source.card, source.card.training
    options = card.options
    facts = [("network", f"{options.system}, backbone {md(options.backbone)}")]
    if not training:
        yield "The model file does not record its training."
    else:
        clips = training.get("clips", {})
        kinds = {"train": "training", "val": "validation", "test": "test"}
        counts = ", ".join(f"{clips.get(name, 'unknown')} {kind}" for name, kind in kinds.items())
        facts = [
            ("data", md(training.get("data", "unknown"))),
            ("synthetic sounds", "yes" if training.get("synthetic") else "not marked as such"),
            (f"{source.unit}s", counts),
            *facts,
        ]
        train = training.get("options", {})
        if "recipe" in train:
            facts.append(("recipe", f"{train['recipe']}, seed {train.get('seed', 'unknown')}"))
        if (backbone := training.get("backbone", options.backbone)) != options.backbone:
            facts.append(("backbone from", md(backbone)))
        if teachers := training.get("teaching", {}).get("teachers"):
            facts.append(("teachers", ", ".join(map(md, teachers))))
        if training.get("best_epoch") is not None:
            facts.append(("epoch kept", str(training["best_epoch"])))
    yield table(["", ""], [[name, text] for name, text in facts])
    if training.get("interrupted"):
        yield "The training was interrupted; the model was not tested."
    smallest = [
        (count, label) for found in source.trained.values() for label, count in found.items()
    ]
    if smallest:
        count, label = min(smallest)
        yield f"The smallest class has {counted(count, f'training {source.unit}')}: {md(label)}."


def _licences(card: ModelCard) -> Iterator[str]:
    yield (
        "The licence of the model itself is not recorded. Whoever publishes the model sets it, and "
        "keeps the terms of its parts:"
    )
    yield table(["part", "licence"], [[md(part), md(text)] for part, text in licence_rows(card)])
