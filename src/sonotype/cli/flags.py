"""Command-line flags made from the fields of options dataclasses, so that each is spelled once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from sonotype.config import NETWORKS, RECIPES, without_none
from sonotype.core.errors import OptionsError


def takes(**panels: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag for each field of some dataclasses.

    The command gets, as keyword arguments, only the fields that the user set.

    Args:
        panels: heading in the help (underscores become spaces) and the dataclass under it.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            parameter
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        hints = {kind: get_type_hints(kind) for kind in panels.values()}
        flags = [
            _flag(item, hints[kind][item.name], panel.replace("_", " "))
            for panel, kind in panels.items()
            for item in fields(kind)
        ]
        lists = {flag.name for flag in flags if _is_list(flag, panels, hints)}

        def run(**arguments: Any) -> None:
            given = {name: value for name, value in arguments.items() if value not in (None, [])}
            for name in lists & given.keys():
                given[name] = _listed(name, given[name])
            command(**{parameter.name: None for parameter in own} | given)

        run.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
        run.__annotations__ = {flag.name: flag.annotation for flag in (*own, *flags)}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _flag(item: Field[Any], hint: Any, panel: str) -> inspect.Parameter:
    kind = without_none(hint)
    if get_origin(kind) is tuple:  # words are given one by one, numbers as 1,2
        kind = list[str] if get_args(kind)[0] is str else str
    shown = item.default if item.default is not MISSING else None
    default = _by_recipe(item.name) or _shown(shown)
    help_text = f"{item.metadata.get('help', '')}{f' [default: {default}]' if default else ''}"
    name = item.metadata.get("flag", item.name).replace("_", "-")
    declared = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
    option = typer.Option(
        declared,
        help=help_text,
        metavar=item.metadata.get("metavar") or _metavar(hint),
        show_default=False,
        rich_help_panel=panel,
    )
    return inspect.Parameter(
        item.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _by_recipe(name: str) -> str:
    """The defaults of a field that the recipe sets."""
    values = {
        recipe: defaults[name]
        for recipe in RECIPES
        if name in (defaults := RECIPES[recipe] | NETWORKS[recipe])
    }
    return ", ".join(f"{recipe} {_shown(value) or value}" for recipe, value in values.items())


def _metavar(hint: Any) -> str | None:
    """What stands for a list in the help; ``None`` leaves it to typer."""
    kind = without_none(hint)
    if get_origin(kind) is not tuple:
        return None
    return "OURS=THEIRS" if get_args(kind)[0] is str else "1,2,..."


def _shown(default: Any) -> str:
    if default is None or default == () or default == "":
        return ""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _is_list(
    flag: inspect.Parameter, panels: dict[str, type], hints: dict[type, dict[str, Any]]
) -> bool:
    return get_origin(_hint_of(flag.name, panels, hints)) is tuple


def _hint_of(name: str, panels: dict[str, type], hints: dict[type, dict[str, Any]]) -> Any:
    return next(without_none(hints[kind][name]) for kind in panels.values() if name in hints[kind])


def _listed(name: str, text: str | list[str]) -> tuple[Any, ...]:
    """The tuple that the field wants, of ``1,2`` or of a flag given several times."""
    if isinstance(text, list):
        return tuple(text)
    return numbers(f"--{name.replace('_', '-')}", text)


def numbers(flag: str, text: str) -> tuple[int, ...]:
    """The whole numbers in ``1,2``.

    Raises:
        OptionsError: there is something else, or nothing; names the flag.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise OptionsError(f"{flag} is {text!r}; a list such as 1,2 is wanted") from None
