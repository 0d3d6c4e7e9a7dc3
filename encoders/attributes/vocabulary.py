"""Tokens to raw vectors: hashed while nothing is known, tf-idf and a truncated SVD after a fit."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.fields import AttributeValue
from domain.vectors import Matrix, Vector
from encoders.attributes.tokens import FORMULA, beyond_years, grouped_tokens

Attributes: TypeAlias = Mapping[str, AttributeValue]
"""Of one item, as its publisher sent them."""

MOST_TOKENS = 50_000
"""Size of a fitted vocabulary at most; at 256 dimensions 51 MB."""

MIN_ITEMS = 2
"""A token of one item alone says nothing about another."""

_WORDS = Struct("<4I")
"""A token's four places before anything is fitted: a sign, and 31 bits for the place."""

_FAINT = 1e-2
"""Where less of an item's unit row is left in the fitted dimensions, its direction is noise."""

_NEGLIGIBLE = 1e-5
_SEED = 20


@dataclass(frozen=True, slots=True)
class Rows:
    """Items as weighted tokens.

    Attributes:
        tokens: what the columns are.
        weights: [n_items, n_tokens] float32, each row of norm 1 or empty.
        directions: [n_tokens, dim] float32.
    """

    tokens: Mapping[str, int]
    weights: csr_matrix
    directions: Matrix

    def vectors(self, start: int = 0, stop: int | None = None) -> list[Vector | None]:
        """[dim] float32 of items start to stop, None where nothing is known of one."""
        found: Matrix = np.asarray(self.weights[start:stop] @ self.directions, dtype=np.float32)
        known = np.linalg.norm(found, axis=1) >= _FAINT
        return [row if there else None for row, there in zip(found, known, strict=True)]


@dataclass(frozen=True, slots=True)
class Hashed:
    """Signed feature hashing (Weinberger et al. 2009), each token in four places.

    Attributes:
        dim: length of the vectors.
    """

    dim: int

    def rows(self, items: Sequence[Attributes]) -> Rows:
        """The items' tokens with their weights, and where each token points."""
        numbers: dict[str, int] = {}
        found = _Tokens.of(items, lambda token: numbers.setdefault(token, len(numbers)))
        directions = np.zeros((len(numbers), self.dim), dtype=np.float32)
        if numbers:
            words = np.array([_words(token) for token in numbers])
            signs = np.where(words & 1, 0.5, -0.5).astype(np.float32)
            np.add.at(directions, (np.arange(len(words))[:, None], (words >> 1) % self.dim), signs)
        ones = np.ones(len(numbers), dtype=np.float32)
        columns = np.arange(len(numbers))
        return Rows(numbers, found.weighted(columns, ones), directions)

    def digest(self) -> bytes:
        """Of what makes the vectors."""
        return hashlib.sha256(f"{FORMULA}, hashed".encode()).digest()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Dampened tf-idf of known tokens, then the right singular vectors; others are passed over.

    Attributes:
        tokens: sorted.
        idf: [n_tokens] float32, log((1 + n) / (1 + df)) + 1.
        directions: [n_tokens, dim] float32, where each token points.
        numbers: {token: its place in `tokens`}.
    """

    tokens: tuple[str, ...]
    idf: Vector
    directions: Matrix
    numbers: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """
        Raises:
            RejectedError: shapes that do not fit together, or values that cannot be.
        """
        count = len(self.tokens)
        numbers = {token: number for number, token in enumerate(self.tokens)}
        if not count or len(numbers) != count or self.idf.shape != (count,):
            raise RejectedError("tokens are missing, double or without idf", field="attributes")
        if self.directions.ndim != 2 or len(self.directions) != count or not self.dim:
            raise RejectedError(
                f"directions have shape {self.directions.shape}, not ({count}, dim)",
                field="attributes",
            )
        if not (np.isfinite(self.directions).all() and np.isfinite(self.idf).all()):
            raise RejectedError("holds NaN or inf", field="attributes")
        if not (self.idf > 0).all():
            raise RejectedError("an idf is not above 0", field="attributes")
        object.__setattr__(self, "numbers", numbers)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.directions.shape[1])

    def rows(self, items: Sequence[Attributes]) -> Rows:
        """The items' known tokens with their weights, and where each token points."""
        found = _Tokens.of(items, self.numbers.get)
        weights = found.weighted(np.arange(len(self.tokens)), self.idf)
        return Rows(self.numbers, weights, self.directions)

    def digest(self) -> bytes:
        """Of what makes the vectors."""
        digest = hashlib.sha256(f"{FORMULA}, fitted\n".encode())
        digest.update("\n".join(self.tokens).encode())
        digest.update(self.idf.tobytes())
        digest.update(np.ascontiguousarray(self.directions).tobytes())
        return digest.digest()


