"""Importing a knowledge graph: files in, links to the catalogue, a versioned artifact out."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domain.errors import FirstlightError, RejectedError, RetryableError
from domain.log import logger
from domain.settings import Settings
from domain.vectors import Matrix, Vector
from ranking.graph import (
    THRESHOLD,
    GraphArtifact,
    GraphStore,
    KnowledgeGraph,
    Links,
    graph_artifact,
    link_items,
    read_graph,
    read_links,
)

if TYPE_CHECKING:
    from domain.items import Item
    from encoders import Encoders

log = logger(__name__)

LINE_BYTES = 64 * 1024
"""A longer line is malformed, whatever it holds."""

PAGE = 1000

TRIPLES_FILES = ("graph.tsv", "graph.csv", "triples.tsv", "triples.csv", "kg.txt", "*.kg")
NAMES_FILES = ("names.tsv", "names.csv", "entities.tsv", "entities.csv")
LINKS_FILES = ("links.tsv", "links.csv", "*.link")
"""What a folder's files are called, the first that is there, each with or without .gz."""


@dataclass(frozen=True)
class Sources:
    """The files of one import."""

    triples: Path
    names: Path | None = None
    links: Path | None = None


def sources(given: Path, links: Path | None = None) -> Sources:
    """The files that a path names: a file of triples, or a folder with names and links beside it.

    Raises:
        RejectedError: there is no such file or folder, or the folder has no triples.
    """
    for path in (given, *([links] if links else [])):
        if not path.exists():
            raise RejectedError("no such file or folder", field=str(path))
    if given.is_file():
        return Sources(given, links=links)
    triples = _first(given, TRIPLES_FILES)
    if triples is None:
        raise RejectedError(
            "the folder has no file of triples",
            field=str(given),
            remedy=f"name it {' or '.join(TRIPLES_FILES)}, or name the file itself",
        )
    return Sources(triples, _first(given, NAMES_FILES), links or _first(given, LINKS_FILES))


def _first(folder: Path, patterns: Sequence[str]) -> Path | None:
    for pattern in patterns:
        for ending in ("", ".gz"):
            for path in sorted(folder.glob(pattern + ending)):
                return path
    return None


def lines_of(path: Path) -> Iterator[bytes | None]:
    """The lines of a file, gzipped or not, one at a time; None for one that is too long.

    Raises:
        RejectedError: the file cannot be read to its end.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            while line := file.readline(LINE_BYTES + 1):
                if len(line) <= LINE_BYTES:
                    yield line
                    continue
                while line and not line.endswith(b"\n"):
                    line = file.readline(LINE_BYTES)
                yield None
    except (OSError, EOFError, zlib.error) as error:
        raise RejectedError(f"cannot be read ({error})", field=str(path)) from error


class NameEncoder:
    """The items' text encoder over names, loaded when the first name is to be encoded."""

    def __init__(self, chosen: Settings) -> None:
        self._settings = chosen
        self._encoders: Encoders | None = None

    def __call__(self, names: Sequence[str]) -> Matrix:
        """Unit vectors [n, dim]; a row of zeros where a name cannot be encoded.

        Raises:
            RetryableError: the encoder is in trouble.
        """
        if self._encoders is None:
            from encoders import Encoders

            self._encoders = Encoders.load(self._settings, parts=frozenset({"text"}))
        encoder = self._encoders.text
        vectors: list[Vector] = []
        for outcome in encoder.encode(list(names)):
            if isinstance(outcome, RetryableError):
                raise outcome
            if isinstance(outcome, FirstlightError):
                outcome = np.zeros(encoder.dim, dtype=np.float32)
            vectors.append(outcome)
        found = np.stack(vectors)
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(norms, 1e-12), dtype=np.float32)

    def close(self) -> None:
        """Unload the encoder."""
        if self._encoders is not None:
            self._encoders.close()


