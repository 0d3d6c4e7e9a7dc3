"""The product's learned option of distillation: the ridge with EASE's predictions as targets."""

from __future__ import annotations

from evaluation.methods.learned import FromRidge
from ranking.training.distillation import Distillation


class EaseDistillation(FromRidge):
    """u^T A c_i, A solved for what an EASE teacher predicts (`ranking.training.distillation`)."""

    name = "ease-distillation"

    def __init__(self, strength: float = 300.0, mix: float = 0.5) -> None:
        """As `ranking.training.distillation.Distillation`."""
        self.strength = strength
        self.mix = mix

    def option(self) -> Distillation:
        """As its parameters have it."""
        return Distillation(self.strength, self.mix)
