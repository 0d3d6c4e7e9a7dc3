"""The knowledge graph: reading, linking, spectral embeddings, the graph term, and paths."""

from ranking.graph.artifact import GraphArtifact, graph_artifact
from ranking.graph.knowledge import KnowledgeGraph
from ranking.graph.linking import THRESHOLD, Link, Linker, Links, Way, link_items, typical_kinds
from ranking.graph.paths import Path, Reasons, reasons
from ranking.graph.spectral import Spectral, shared_degrees, spectral
from ranking.graph.store import GraphStore
from ranking.graph.term import (
    Choice,
    GraphReport,
    GraphTerm,
    Question,
    fit_graph_term,
    no_term,
    permuted,
    user_graph_vectors,
)
from ranking.graph.triples import BadLine, Reading, read_graph, read_links

__all__ = [
    "THRESHOLD",
    "BadLine",
    "Choice",
    "GraphArtifact",
    "GraphReport",
    "GraphStore",
    "GraphTerm",
    "KnowledgeGraph",
    "Link",
    "Linker",
    "Links",
    "Path",
    "Question",
    "Reading",
    "Reasons",
    "Spectral",
    "Way",
    "fit_graph_term",
    "graph_artifact",
    "link_items",
    "no_term",
    "permuted",
    "read_graph",
    "read_links",
    "reasons",
    "shared_degrees",
    "spectral",
    "typical_kinds",
    "user_graph_vectors",
]
