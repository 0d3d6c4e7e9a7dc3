"""Payload indexes: Qdrant's field schema as the engine's."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from index.server.bodies import Body
from index.server.errors import wrong

_TYPES = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
    "uuid": edge.PayloadSchemaType.Uuid,
    "geo": edge.PayloadSchemaType.Geo,
    "text": edge.PayloadSchemaType.Text,
}
_PARAMS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "keyword": (edge.KeywordIndexParams, ("is_tenant", "on_disk", "enable_hnsw")),
    "integer": (
        edge.IntegerIndexParams,
        ("lookup", "range", "is_principal", "on_disk", "enable_hnsw"),
    ),
    "float": (edge.FloatIndexParams, ("is_principal", "on_disk", "enable_hnsw")),
    "bool": (edge.BoolIndexParams, ("on_disk", "enable_hnsw")),
    "datetime": (edge.DatetimeIndexParams, ("is_principal", "on_disk", "enable_hnsw")),
    "uuid": (edge.UuidIndexParams, ("is_tenant", "on_disk", "enable_hnsw")),
    "geo": (edge.GeoIndexParams, ("on_disk", "enable_hnsw")),
    "text": (
        edge.TextIndexParams,
        (
            "min_token_len",
            "max_token_len",
            "lowercase",
            "ascii_folding",
            "phrase_matching",
            "on_disk",
            "enable_hnsw",
        ),
    ),
}
_TOKENIZERS = {
    "prefix": edge.TokenizerType.Prefix,
    "whitespace": edge.TokenizerType.Whitespace,
    "word": edge.TokenizerType.Word,
    "multilingual": edge.TokenizerType.Multilingual,
}


def read_schema(value: Any) -> Any:
    """A field schema, checked: a type's name, or {"type": ..., options}."""
    edge_schema(value)
    return value


def edge_schema(value: Any) -> Any:
    """The engine's schema of a field."""
    if isinstance(value, str):
        if value not in _TYPES:
            raise wrong(f"field_schema must be one of {', '.join(_TYPES)}, got {value!r}")
        return _TYPES[value]
    body = Body(value, "field_schema")
    kind = body.text("type")
    if kind not in _PARAMS:
        raise wrong(f"field_schema `type` must be one of {', '.join(_PARAMS)}, got {kind!r}")
    params, options = _PARAMS[kind]
    given = {name: body.take(name) for name in options if name in body}
    if kind == "text" and "tokenizer" in body:
        given["tokenizer"] = body.choice("tokenizer", _TOKENIZERS, None)
    body.done()
    try:
        return params(**given)
    except (TypeError, ValueError) as error:
        raise wrong(f"field_schema: {error}") from None
