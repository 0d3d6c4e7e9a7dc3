"""Texts as rows of token ids for CLIP's text tower, in parts where its window is too short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_PARTS = 16
"""Parts of one text that CLIP's text tower reads, spread evenly over it."""

_LONG = 8
"""A text of more characters for each token of the window is not tried whole: the tokeniser's time
grows with the square of a word's length."""


class TowerTokens:
    """A tokeniser of open_clip that cuts texts at spaces into parts instead of truncating them."""

    def __init__(self, tokenizer: Any) -> None:
        """
        Args:
            tokenizer: what open_clip's get_tokenizer returns.
        """
        self._tokenizer = tokenizer
        self._window = int(tokenizer.context_length)
        self._count, special = _counter(tokenizer)
        self._room = max(1, self._window - special)
        short, full = tokenizer(["a", "a " * self._window]).numpy()
        self._padding = int(short[-1]) if short[-1] != full[-1] else None
        """What only a row that is not full ends with; None where that does not tell."""

    def rows(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """n texts, each of which fits the window -> [n, window]."""
        found: NDArray[np.int64] = self._tokenizer(list(texts)).numpy()
        return found

    def parts(self, text: str) -> list[tuple[NDArray[np.int64], float]]:
        """The rows [window] of a text's parts, at most MAX_PARTS, each with its length.

        Nothing of a part is truncated. A text without a word has none.
        """
        words = text.split()
        if not words:
            return []
        if len(text) <= _LONG * self._window:
            whole = self.rows([text])[0]
            if whole[-1] == self._padding or self._fits(text):
                return [(whole, float(len(text)))]
        # Words beside each other may be a few more tokens than each alone.
        parts = [half for part in self._filled(words) for half in self._halved(part)]
        if len(parts) > MAX_PARTS:
            chosen = np.linspace(0, len(parts) - 1, MAX_PARTS).astype(int)
            parts = [parts[at] for at in chosen]
        return [(row, float(len(part))) for row, part in zip(self.rows(parts), parts, strict=True)]

    def _filled(self, words: Sequence[str]) -> list[str]:
        """Words in parts that fit; a part of one word may not."""
        slices = [one for word in words for one in self._slices(word)]
        distinct = list(dict.fromkeys(slices))
        tokens = dict(zip(distinct, self._count(distinct), strict=True))
        parts: list[list[str]] = []
        filled = 0
        for word in slices:
            if not parts or filled + tokens[word] > self._room:
                parts.append([])
                filled = 0
            parts[-1].append(word)
            filled += tokens[word]
        return [" ".join(part) for part in parts]

    def _slices(self, word: str) -> list[str]:
        """A word, cut where it is longer than any word is."""
        if len(word) <= self._window:
            return [word]
        length = max(1, self._room // 3)
        return [word[at : at + length] for at in range(0, len(word), length)]

    def _halved(self, text: str) -> list[str]:
        """The text, or halves of halves of it that fit."""
        if len(text) < 2 or self._fits(text):
            return [text]
        middle = len(text) // 2
        return self._halved(text[:middle]) + self._halved(text[middle:])

    def _fits(self, text: str) -> bool:
        return self._count([text])[0] <= self._room


def _counter(tokenizer: Any) -> tuple[Callable[[Sequence[str]], list[int]], int]:
    """How many tokens each of several texts has, special ones apart; and how many those are."""
    from open_clip.tokenizer import SimpleTokenizer, basic_clean, canonicalize_text

    if isinstance(tokenizer, SimpleTokenizer):
        return lambda texts: [len(tokenizer.encode(text)) for text in texts], 2
    inner = tokenizer.tokenizer
    clean = getattr(tokenizer, "clean_fn", lambda text: canonicalize_text(basic_clean(text)))

    def count(texts: Sequence[str]) -> list[int]:
        cleaned = [clean(text) for text in texts]
        found = inner(cleaned, add_special_tokens=False, truncation=False, verbose=False)
        return [len(ids) for ids in found["input_ids"]]

    # CLIPS adds three by itself, and not those of the tokeniser.
    clips = getattr(tokenizer, "tokenizer_mode", "") == "clips"
    return count, 3 if clips else int(inner.num_special_tokens_to_add())
