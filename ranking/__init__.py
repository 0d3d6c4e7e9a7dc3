"""Scores: the user vector, the projection A, one inner-product query, and its explanation."""

from ranking.explain import BIAS, Explained, contributions, explain
from ranking.layout import PARTS, FusionLike, Layout, layout_of, part_dims, rank_dim
from ranking.projection import Projection, prior, projection
from ranking.query import Query, vector_query, widened
from ranking.space import RankSpace, rank_space
from ranking.store import ProjectionStore
from ranking.user import UserVector, history_vector, source_mean, user_vector

__all__ = [
    "BIAS",
    "PARTS",
    "Explained",
    "FusionLike",
    "Layout",
    "Projection",
    "ProjectionStore",
    "Query",
    "RankSpace",
    "UserVector",
    "contributions",
    "explain",
    "history_vector",
    "layout_of",
    "part_dims",
    "prior",
    "projection",
    "rank_dim",
    "rank_space",
    "source_mean",
    "user_vector",
    "vector_query",
    "widened",
]
