"""Items by content alone, though the index holds content scaled by the items' gates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from api.ranked import Space
from index import Hit, ItemIndex, Search

MOST_HITS = 16_384
"""Looked through at most, where weights of content lie so far apart that the order by content
cannot be told from fewer."""


def nearest_by_content(index: ItemIndex, space: Space, search: Search) -> list[Hit]:
    """The best `search.limit` items by c . q; `search.vector` is [q; 0].

    The index ranks by w_i (c_i . q). What it has not returned scores at most t, the last score it
    did return, so its c . q is at most t / w for the smallest possible w (the largest, where t is
    negative). Once the best `limit` of what was returned reach that, no other can be among them;
    until then more is asked for. Without a training every w is 1 and the first answer is it.
    """
    low, high = space.hybrid.weight_range
    size = search.limit
    while True:
        hits = index.query_many(space.collection, [replace(search, limit=size)])[0]
        if low == high or not hits:
            return hits
        scores = np.array([hit.score for hit in hits])
        scores /= space.hybrid.weights([hit.gate for hit in hits])
        best = np.argsort(-scores, kind="stable")[: search.limit]
        last = hits[-1].score
        enough = scores[best[-1]] >= last / (low if last > 0 else high)
        if enough or len(hits) < size or size >= MOST_HITS:
            return [hits[at] for at in best]
        size = min(size * 4, MOST_HITS)
