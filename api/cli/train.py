"""`firstlight train`: learn from who took what. Works with the settings of a worker."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import AsJson, console, print_json, table
from domain.errors import RejectedError
from domain.settings import settings

if TYPE_CHECKING:
    from domain.vectors import Matrix
    from workers.runtime import Runtime
    from workers.training import Trained


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
            help="Shrink toward this A instead of the fusion's own: a version on this machine, or"
            " the folder of one, trained elsewhere with the same encoders and fusion."
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Learn everything anew; else what came since is added.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn A, the collaborative factors and what the knowledge graph weighs; let them serve.

    Learned options are set beside the closed-form A on items held out as if they had just arrived;
    one serves only where it wins, and by how much is printed.

    An imported graph is weighed against graphs with permuted links, and changes no score unless it
    beats them; what both are worth is printed.
    """
    from workers import runtime
    from workers.training import train as learn

    try:
        held = runtime.runtime()
        known = None if prior is None else _prior(held, prior)
        with console.status("training"):
            done = learn(held, file=from_files, known=known, whole=full)
    finally:
        runtime.close()
    if as_json:
        print_json(asdict(done))
    else:
        _show(done)


def _prior(held: Runtime, named: str) -> dict[str, Matrix]:
    from workers.learning import Learning, nothing_served
    from workers.training import transferred

    active = Learning(held.settings, held.index).served()
    if active is None:
        raise nothing_served()
    for path in (Path(named), settings().folder("artifacts") / "hybrid" / named):
        if path.is_dir():
            return transferred(path, active)
    raise RejectedError(
        f"there is no folder and no version {named!r}",
        field="--prior",
        remedy="name the folder of a hybrid or projection, or a version under artifacts/hybrid",
    )


def _show(done: Trained) -> None:
    how = "learned anew" if done.whole else "what came since was added"
    console.print(
        f"{done.version} serves: {how}; {done.interactions} interactions of {done.users} users"
        f" with {done.items} items, {done.rewritten} items rewritten"
    )
    table(None, ("stage", "seconds"), list(done.seconds.items()))
    if options := done.report.get("projection", {}).get("options"):
        console.print(f"A: {options['told']}", markup=False)
    if graph := done.report.get("graph"):
        console.print(f"graph: {graph['told']}", markup=False)
    for reason, number in done.left_out.items():
        console.print(f"{number} {reason.replace('_', ' ')}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)