def import_graph(
    chosen: Settings,
    given: Path,
    *,
    links: Path | None = None,
    threshold: float | None = None,
) -> GraphArtifact:
    """Read a graph, link the catalogue to it, fit its embedding, and make it the one that serves.

    Answers then tell its paths as reasons. Scores know nothing of it until the next training, which
    weighs it (`workers/weighing.py`); a term that was trained with another graph is silent.

    Args:
        given: a file of triples or a folder, see `sources`.
        links: lines `item, entity`.
        threshold: cosine from which two names count as the same, THRESHOLD where None; with 1
            names are not encoded.

    Raises:
        RejectedError: no usable triple, a file that cannot be read or is malformed for the most
            part, or no such threshold can be; what served goes on.
    """
    _check(threshold)
    files = sources(given, links)
    graph, triples, names = read_graph(
        lines_of(files.triples), lines_of(files.names) if files.names else ()
    )
    pairs, read = read_links(lines_of(files.links)) if files.links else ({}, None)
    counted = {
        "source": files.triples.name,
        "triples": triples.as_dict(),
        "names": names.as_dict() if files.names else None,
        "links": read.as_dict() if read else None,
    }
    return _publish(chosen, graph, pairs, threshold, counted)


def relink(chosen: Settings, *, threshold: float | None = None) -> GraphArtifact:
    """Link the catalogue as it is now to the graph that serves, and fit the embedding again.

    Raises:
        RejectedError: no graph was imported, or no such threshold can be.
    """
    _check(threshold)
    serving = graph_store(chosen).current()
    if serving is None:
        raise RejectedError("no graph was imported", remedy="run `firstlight graph import FILE`")
    counted = {name: serving.report.get(name) for name in ("source", "triples", "names", "links")}
    return _publish(chosen, serving.graph, serving.given, threshold, counted)


def worth(chosen: Settings, artifact: GraphArtifact) -> str | None:
    """What the last training says of this graph and its control; None where it did not weigh it."""
    from ranking import HybridStore

    facts = HybridStore(chosen.folder("artifacts") / "hybrid").last_facts()
    found = facts.get("report", {}).get("graph") or {}
    return str(found["told"]) if found.get("version") == artifact.version else None


def graph_store(chosen: Settings) -> GraphStore:
    """Where imported graphs lie."""
    return GraphStore(chosen.folder("artifacts") / "graph")


def _check(threshold: float | None) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise RejectedError(
            f"{threshold:g} is no cosine that two names can reach",
            field="threshold",
            remedy="give a number from 0 to 1; with 1 names are not encoded",
        )


def _publish(
    chosen: Settings,
    graph: KnowledgeGraph,
    given: Mapping[str, str],
    threshold: float | None,
    counted: Mapping[str, Any],
) -> GraphArtifact:
    encoder = NameEncoder(chosen)
    least = THRESHOLD if threshold is None else threshold
    try:
        embed = encoder if least < 1 else None
        links = link_items(graph, catalogue(chosen), given, embed, least)
    finally:
        encoder.close()
    made = graph_artifact(graph, links.found, given, chosen.ranking.graph_dim)
    placed = int(np.any(made.vectors(list(links.found)) != 0, axis=1).sum())
    report = {**counted, **_linked(graph, links), "embedded": placed}
    artifact = replace(made, report=report)
    graph_store(chosen).publish(artifact)
    log.info("graph imported", graph=artifact.version, linked=len(links.found), embedded=placed)
    return artifact


def catalogue(chosen: Settings) -> Iterator[Item]:
    """Every item of the ledger that is not deleted, in the order of ids."""
    from catalog import Catalog

    with Catalog.connect(chosen) as ledger:
        after: str | None = None
        while page := ledger.items(limit=PAGE, after=after):
            yield from (record.item for record in page if record.item is not None)
            after = page[-1].id


def _linked(graph: KnowledgeGraph, links: Links) -> dict[str, Any]:
    return {
        "entities": len(graph.entities),
        "relations": len(graph.relations),
        "edges": len(graph.edges),
        "largest_degree": int(graph.degrees.max(initial=0)),
        "named_entities": len(graph.names),
        "items": len(links.found) + links.unlinked,
        "linked": len(links.found),
        "by_way": links.by_way,
        "unlinked": links.unlinked,
        "ambiguous": links.ambiguous,
        "dangling_links": links.dangling,
        "notes": list(links.notes),
    }
