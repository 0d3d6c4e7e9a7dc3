"""The knowledge graph: import it, link the catalogue to it again, and see what it holds.

These work on the ledger and the artifacts directly, with the settings of a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, console, errors, print_json, table
from domain.errors import NotFoundError
from domain.settings import settings

if TYPE_CHECKING:
    from ranking.graph import GraphArtifact

WAYS = {
    "given": "by the links given",
    "id": "by the item's own id",
    "attribute": "by an attribute with an entity's id",
    "title": "by title or alias",
    "similar": "by similarity of names",
}

NEXT = "the next `firstlight train` weighs it, until then it changes no score"

Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Cosine from which two names count as the same (.92); 1: names are not encoded.",
    ),
]

commands = typer.Typer(no_args_is_help=True, help="The knowledge graph behind the items.")


@commands.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="Triples (head, relation, tail) as TSV or CSV, or a folder with graph.tsv and,"
            " if there are, names.tsv (entity, name) and links.tsv (item, entity); .gz too."
        ),
    ],
    links: Annotated[
        Path | None, typer.Option(help="Which item is which entity: item, entity.")
    ] = None,
    threshold: Threshold = None,
    as_json: AsJson = False,
) -> None:
    """Read a graph, link the catalogue to it, fit its embedding.

    Answers then tell its paths. Whether it changes scores is for the next `firstlight train` to
    say, which weighs it against graphs with permuted links.
    """
    from workers.graph import import_graph

    with console.status("importing"):
        artifact = import_graph(settings(), source, links=links, threshold=threshold)
    _show(artifact, as_json)
    if not as_json and artifact.report["linked"]:
        console.print("answers tell its paths from now on;", NEXT)


@commands.command()
def link(threshold: Threshold = None, as_json: AsJson = False) -> None:
    """Link the catalogue as it is now to the graph that was imported, and fit again."""
    from workers.graph import graph_store, relink

    before = graph_store(settings()).current()
    with console.status("linking"):
        artifact = relink(settings(), threshold=threshold)
    _show(artifact, as_json)
    if not as_json and before is not None and before.version != artifact.version:
        console.print("links and places are others than before;", NEXT)


@commands.command()
def status(as_json: AsJson = False) -> None:
    """What was imported, how items were linked, what was dropped, and what it is worth."""
    from workers.graph import graph_store, worth

    artifact = graph_store(settings()).current()
    if artifact is None:
        raise NotFoundError("no graph was imported", remedy="run `firstlight graph import FILE`")
    told = worth(settings(), artifact)
    _show(artifact, as_json, {"worth": told})
    if not as_json:
        console.print(told or f"not weighed yet: {NEXT}", markup=False)


def _show(artifact: GraphArtifact, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    report = artifact.report
    if as_json:
        print_json({"version": artifact.version, "dim": artifact.dim, **report, **(more or {})})
        return
    table(
        f"graph {artifact.version} from {report['source']}",
        ["", "number"],
        [
            ("entities", report["entities"]),
            ("relations", report["relations"]),
            ("triples kept", report["edges"]),
            *_dropped(report["triples"]),
            ("entities with a name", report["named_entities"]),
            ("edges of the largest hub", report["largest_degree"]),
            ("items", report["items"]),
            *((f"  linked {words}", report["by_way"][way]) for way, words in WAYS.items()),
            ("  ambiguous, left out", report["ambiguous"]),
            ("items with a place in the graph", report["embedded"]),
        ],
    )
    for what in ("triples", "names", "links"):
        read = report[what] or {"bad": ()}
        for bad in read["bad"]:
            errors.print(f"{what}, line {bad['number']}: {bad['reason']}", markup=False)
    if report["dangling_links"]:
        errors.print(f"{report['dangling_links']} links name an entity that is in no triple")
    for note in report["notes"]:
        errors.print(note, markup=False)
    if idle := _idle(report):
        errors.print(idle, markup=False, soft_wrap=True)


def _idle(report: Mapping[str, Any]) -> str:
    """Why the graph does nothing, and what to do; "" where it does."""
    if not report["items"]:
        return "no item is linked yet: publish, then `firstlight graph link`"
    if not report["linked"]:
        return (
            "no item is linked yet: import again with --links FILE or with the entities' names in"
            " names.tsv, or publish more, then `firstlight graph link`"
        )
    if not report["embedded"]:
        return (
            "no item has a place in it, for no two that are linked have an entity in common:"
            " publish more, then `firstlight graph link`"
        )
    return ""


def _dropped(read: dict[str, Any]) -> list[tuple[str, int]]:
    words = {
        "duplicates": "  dropped: the same again",
        "inverses": "  dropped: the same backwards",
        "loops": "  dropped: an entity to itself",
        "comments": "  dropped: comments",
        "malformed": "  dropped: malformed lines",
    }
    return [(text, read.get(name, 0)) for name, text in words.items()]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="graph")
