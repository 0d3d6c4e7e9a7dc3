"""Protocols: what a method may learn from, and what it is then asked."""

from evaluation.splits.item_cold import item_cold_start
from evaluation.splits.split import SEEDS, Evaluation, Split

__all__ = ["SEEDS", "Evaluation", "Split", "item_cold_start"]
