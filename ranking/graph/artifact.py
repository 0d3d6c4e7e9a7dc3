"""A graph that serves, on disk: knowledge, links, spectral embedding, and where they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from domain.errors import RejectedError
from domain.items import Item
from domain.vectors import Matrix
from ranking.graph.knowledge import KnowledgeGraph
from ranking.graph.linking import Link, Linker, Way, typical_kinds
from ranking.graph.paths import Reasons, reasons
from ranking.graph.spectral import Spectral, shared_degrees, spectral

FORMAT = 1
ARRAYS_FILE = "graph.safetensors"
FACTS_FILE = "graph.json"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class GraphArtifact:
    """Everything that the graph part of an item's rank vector, and a path, is made from.

    Attributes:
        version: names the content.
        links: {item id: link}, of the items of the catalogue when it was imported.
        given: {item id: entity id}, the links that were given, for items that arrive later.
        report: what the import counted, for people.
    """

    version: str
    graph: KnowledgeGraph = field(repr=False)
    links: Mapping[str, Link] = field(repr=False)
    given: Mapping[str, str] = field(repr=False)
    spectral: Spectral = field(repr=False)
    report: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def dim(self) -> int:
        """Length of pi."""
        return self.spectral.dim

    @cached_property
    def linker(self) -> Linker:
        """For items that were not there at the import."""
        nodes = [link.node for link in self.links.values()]
        return Linker(self.graph, self.given, typical_kinds(self.graph, nodes))

    @cached_property
    def _taken(self) -> frozenset[int]:
        return frozenset(link.node for link in self.links.values())

    def node(self, item_id: str) -> int:
        """The node of an item known at the import, or -1."""
        link = self.links.get(item_id)
        return -1 if link is None else link.node

    def node_of(self, item: Item) -> int:
        """The node of any item, also of one that has just arrived; -1 where none is sure.

        By its link, else by id, else by title where no other item has that entity.
        """
        link = self.links.get(item.id) or self.linker.by_id(item)
        if link is None:
            link = self.linker.by_title(item)
            if link is not None and link.node in self._taken:
                link = None
        return -1 if link is None else link.node

    def vectors(self, item_ids: Sequence[str]) -> Matrix:
        """pi of items known at the import, [n, dim] float32; zero for the others."""
        return self.vectors_at(np.array([self.node(one) for one in item_ids], dtype=np.int64))

    def nodes_of(self, items: Sequence[Item]) -> NDArray[np.int64]:
        """`node_of` for many, [n]."""
        return np.array([self.node_of(item) for item in items], dtype=np.int64)

    def vectors_of(self, items: Sequence[Item]) -> Matrix:
        """pi of any items, also of new ones: linked as they come and folded in. [n, dim]."""
        return self.vectors_at(self.nodes_of(items))

    def vectors_at(self, nodes: NDArray[np.int64]) -> Matrix:
        """pi of nodes, [n, dim] float32; zero for -1."""
        return self.spectral.embed(self.graph, nodes)

    def degrees_at(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Features that each of these nodes shares with another, [n]: what the control keeps."""
        return shared_degrees(self.graph, nodes)

    def reasons(self, history: Sequence[Item]) -> Reasons:
        """A user's history, the most recent first, ready for `Reasons.paths`."""
        return reasons(self.graph, self.nodes_of(history).tolist())

    def save(self, folder: FilePath) -> None:
        """Write the artifact into a folder that exists."""
        graph, order = self.graph, list(self.links)
        arrays: Arrays = {
            "edges": np.ascontiguousarray(graph.edges),
            **_packed("entities", graph.entities),
            "named": np.array(list(graph.names), dtype=np.int64),
            **_packed("names", list(graph.names.values())),
            "aliased": np.array(
                [node for node, names in graph.aliases.items() for _ in names], dtype=np.int64
            ),
            **_packed("aliases", [name for names in graph.aliases.values() for name in names]),
            **_packed("items", order),
            "nodes": np.array([self.links[one].node for one in order], dtype=np.int64),
            "ways": np.array(
                [list(Way).index(self.links[one].way) for one in order], dtype=np.uint8
            ),
            "scores": np.array([self.links[one].score for one in order], dtype=np.float32),
            **_packed("given_items", list(self.given)),
            **_packed("given_entities", list(self.given.values())),
            "codes": self.spectral.codes,
            "weights": self.spectral.weights,
            "directions": np.ascontiguousarray(self.spectral.directions),
            "mean": self.spectral.mean,
            "values": self.spectral.values,
        }
        save_file(arrays, folder / ARRAYS_FILE)
        (folder / FACTS_FILE).write_text(self.facts(), encoding="utf-8")

    def facts(self) -> str:
        """JSON of what is in no array, the report among it."""
        facts = {
            "format": FORMAT,
            "version": self.version,
            "relations": list(self.graph.relations),
            "relation_names": list(self.graph.relation_names.items()),
            "longest": self.spectral.longest,
            "report": dict(self.report),
        }
        return json.dumps(facts, indent=1)

    @classmethod
    def load(cls, folder: FilePath) -> GraphArtifact:
        """Read and check an artifact.

        Raises:
            RejectedError: it cannot be read, or holds what makes no sense.
        """
        try:
            facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
            arrays = load_file(folder / ARRAYS_FILE)
            if facts["format"] != FORMAT:
                raise ValueError(f"format {facts['format']}, this version reads {FORMAT}")
            return _read(facts, arrays)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise RejectedError(
                f"the graph in {folder} cannot be read: {error!r}",
                remedy="import it again with `firstlight graph import`",
            ) from error


