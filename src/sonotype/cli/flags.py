"""Command-line flags made from the fields of options dataclasses, so that each is spelled once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from sonotype.cli.layout import HELP_ALL
from sonotype.config import NETWORKS, RECIPES, Device, from_flat, option, without_none
from sonotype.core.hierarchy import CategorySource

NUMBERS = "1,2,..."
"""Placeholder of a list of whole numbers."""


def numbers(text: str) -> tuple[int, ...]:
    """Parse a list of whole numbers such as ``1,2``.

    Raises:
        BadParameter: the text is not such a list.
    """
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list such as 1,2") from None


LabelledData = Annotated[
    Path, typer.Argument(metavar="DATA", help="Labelled sounds, as for sonotype train")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print more about each step")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
Folds = Annotated[
    Any,
    typer.Option(
        "--folds", metavar=NUMBERS, parser=numbers, help="Use only these official folds of the data"
    ),
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How to run trained models."""

    also: tuple[str, ...] = option(
        (), "Model to average with; repeat for more", metavar="MODEL", common=True
    )
    category_source: CategorySource | None = option(
        None, "Source of the category [default: the model's]"
    )
    tta_shifts: int | None = option(
        None, "Number of time-shifted copies to average over [default: the model's]", low=1, high=16
    )  # fmt: skip
    device: Device = option("auto", "Device")


def with_options(
    defaults: Mapping[str, str] | None = None,
    helps: Mapping[str, str] | None = None,
    /,
    **panels: type,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each field of some dataclasses, and ``--help-all``.

    The command receives only the fields that the user set, checked, as keyword arguments. Flags
    without ``common=True`` appear in ``--help-all`` only.

    Args:
        defaults: by field, what the help shows as the default in place of the field's own; the
            command applies it.
        helps: by field, the help in place of the field's own.
        panels: headings of ``--help-all`` (with underscores for spaces) and their dataclasses.
    """
    shown, said = defaults or {}, helps or {}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = inspect.signature(command, eval_str=True).parameters.values()
        own = [item for item in parameters if item.kind is not inspect.Parameter.VAR_KEYWORD]
        hints = {kind: get_type_hints(kind) for kind in panels.values()}
        flags = [
            _flag(
                item,
                hints[kind][item.name],
                panel.replace("_", " "),
                default=shown.get(item.name),
                said=said.get(item.name),
            )
            for panel, kind in panels.items()
            for item in fields(kind)
        ]

        def run(**arguments: Any) -> None:
            values = {flag.name: arguments[flag.name] for flag in flags}
            options = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
                if value not in (None, [])
            }
            from_flat(panels.values(), options)
            command(**{item.name: arguments[item.name] for item in own}, **options)

        signature = [*own, *flags, HELP_ALL]
        run.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in signature}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _flag(
    item: Field[Any], hint: Any, panel: str, *, default: str | None, said: str | None
) -> inspect.Parameter:
    kind, metavar = without_none(hint), item.metadata.get("metavar")
    parser: Callable[[str], tuple[int, ...]] | None = None
    if get_origin(kind) is tuple and get_args(kind)[0] is str:
        kind = list[str]  # the flag is repeated
    elif get_origin(kind) is tuple:
        kind, metavar, parser = str, NUMBERS, numbers
    name = item.metadata.get("flag", item.name).replace("_", "-")
    default = default or _default(item)
    settings = typer.Option(
        f"--{name}/--no-{name}" if kind is bool else f"--{name}",
        help=(said or item.metadata["help"]) + (f" [default: {default}]" if default else ""),
        metavar=metavar,
        parser=parser,
        show_default=False,
        hidden=not item.metadata.get("common"),
        rich_help_panel=panel,
    )
    return inspect.Parameter(
        item.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, settings],
    )


def _default(item: Field[Any]) -> str:
    """The default of a field and its values in the recipes that set it.

    Empty where the help says in words what the default does.
    """
    if "[default" in item.metadata["help"]:
        return ""
    defaults = {recipe: RECIPES.get(recipe, {}) | NETWORKS[recipe] for recipe in NETWORKS}
    by_recipe = [
        f"{recipe} {_as_text(values[item.name]) or values[item.name]}"
        for recipe, values in defaults.items()
        if item.name in values
    ]
    own = [] if len(by_recipe) == len(NETWORKS) else [_as_text(item.default)]
    return ", ".join(filter(None, own + by_recipe))


def _as_text(default: Any) -> str:
    if default in (None, MISSING, ()):
        return ""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)
