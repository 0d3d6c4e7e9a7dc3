"""A digest of the code that a result depends on, so that a change of it is a new result."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("evaluation", "ranking")
"""Whose sources count; what encoders made of the items is part of a result's key as numbers."""


def code_digest(*modules: str) -> str:
    """16 hex digits over the sources of modules and of all they import, within PACKAGES.

    A module from elsewhere (a method of one's own) counts with its own source and with what it
    imports from PACKAGES.
    """
    seen: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        path = _path(name)
        if path is None:
            continue
        seen[name] = path.read_bytes()
        waiting += [one for one in _imports(seen[name]) if one.partition(".")[0] in PACKAGES]
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + seen[name] + b"\0")
    return digest.hexdigest()[:16]


def _path(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _imports(source: bytes) -> Iterator[str]:
    """Modules that a source names in imports; `from a import b` may name a module a.b as well."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
