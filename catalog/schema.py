"""The ledger's tables as SQLAlchemy sees them; migrations.py is what creates them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData()

IDENTIFIER = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared and ordered by bytes on both engines, so that paging means the same on both."""

ITEMS = Table(
    "items",
    METADATA,
    Column("id", IDENTIFIER, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("item", Text),
    Column("lane", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("sends", Integer, nullable=False),
    Column("next_attempt_at", Double),
    Column("reason", Text, nullable=False),
    Column("failures", Text),
    Column("fingerprint", Text),
    Column("models", Text),
    Column("accepted_at", Double, nullable=False),
    Column("indexed_at", Double),
    Column("updated_at", Double, nullable=False),
    Column("first_indexed_at", Double),
)
DUE = Index(
    "items_due",
    ITEMS.c.next_attempt_at,
    sqlite_where=ITEMS.c.next_attempt_at.is_not(None),
    postgresql_where=ITEMS.c.next_attempt_at.is_not(None),
)
BY_STATE = Index("items_by_state", ITEMS.c.state, ITEMS.c.id)
BY_FINGERPRINT = Index("items_by_fingerprint", ITEMS.c.state, ITEMS.c.fingerprint)

NEWEST = Index("items_newest", ITEMS.c.state, ITEMS.c.indexed_at)
BY_AGE = Index("items_by_age", ITEMS.c.state, ITEMS.c.first_indexed_at)

USERS = Table(
    "users",
    METADATA,
    Column("id", IDENTIFIER, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("profile", Text),
    Column("erased_until", Double),
    Column("updated_at", Double, nullable=False),
)

INTERACTIONS = Table(
    "interactions",
    METADATA,
    Column("event_id", IDENTIFIER, primary_key=True),
    Column("user_id", IDENTIFIER, nullable=False),
    Column("item_id", IDENTIFIER, nullable=False),
    Column("kind", Text, nullable=False),
    Column("weight", Double, nullable=False),
    Column("time", Double, nullable=False),
    Column("arrival", BigInteger, nullable=False),
)
BY_USER = Index("interactions_by_user", INTERACTIONS.c.user_id, INTERACTIONS.c.time)
BY_ITEM = Index("interactions_by_item", INTERACTIONS.c.item_id, INTERACTIONS.c.user_id)
BY_ARRIVAL = Index("interactions_by_arrival", INTERACTIONS.c.arrival, INTERACTIONS.c.event_id)

ERASED = Index(
    "users_erased",
    USERS.c.updated_at,
    USERS.c.id,
    sqlite_where=USERS.c.erased_until.is_not(None),
    postgresql_where=USERS.c.erased_until.is_not(None),
)

ARRIVALS = Table("arrivals", METADATA, Column("last", BigInteger, nullable=False))
