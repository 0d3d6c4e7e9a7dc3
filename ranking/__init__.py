"""Scores: the user vector, the projection A, one inner-product query, and its explanation."""

from ranking.artifact import named
from ranking.collaborative import Collaborative
from ranking.explain import BIAS, Explained, contributions, explain
from ranking.hybrid import Gate, Hybrid, alone, untrained
from ranking.layout import PARTS, FusionLike, Layout, layout_of, part_dims, rank_dim
from ranking.moments import Moments
from ranking.projection import Projection, prior, projection
from ranking.query import Query, vector_query, widened
from ranking.rows import Rows
from ranking.space import RankSpace, rank_space
from ranking.store import HybridStore
from ranking.user import UserVector, history_vector, source_mean, user_vector

__all__ = [
    "BIAS",
    "PARTS",
    "Collaborative",
    "Explained",
    "FusionLike",
    "Gate",
    "Hybrid",
    "HybridStore",
    "Layout",
    "Moments",
    "Projection",
    "Query",
    "RankSpace",
    "Rows",
    "UserVector",
    "alone",
    "contributions",
    "explain",
    "history_vector",
    "layout_of",
    "named",
    "part_dims",
    "prior",
    "projection",
    "rank_dim",
    "rank_space",
    "source_mean",
    "untrained",
    "user_vector",
    "vector_query",
    "widened",
]