def graph_artifact(
    graph: KnowledgeGraph,
    links: Mapping[str, Link],
    given: Mapping[str, str],
    dim: int,
) -> GraphArtifact:
    """Fit the spectral embedding on the linked items, and name the whole by its content."""
    nodes = np.array([link.node for link in links.values()], dtype=np.int64)
    fitted = spectral(graph, nodes, dim)
    made = GraphArtifact("", graph, dict(links), dict(given), fitted)
    digest = hashlib.sha256(f"{FORMAT}/{dim}".encode())
    digest.update(graph.edges.tobytes())
    digest.update(fitted.directions.tobytes())
    for texts in (
        graph.entities,
        graph.relations,
        [f"{node}={name}" for node, name in graph.names.items()],
        [f"{node}={name}" for node, names in graph.aliases.items() for name in names],
        [f"{item}={link.node},{link.way}" for item, link in sorted(links.items())],
        [f"{item}={entity}" for item, entity in sorted(given.items())],
    ):
        digest.update("\x00".join([str(len(texts)), *texts]).encode())
    for number, name in graph.relation_names.items():
        digest.update(f"\x00{number}={name}".encode())
    return replace(made, version=f"g-{digest.hexdigest()[:12]}")


def _read(facts: Mapping[str, Any], arrays: Arrays) -> GraphArtifact:
    entities = _unpacked("entities", arrays)
    relations = tuple(map(str, facts["relations"]))
    edges = arrays["edges"]
    if edges.ndim != 2 or edges.shape[1] != 3 or edges.dtype != np.int32:
        raise ValueError(f"edges are {edges.dtype} {edges.shape}")
    if len(edges):
        _within("heads", edges[:, 0], len(entities))
        _within("relations", edges[:, 1], len(relations))
        _within("tails", edges[:, 2], len(entities))
    aliases: dict[int, list[str]] = {}
    for node, name in zip(arrays["aliased"].tolist(), _unpacked("aliases", arrays), strict=True):
        aliases.setdefault(node, []).append(name)
    graph = KnowledgeGraph(
        tuple(entities),
        relations,
        edges,
        dict(zip(arrays["named"].tolist(), _unpacked("names", arrays), strict=True)),
        aliases,
        {int(number): str(name) for number, name in facts.get("relation_names", ())},
    )
    _within("nodes", arrays["nodes"], len(entities))
    ways = list(Way)
    links = {
        item: Link(node, ways[way], score)
        for item, node, way, score in zip(
            _unpacked("items", arrays),
            arrays["nodes"].tolist(),
            arrays["ways"].tolist(),
            arrays["scores"].tolist(),
            strict=True,
        )
    }
    given = dict(
        zip(_unpacked("given_items", arrays), _unpacked("given_entities", arrays), strict=True)
    )
    fitted = Spectral(
        arrays["codes"],
        arrays["weights"],
        arrays["directions"],
        arrays["mean"],
        arrays["values"],
        float(facts["longest"]),
    )
    count, dim = len(fitted.codes), len(fitted.mean)
    if fitted.weights.shape != (count,) or fitted.directions.shape != (count, dim):
        raise ValueError("the spectral embedding's arrays do not fit each other")
    for name in ("weights", "directions", "mean", "values"):
        if arrays[name].dtype != np.float32 or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} is not float32 or not finite")
    if not np.isfinite(fitted.longest):
        raise ValueError("longest is not finite")
    version, report = str(facts["version"]), dict(facts["report"])
    return GraphArtifact(version, graph, links, given, fitted, report)


def _within(name: str, numbers: NDArray[Any], limit: int) -> None:
    if len(numbers) and (int(numbers.min()) < 0 or int(numbers.max()) >= limit):
        raise ValueError(f"{name} reach from {numbers.min()} to {numbers.max()} of {limit}")


def _packed(name: str, texts: Sequence[str]) -> Arrays:
    """Texts as one run of UTF-8 bytes and where each ends."""
    encoded = [text.encode() for text in texts]
    return {
        f"{name}.bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        f"{name}.ends": np.cumsum([len(one) for one in encoded], dtype=np.int64),
    }


def _unpacked(name: str, arrays: Arrays) -> list[str]:
    content, ends = arrays[f"{name}.bytes"].tobytes(), arrays[f"{name}.ends"].tolist()
    return [content[start:stop].decode() for start, stop in zip([0, *ends], ends, strict=False)]
