"""Readers of data sets; `open_dataset` recognises which one a folder needs."""

from evaluation.datasets.movielens_1m import read_movielens_1m

__all__ = ["read_movielens_1m"]
