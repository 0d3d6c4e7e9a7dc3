"""The product's learned option of gated fusion: gates of the items' modalities, learned with A."""

from __future__ import annotations

from evaluation.methods.learned import FromRidge
from ranking.training.gated import GatedFusion as Recipe


class GatedFusion(FromRidge):
    """u^T A c'_i with gates between an item's modalities (`ranking.training.gated`)."""

    name = "gated-fusion"

    def __init__(
        self, decay: float = 1e-4, mix: float = 0.5, dropout: float = 0.2, epochs: int = 20
    ) -> None:
        """As `ranking.training.gated.GatedFusion`."""
        self.recipe = Recipe(decay, mix, dropout, epochs=epochs)

    def option(self) -> Recipe:
        """As its parameters have it."""
        return self.recipe
