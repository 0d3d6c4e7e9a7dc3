"""How items and users lie in the ledger: canonical JSON without the version, which is a column."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel
from sqlalchemy import Row

from catalog.records import ItemRecord, ItemState, MediaFailure, UserRecord
from domain.items import Item
from domain.limits import UNLIMITED
from domain.users import User

NO_LIMITS = {"limits": UNLIMITED}


def to_json(model: Item | User) -> str:
    """Sorted keys, no version: two events say the same exactly when their texts are equal.

    An expiry that is not given is left out, as it was before items had one.
    """
    unsaid = {"expires_at"} if isinstance(model, Item) and model.expires_at is None else set()
    return dumps(model, exclude={"version"} | unsaid)


def dumps(value: object, *, exclude: set[str] | None = None) -> str:
    """Canonical JSON of a model or of plain values."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude=exclude)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def to_item(text: str, version: int) -> Item:
    """The item as it was accepted."""
    return Item.model_validate({**orjson.loads(text), "version": version}, context=NO_LIMITS)


def to_user(text: str, version: int) -> User:
    """The user as they were accepted."""
    return User.model_validate({**orjson.loads(text), "version": version}, context=NO_LIMITS)


def failures_to_json(failures: tuple[MediaFailure, ...]) -> str | None:
    """NULL when nothing failed."""
    if not failures:
        return None
    return dumps([[storable(field), storable(message)] for field, message in failures])


def storable(text: str) -> str:
    """Reasons quote foreign text (URLs, decoders): what no store holds becomes a mark."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def to_item_record(row: Row[Any]) -> ItemRecord:
    """One row of the items table."""
    return ItemRecord(
        id=row.id,
        version=row.version,
        item=None if row.item is None else to_item(row.item, row.version),
        lane=row.lane,
        state=ItemState(row.state),
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        reason=row.reason,
        failures=tuple(MediaFailure(*one) for one in orjson.loads(row.failures or "[]")),
        fingerprint=row.fingerprint,
        models=None if row.models is None else orjson.loads(row.models),
        accepted_at=row.accepted_at,
        indexed_at=row.indexed_at,
        updated_at=row.updated_at,
    )


def to_user_record(row: Row[Any]) -> UserRecord:
    """One row of the users table."""
    user = None if row.profile is None else to_user(row.profile, row.version)
    return UserRecord(id=row.id, version=row.version, user=user, updated_at=row.updated_at)
