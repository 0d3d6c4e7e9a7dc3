"""A digest of the code that a result depends on, so that a change of it is a new result."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("evaluation", "ranking", "encoders", "domain")
"""Whose sources count wherever they are installed."""

LIBRARIES = ("cornac", "implicit", "numpy", "scikit-learn", "scipy", "torch")
"""Whose versions count: they compute what methods and measures give."""

_INSTALLED = {"site-packages", "dist-packages"}
"""Folders of packages that pip put there."""


@lru_cache
def library_versions() -> dict[str, str]:
    """Of those LIBRARIES that are installed."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_digest(*modules: str) -> str:
    """16 hex digits over the sources of modules and of all they import, packages' own included.

    Followed are PACKAGES and whatever is neither installed by pip nor Python's own: a method of
    one's own with what it imports from beside it. Nothing is imported to find out.
    """
    seen: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = None if name in seen else _path(name)
        if path is None:
            continue
        seen[name] = path.read_bytes()
        inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [name.rpartition(".")[0], *_imports(seen[name], inside)]
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + seen[name] + b"\0")
    return digest.hexdigest()[:16]


def _path(module: str) -> Path | None:
    """The file of a module that is followed; None for any other, and for what is no module."""
    top, *inner = module.split(".")
    for folder in _folders(top, tuple(sys.path)):
        place = folder.joinpath(top, *inner)
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
    return None


@lru_cache(maxsize=1024)
def _folders(top: str, _searched: tuple[str, ...]) -> list[Path]:
    """Where a package or module lies that is followed; empty for any other."""
    if not top or top in sys.stdlib_module_names:
        return []
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: loaded by hand, with no word of its place
        return []
    if spec is None:
        return []
    places = [Path(place).parent for place in spec.submodule_search_locations or ()]
    if not places and spec.origin:
        places = [Path(spec.origin).parent]
    return [place for place in places if top in PACKAGES or not _installed(place)]


def _installed(place: Path) -> bool:
    standard = sysconfig.get_path("stdlib")
    return bool(_INSTALLED & set(place.parts)) or place == Path(standard)


@lru_cache(maxsize=1024)
def _imports(source: bytes, package: str) -> tuple[str, ...]:
    """Modules that a source within a package names in imports; none where it cannot be read."""
    try:
        return tuple(_named(ast.parse(source), package))
    except (SyntaxError, ValueError):
        return ()


def _named(tree: ast.AST, package: str) -> Iterator[str]:
    """`from a import b` may name a module a.b as well, `from . import b` one of the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join(filter(None, (*above, node.module)))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