AttributeMap: TypeAlias = Hashed | Vocabulary


def fit_vocabulary(
    items: Iterable[Attributes], dim: int, *, most_tokens: int = MOST_TOKENS
) -> tuple[Vocabulary, Rows] | None:
    """Learn the tokens of a catalogue: the more frequent ones, idf, and the strongest directions.

    Of a name that has years alone, those that take a year for an amount are left out.

    Args:
        items: attributes of each item, read once; empty ones count for nothing.
        dim: length of the vectors at most.
        most_tokens: the rarest tokens are left out beyond so many.

    Returns:
        The vocabulary, and the items as its `rows` would give them; None where no token occurs
        in two items.
    """
    known: dict[str, int] = {}
    found = _Tokens.of(items, lambda token: known.setdefault(token, len(known)))
    df = np.bincount(found.numbers, minlength=len(known))
    frequent = [(-int(df[number]), token) for token, number in known.items()]
    left_out = beyond_years({token: int(df[number]) for token, number in known.items()})
    frequent = [pair for pair in frequent if -pair[0] >= MIN_ITEMS and pair[1] not in left_out]
    frequent = sorted(frequent)[:most_tokens]
    tokens = tuple(sorted(token for _, token in frequent))
    if not tokens:
        return None
    chosen = np.asarray([known[token] for token in tokens])
    described = len(np.unique(found.items))
    idf = (np.log((1 + described) / (1 + df[chosen])) + 1).astype(np.float32)
    columns = np.full(len(known), -1)
    columns[chosen] = np.arange(len(tokens))
    weights = found.weighted(columns, idf)
    vocabulary = Vocabulary(tokens, idf, _directions(weights, dim))
    return vocabulary, Rows(vocabulary.numbers, weights, vocabulary.directions)


def _directions(weights: csr_matrix, dim: int) -> Matrix:
    """The strongest right singular vectors [n_tokens, at most dim]; signs fixed."""
    from sklearn.utils.extmath import randomized_svd  # slow to import, and only a fit needs it

    most = min(dim, *weights.shape)
    _, values, right = randomized_svd(weights, most, n_iter=4, random_state=_SEED)
    right = right[values > _NEGLIGIBLE * values[0]]
    largest = np.abs(right).argmax(axis=1)
    signs = np.sign(right[np.arange(len(right)), largest])
    directions: Matrix = np.ascontiguousarray((right * signs[:, None]).T, dtype=np.float32)
    return directions


@lru_cache(maxsize=1 << 16)
def _words(token: str) -> tuple[int, ...]:
    """32 bits for each place a token points to, the same in any process."""
    return _WORDS.unpack(hashlib.blake2b(token.encode(), digest_size=_WORDS.size).digest())


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Tokens of items, one after another.

    Attributes:
        numbers: [n] of the tokens.
        names: [n] which (item, name) each belongs to.
        items: [n] which item.
        count: of the items.
    """

    numbers: NDArray[np.int64]
    names: NDArray[np.int64]
    items: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, items: Iterable[Attributes], number: Callable[[str], int | None]) -> _Tokens:
        """Tokens whose number is None are left out."""
        numbers, names, owners = array("q"), array("q"), array("q")
        group = count = 0
        for attributes in items:
            for tokens in grouped_tokens(attributes).values():
                for token in tokens:
                    found = number(token)
                    if found is not None:
                        numbers.append(found)
                        names.append(group)
                        owners.append(count)
                group += 1
            count += 1
        return cls(np.array(numbers), np.array(names), np.array(owners), count)

    def weighted(self, columns: NDArray[np.int64], idf: Vector) -> csr_matrix:
        """[count, n_columns] float32: (idf^2 / tokens of the name in the item)^(1/4), rows of
        norm 1.

        Both powers are between what serves best before and after training (docs/fusion.md): a
        rare value counts more than a common one, and thirty actors more than one country, but
        not thirty times.

        Args:
            columns: [n_numbers] column of each number, -1 to leave it out.
            idf: [n_columns].
        """
        column = columns[self.numbers]
        kept = column >= 0
        column, names, items = column[kept], self.names[kept], self.items[kept]
        together = np.bincount(names)[names] if len(names) else names
        weights = (idf[column].astype(np.float64) ** 2 / together) ** 0.25
        norms = np.sqrt(np.bincount(items, weights**2, minlength=self.count))
        weights /= norms[items]
        starts = np.concatenate([[0], np.cumsum(np.bincount(items, minlength=self.count))])
        return csr_matrix(
            (weights.astype(np.float32), column, starts), shape=(self.count, len(idf))
        )
