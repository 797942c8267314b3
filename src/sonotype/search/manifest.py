"""The manifest of an index: which parts of the archive it holds, and which of its bytes count.

The other files of an index only grow; bytes behind those that the manifest counts are remains of a
process that was killed. The manifest is replaced atomically, after the other files were written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from sonotype.core.io import atomic
from sonotype.core.json_text import json_text, read_json
from sonotype.search.parts import ArchiveInfo, PartFile

FOLDER, MANIFEST = "index", "manifest.json"
FORMAT = 1
"""Changes with the files of an index; an index of another format is built again."""


_GENERATION = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True)
class IndexedPart:
    """A part of which the index has the rows ``first`` to ``first + rows``."""

    file: PartFile
    first: int
    rows: int


@dataclass(frozen=True)
class Graph:
    """The file of a nearest-neighbour graph over rows 0 to ``rows``, with its size in bytes."""

    name: str
    rows: int
    size: int


@dataclass(frozen=True)
class Manifest:
    """The content of an index.

    Attributes:
        info: about the embeddings; that of all parts.
        features: length of an embedding.
        generation: is a part of the file names; another one after a rebuild.
        rows: in the files, those of removed parts included.
        path_bytes: size of the recordings' paths.
        parts: the parts of the archive, by name.
        graph: ``None`` where none was built.
    """

    info: ArchiveInfo
    features: int
    generation: str
    rows: int
    path_bytes: int
    parts: Mapping[str, IndexedPart]
    graph: Graph | None = None

    @property
    def live_rows(self) -> int:
        """Rows of parts that are in the archive."""
        return sum(part.rows for part in self.parts.values())

    @property
    def tail(self) -> int:
        """First row that is not in the graph."""
        return self.graph.rows if self.graph else 0

    def file(self, folder: Path, kind: str) -> Path:
        """Path of a file of the index, such as that of the vectors."""
        return folder / f"{kind}-{self.generation}.bin"

    def without(self, names: set[str]) -> Manifest:
        """The manifest without some parts; their rows stay in the files."""
        kept = {name: part for name, part in self.parts.items() if name not in names}
        return replace(self, parts=kept)


def new_manifest(info: ArchiveInfo, features: int) -> Manifest:
    """The manifest of an empty index."""
    return Manifest(info, features, uuid4().hex[:8], 0, 0, {})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest atomically."""
    document = {
        "format": FORMAT,
        "info": manifest.info.document(),
        "features": manifest.features,
        "generation": manifest.generation,
        "rows": manifest.rows,
        "path_bytes": manifest.path_bytes,
        "parts": [
            [name, part.file.size, part.file.changed, part.first, part.rows]
            for name, part in manifest.parts.items()
        ],
        "graph": manifest.graph and [manifest.graph.name, manifest.graph.rows, manifest.graph.size],
    }
    with atomic(folder / MANIFEST) as part:
        part.write_text(json_text(document), encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of an index; ``None`` without a valid one."""
    try:
        document = read_json(folder / MANIFEST, finite=True)
        if document["format"] != FORMAT:
            return None
        graph = document["graph"]
        found = Manifest(
            info=ArchiveInfo.of(document["info"]),
            features=int(document["features"]),
            generation=str(document["generation"]),
            rows=int(document["rows"]),
            path_bytes=int(document["path_bytes"]),
            parts={
                name: IndexedPart(PartFile(name, size, changed), first, rows)
                for name, size, changed, first, rows in document["parts"]
            },
            graph=Graph(*graph) if graph else None,
        )
        return found if _is_valid(found) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def graph_name(generation: str, rows: int) -> str:
    """The name of the file of a graph over so many rows."""
    return f"graph-{generation}-{rows}.usearch"


def _is_valid(manifest: Manifest) -> bool:
    """Whether numbers fit to each other, and names are those of files in the folder."""
    graph, parts = manifest.graph, manifest.parts.values()
    counts = [manifest.features, manifest.rows, manifest.path_bytes]
    counts += [number for part in parts for number in (part.first, part.rows)]
    counts += [graph.rows, graph.size] if graph else []
    return (
        all(isinstance(count, int) and count >= 0 for count in counts)
        and manifest.features > 0
        and _GENERATION.fullmatch(manifest.generation) is not None
        and all(part.first + part.rows <= manifest.rows for part in parts)
        and (graph is None or graph.name == graph_name(manifest.generation, graph.rows))
        and (graph is None or graph.rows <= manifest.rows)
    )
