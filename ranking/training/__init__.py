"""Training: A from additive sums, collaborative factors, and the gate between them."""

from ranking.training.beginning import Beginning, choose_beginning
from ranking.training.choosing import Setting, choose
from ranking.training.collaborate import Learned, fit_collaborative
from ranking.training.concepts import Concepts, low_rank
from ranking.training.data import PROFILE_PARTS, TrainingData
from ranking.training.fit import LEAST_INTERACTIONS, Fitted, fit_projection, solve
from ranking.training.options import GATED, name_of
from ranking.training.solve import Ridge, Sums, item_gram, metric_of, stacked
from ranking.training.statistics import Recipe, Statistics
from ranking.training.users import UserLayout, user_layout, user_rows

__all__ = [
    "GATED",
    "LEAST_INTERACTIONS",
    "PROFILE_PARTS",
    "Beginning",
    "Concepts",
    "Fitted",
    "Learned",
    "Recipe",
    "Ridge",
    "Setting",
    "Statistics",
    "Sums",
    "TrainingData",
    "UserLayout",
    "choose",
    "choose_beginning",
    "fit_collaborative",
    "fit_projection",
    "item_gram",
    "low_rank",
    "metric_of",
    "name_of",
    "solve",
    "stacked",
    "user_layout",
    "user_rows",
]
