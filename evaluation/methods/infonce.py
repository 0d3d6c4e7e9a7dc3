"""The product's learned option InfoNCE: a bilinear form by gradient descent, alone or mixed."""

from __future__ import annotations

from evaluation.methods.learned import ByA, FromRidge, descended, training_data
from evaluation.methods.task import Task
from ranking.training import stacked, user_layout
from ranking.training.infonce import InfoNce as Recipe
from ranking.training.options import mixed_with_ridge


class InfoNce(ByA):
    """u^T A c_i from the features of the closed form; only the fitting differs.

    The implementation is the one that `firstlight train` sets beside the ridge
    (`ranking.training.infonce`); here its decay is chosen on the harness's validation.
    """

    name = "infonce"

    def __init__(
        self,
        decay: float = 1e-2,
        temperature: float = 0.2,
        learning_rate: float = 1e-3,
        epochs: int = 20,
    ) -> None:
        """As `ranking.training.infonce.InfoNce`."""
        self.recipe = Recipe(decay, temperature, learning_rate, epochs)

    def fit(self, task: Task) -> None:
        """Descend from the prior; the order of users and items is the seed's.

        Raises:
            ValueError: the run has no features.
        """
        self._data, first = training_data(task, "infonce")
        layout = user_layout(task.blocks, task.profiles)
        start = stacked(layout, first, task.items.shape[1])
        self._a = descended(task, self._data, start, self.recipe)


class RidgeInfoNce(FromRidge):
    """The closed form and InfoNCE in one A, in equal shares (`ranking.training.infonce.mixed`)."""

    name = "ridge-infonce"

    def __init__(self, decay: float = 1e-4, mix: float = 0.5) -> None:
        """As `ranking.training.infonce.InfoNce`."""
        self.decay = decay
        self.mix = mix

    def option(self) -> Recipe:
        """As its parameters have it."""
        return Recipe(self.decay, mix=self.mix)

    def refit(self, task: Task) -> None:
        """Mix again, with the decay that is there; the descent is that of `InfoNce`."""
        alone = descended(task, self._plain, self._sums.prior, self.option())
        self._a = mixed_with_ridge(alone, self.option(), self._plain, self._sums, self._ridge)
        self._data, self.gates = self._plain, None
