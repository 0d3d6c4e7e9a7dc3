"""`firstlight models` and `firstlight config`: what is used, and how it is set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from pydantic import BaseModel, SecretStr

from api.cli.output import (
    CODE_DIFFERS,
    MASK,
    AsJson,
    console,
    print_json,
    table,
    without_password,
)
from domain.settings import Settings, settings, variable_names

if TYPE_CHECKING:
    from encoders.models import ModelCheck, PackLine


def models(
    prefetch: Annotated[
        bool, typer.Option("--prefetch", help="Download or assemble what the pack needs.")
    ] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="Only list the packs; load nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the model packs and check the chosen one: files, device, precision.

    Exit code 1 when a model of the chosen pack cannot be used.
    """
    from encoders.models import check, packs
    from encoders.models import prefetch as fetch

    current = settings()
    known = packs(current)
    found: list[ModelCheck] = []
    if not as_json:
        _show_packs(known)
    if prefetch:
        with console.status("fetching models"):
            found = list(fetch(current))
    elif not listing:
        with console.status("loading models"):
            found = check(current)
    if as_json:
        print_json({"packs": [asdict(p) for p in known], "checks": [asdict(c) for c in found]})
    elif found:
        _show_checks(current.encoder.pack, found)
    if any(one.state != "ready" for one in found):
        raise typer.Exit(CODE_DIFFERS)


def _show_packs(known: Sequence[PackLine]) -> None:
    for pack in known:
        console.print(f"{pack.name}{' (chosen)' if pack.chosen else ''}", style="bold")
        console.print(pack.about, markup=False)
        rows = ((m.part, m.source, m.revision, m.dim, m.license, m.note) for m in pack.models)
        table(None, ["part", "model", "revision", "dim", "licence", "what it is"], rows)
        console.print()


def _show_checks(pack: str, found: Sequence[ModelCheck]) -> None:
    table(
        f"{pack}, as loaded here",
        ["part", "state", "device", "precision", "speed-up", "cosine", "fingerprint", "problem"],
        (
            (
                one.part,
                one.state,
                one.report.device if one.report else None,
                one.report.precision if one.report else None,
                one.report.speedup if one.report else None,
                one.report.cosine if one.report else None,
                one.report.fingerprint[:12] if one.report else None,
                one.problem,
            )
            for one in found
        ),
    )


def config(as_json: AsJson = False) -> None:
    """Print the effective settings, secrets masked, with what each is for."""
    current = settings()
    rows = [
        {
            "name": name,
            "value": _shown(_value(current, group, field)),
            "about": _about(group, field),
        }
        for name, (group, field) in variable_names().items()
    ]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            console.print(f"{row['name']}={row['value']}", markup=False, soft_wrap=True)
            console.print(f"    {row['about']}", markup=False, soft_wrap=True, style="dim")
        for name, url in (
            ("ledger", current.catalog_url),
            ("broker", current.broker_url),
            ("index", current.index_url),
            ("api", current.api_url),
        ):
            console.print(f"{name:6} {without_password(url)}", markup=False, soft_wrap=True)


def _value(current: Settings, group: str, field: str) -> Any:
    return getattr(getattr(current, group) if group else current, field)


def _about(group: str, field: str) -> str:
    if not group:
        return Settings.model_fields[field].description or ""
    kind = Settings.model_fields[group].annotation
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        raise TypeError(f"settings group {group} is not a model")
    return kind.model_fields[field].description or ""


def _shown(value: Any) -> str:
    """As it would be set; what is unset is empty."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, list | dict | bool):
        return orjson.dumps(value, default=_shown).decode()
    return "" if value is None else without_password(str(value))


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(models)
    app.command()(config)
