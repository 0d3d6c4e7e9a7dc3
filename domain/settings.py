"""Every setting, read from FIRSTLIGHT_* environment variables (or a .env file).

A group's field is named FIRSTLIGHT_<GROUP>_<FIELD>: `FIRSTLIGHT_API_PORT` is `settings.api.port`.
An empty variable counts as unset. A wrong or unknown setting stops the start with one clear line.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_origin
from urllib.parse import quote

from dotenv import dotenv_values
from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import RejectedError
from domain.limits import Limits
from domain.setting_groups import (
    ApiSettings,
    BrokerSettings,
    CatalogSettings,
    EncoderSettings,
    FetchSettings,
    FusionSettings,
    IndexSettings,
    RankingSettings,
    WorkerSettings,
)

PREFIX = "FIRSTLIGHT_"
ENV_FILE = ".env"
TEST_PREFIX = "FIRSTLIGHT_TEST_"
"""Read by the test suite only (FIRSTLIGHT_TEST_QDRANT_URL); never a setting."""

LANES = ("text", "image", "audio", "bulk", "train")
"""The queues. An item goes to its heaviest modality; backfill to bulk; fitting to train."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    data_dir: Path = Field(
        Path(".firstlight"),
        description="Ledger, embedded index, models, caches, uploads and artifacts.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe line that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, JSON elsewhere."
    )
    limits: Limits = Field(default_factory=Limits)
    catalog: CatalogSettings = Field(default_factory=CatalogSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    encoder: EncoderSettings = Field(default_factory=EncoderSettings)
    fusion: FusionSettings = Field(default_factory=FusionSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    ranking: RankingSettings = Field(default_factory=RankingSettings)

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the ledger."""
        if self.catalog.url is not None:
            return self.catalog.url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'catalog.db'}"

    @property
    def broker_url(self) -> str:
        """Celery broker URL."""
        if self.broker.url is not None:
            return self.broker.url.get_secret_value()
        return f"redis://127.0.0.1:{self.broker.port}/0"

    @property
    def index_url(self) -> str:
        """URL of the index, embedded or Qdrant."""
        if self.index.url is not None:
            return self.index.url
        return f"http://127.0.0.1:{self.index.port}"

    @property
    def api_url(self) -> str:
        """Where a client finds the API."""
        if self.api.url is not None:
            return self.api.url
        host = "127.0.0.1" if self.api.host in ("0.0.0.0", "::") else self.api.host  # noqa: S104
        return f"http://{quote(host, safe='.:[]')}:{self.api.port}"

    def folder(self, name: str) -> Path:
        """A folder of the data directory (models, artifacts, uploads ...), made if absent.

        Raises:
            RejectedError: it cannot be made.
        """
        folder = self.data_dir.resolve() / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RejectedError(
                f"{folder} cannot be made: {error.strerror}",
                field="FIRSTLIGHT_DATA_DIR",
                remedy="set it to a directory that may be written to",
            ) from None
        return folder


def variable_names() -> dict[str, tuple[str, str]]:
    """Every environment variable as {name: (group or "", field)}."""
    names = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for inner in kind.model_fields:
                names[f"{PREFIX}{name}_{inner}".upper()] = (name, inner)
        else:
            names[f"{PREFIX}{name}".upper()] = ("", name)
    return names


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    known = variable_names()
    for name in sorted(environ):
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _malformed(environ: Mapping[str, str]) -> Iterator[RejectedError]:
    """Lists and objects are given as JSON; pydantic-settings names only their group."""
    for name, (group, field) in variable_names().items():
        owner = Settings.model_fields[group].annotation if group else Settings
        kind = get_origin(owner.model_fields[field].annotation) if owner else None
        if not environ.get(name) or kind not in (list, dict):
            continue
        try:
            json.loads(environ[name])
        except ValueError as error:
            example = '["one", "two"]' if kind is list else '{"one": 1.0}'
            yield RejectedError(
                f"not JSON ({error})", field=name, remedy=f"write it as {example}, or unset it"
            )


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process, read afresh.

    Raises:
        RejectedError: a setting is wrong or unknown; the message names it on one line.
    """
    in_file = {name: value or "" for name, value in dotenv_values(ENV_FILE).items()}
    environ = {**in_file, **os.environ}
    for problem in _unknown(environ):
        raise RejectedError(problem)
    for malformed in _malformed(environ):
        raise malformed
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"][:2]).upper()
        raise RejectedError(
            first["msg"].removeprefix("Value error, "), field=name, remedy="correct or unset it"
        ) from None
    except Exception as error:  # whatever else pydantic-settings cannot read
        cause = error.__cause__ or error
        raise RejectedError(f"a setting could not be read: {error} ({cause})") from None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
