"""`firstlight train`: learn from who took what. Works with the settings of a worker."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, console, print_json, table

if TYPE_CHECKING:
    from workers.training import Trained

OWN = "own"
"""Names the prior of the fusion itself."""


def train(
    from_files: Annotated[
        Path | None,
        typer.Option(
            "--from-files",
            help="CSV of interactions (user, item, weight, time) instead of the ledger's.",
        ),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="Begin with the A of another catalogue with the same encoders, here and in later"
            " trainings: its data directory, the folder of one of its hybrids, or a version in"
            " this data directory. 'own': the fusion's own prior again."
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Learn everything anew; else what came since is added.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn A, the collaborative factors and what the knowledge graph weighs; let them serve.

    Another catalogue's A is begun with only while new users are better off with it than with the
    fusion's own prior; what both are worth is printed.

    Learned options are set beside the closed-form A on items held out as if they had just arrived;
    one serves only where it wins, and by how much is printed.

    An imported graph is weighed against graphs with permuted links, and changes no score unless it
    beats them; what both are worth is printed.
    """
    from workers import runtime
    from workers.training import train as learn
    from workers.transfer_source import source_at

    try:
        held = runtime.runtime()
        source = None if prior in (None, OWN) else source_at(prior, held.settings)
        with console.status("training"):
            done = learn(held, file=from_files, source=source, own=prior == OWN, whole=full)
    finally:
        runtime.close()
    if as_json:
        print_json(asdict(done))
    else:
        _show(done)


def _show(done: Trained) -> None:
    how = "learned anew" if done.whole else "what came since was added"
    if done.whole and "projection" not in done.report:
        elsewhere = "prior" in done.report
        how = "as it was learned elsewhere" if elsewhere else "the fusion's own prior, as untrained"
    console.print(
        f"{done.version} serves: {how}; {done.interactions} interactions of {done.users} users"
        f" with {done.items} items, {done.rewritten} items rewritten"
    )
    if prior := done.report.get("prior"):
        _show_prior(prior)
    table(None, ("stage", "seconds"), list(done.seconds.items()))
    if options := done.report.get("projection", {}).get("options"):
        console.print(f"A: {options['told']}", markup=False)
    projection = done.report.get("projection", {})
    if concepts := projection.get("ridge", {}).get("concepts"):
        console.print(f"A goes through {concepts} concepts: {projection['kept']:.1%} of it is left")
    if graph := done.report.get("graph"):
        console.print(f"graph: {graph['told']}", markup=False)
    for reason, number in done.left_out.items():
        console.print(f"{number} {reason.replace('_', ' ')}")
    for line in done.lines:
        console.print(f"  {line}", markup=False)


def _show_prior(prior: dict[str, Any]) -> None:
    told = (
        f"prior: {prior['version']}, translated by {prior['items']} items: {prior['explained']:.0%}"
        " of its vectors can be told from this catalogue's"
    )
    if ndcg := prior.get("ndcg"):
        worth = ", ".join(f"{name} {value:.4f}" for name, value in ndcg.items())
        told += f"; NDCG@20 of new users from {worth}: {prior['chosen']} is begun with"
    console.print(told, markup=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)
