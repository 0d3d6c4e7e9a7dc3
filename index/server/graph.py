"""How much of a collection its HNSW graph covers, and when to build it anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from index.server.effects import DropPoints, Effect, PutPoints, PutVectors, touched
from index.server.points import PointId
from index.server.spec import CollectionSpec, Defaults

REBUILD_SHARE = 0.1
"""Share of points written or removed since the build from which a new graph is built.

What was written since is scanned exactly beside the graph, so this bounds that scan."""


@dataclass(slots=True)
class Coverage:
    """What the graph was built over, and what changed since.

    Attributes:
        points: points in the graph; 0 where there is none.
        earlier: points that had changed before this process opened the collection.
        changed: ids that changed since.
    """

    points: int = 0
    earlier: int = 0
    changed: set[PointId] = field(default_factory=set)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Coverage:
        """As kept in graph.json."""
        return cls(value["points"], value["changed"])

    def to_json(self) -> dict[str, int]:
        """See from_json."""
        return {"points": self.points, "changed": self.stale}

    @property
    def stale(self) -> int:
        """How many points changed since the build, at most."""
        return self.earlier + len(self.changed)

    @property
    def indexed(self) -> int:
        """How many points are found through the graph."""
        return max(0, self.points - self.stale)

    def note(self, effect: Effect) -> None:
        """Count what an effect takes out of the graph."""
        if self.points and isinstance(effect, PutPoints | PutVectors | DropPoints):
            self.changed |= touched(effect) or set()


def build_due(points: int, coverage: Coverage, spec: CollectionSpec, defaults: Defaults) -> bool:
    """Whether a graph should be built: the first beyond the exact size, later ones by share."""
    limits: Iterable[int | None] = (spec.exact_up_to(name, defaults) for name in spec.vectors)
    exact_up_to = min((limit for limit in limits if limit is not None), default=None)
    if exact_up_to is None or points <= exact_up_to:
        return False
    return coverage.points == 0 or coverage.stale > REBUILD_SHARE * points
