"""Strict reading of JSON bodies: a field nobody reads is refused, never silently ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from index.server.errors import unsupported, wrong

T = TypeVar("T")

FULL_QDRANT = "use a Qdrant server (FIRSTLIGHT_INDEX_URL)"


class Body:
    """One JSON object that is read field by field.

    `done()` refuses what was not read. A null counts as absent, as in Qdrant.
    """

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise wrong(f"{where} must be a JSON object")
        self.where = where
        self._left: dict[str, Any] = {k: v for k, v in value.items() if v is not None}
        self._known = set(self._left)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def take(self, name: str, default: Any = None) -> Any:
        """Any value, unchecked."""
        return self._left.pop(name, default)

    def need(self, name: str) -> Any:
        """A value that must be there."""
        if name not in self._left:
            raise wrong(f"{self.where}: `{name}` is missing")
        return self._left.pop(name)

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        value = self.take(name, default)
        if not isinstance(value, str):
            raise self._type(name, "a string")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean."""
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise self._type(name, "true or false")
        return value

    def whole(self, name: str, default: T, *, least: int = 0, most: int = 2**53) -> int | T:
        """A whole number within bounds, or the default where absent."""
        if name not in self._left:
            return default
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._type(name, "a whole number")
        if not least <= value <= most:
            raise wrong(f"{self.where}: `{name}` must be between {least} and {most}, got {value}")
        return value

    def number(self, name: str) -> float | None:
        """A number, or None where absent."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._type(name, "a number")
        return float(value)

    def items(self, name: str) -> list[Any]:
        """A list that must be there."""
        value = self.need(name)
        if not isinstance(value, list):
            raise self._type(name, "a list")
        return value

    def choice(self, name: str, choices: Mapping[str, T], default: T) -> T:
        """One of several words."""
        if name not in self._left:
            return default
        value = self.take(name)
        if not isinstance(value, str) or value not in choices:
            raise wrong(
                f"{self.where}: `{name}` must be one of {', '.join(choices)}, got {value!r}"
            )
        return choices[value]

    def refuse(self, name: str, instead: str = FULL_QDRANT) -> None:
        """Refuse a field that Qdrant knows and this server does not."""
        if name in self._left:
            raise unsupported(f"`{name}` in {self.where}", instead)

    def done(self) -> None:
        """Refuse every field that nobody read."""
        if self._left:
            names = ", ".join(f"`{name}`" for name in sorted(self._left))
            raise unsupported(f"{names} in {self.where}", f"leave it out, or {FULL_QDRANT}")

    def _type(self, name: str, expected: str) -> Exception:
        return wrong(f"{self.where}: `{name}` must be {expected}")
