"""``sonotype weights``: list, download and locate pretrained weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from sonotype.cli.flags import Json
from sonotype.core.errors import WeightsError
from sonotype.core.json_text import json_text

app = typer.Typer(
    name="weights",
    help="List, download and locate pretrained weights.",
    epilog="Example: sonotype weights get mn04",
    no_args_is_help=True,
)


@app.command("list", epilog="Example: sonotype weights list --json")
def list_weights(as_json: Json = False) -> None:
    """List the weights with parameters, size, licence and location.

    Locations: "here" is the folder in SONOTYPE_WEIGHTS, "cached" the download folder;
    "damaged" is a file that differs from the published one.
    """
    from sonotype.modelfile.weights_cache import cache_folder, given_folder, status
    from sonotype.modelfile.weights_registry import WEIGHTS

    found = {entry.name: status(entry.name) for entry in WEIGHTS}
    if as_json:
        rows = [{**asdict(entry), "where": found[entry.name]} for entry in WEIGHTS]
        typer.echo(json_text(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", box=None, pad_edge=False)
    for name in ("parameters", "size"):
        table.add_column(name, justify="right")
    table.add_column("licence")
    table.add_column("where")
    for entry in WEIGHTS:
        table.add_row(
            entry.name,
            f"{entry.parameters / 1e6:.2f} M",
            f"{'~' if entry.size is None else ''}{entry.approximate_size / 1e6:.1f} MB",
            entry.licence,
            found[entry.name].replace("missing", "-"),
        )
    Console().print(table)
    if (given := given_folder()) is not None:
        typer.echo(f"here: {given}")
    typer.echo(f"cached: {cache_folder()}")


@app.command("get", epilog="Example: sonotype weights get mn04 vggish")
def get_weights(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names from `weights list`")
    ],
) -> None:
    """Download missing weights, verify them and print their paths."""
    from sonotype.modelfile.weights_cache import weights_path
    from sonotype.modelfile.weights_registry import entry

    for name in names:  # report an unknown name before the first download
        entry(name)
    for name in names:
        typer.echo(weights_path(name, progress=True))


@app.command("path", epilog="Example: cp $(sonotype weights path mn04) weights/")
def print_path(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name from `weights list`")],
) -> None:
    """Print the path of weights on this machine; never download."""
    from sonotype.modelfile.weights_cache import FOLDER_VARIABLE, find
    from sonotype.modelfile.weights_registry import entry

    path = find(name)
    if path is None:
        raise WeightsError(
            f"the weights {name} are not on this machine; run `sonotype weights get {name}` "
            f"or set {FOLDER_VARIABLE} to a folder with {entry(name).file}"
        )
    typer.echo(path)
