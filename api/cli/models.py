"""`firstlight models` and `firstlight config`."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import BaseModel, SecretStr

from api.cli.output import AsJson, console, print_json, table
from domain.settings import Settings, settings, variable_names


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
        table(None, ["setting", "value", "what it is"], [tuple(row.values()) for row in rows])
        console.print(f"ledger {_without_password(current.catalog_url)}", markup=False)
        console.print(f"broker {_without_password(current.broker_url)}", markup=False)
        console.print(f"index  {current.index_url}", markup=False)


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
    if isinstance(value, SecretStr):
        return "****"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(one) for one in value) + "]"
    return "" if value is None else str(value)


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(config)
