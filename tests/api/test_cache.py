"""The bounded map behind profiles and item vectors."""

from __future__ import annotations

import numpy as np

from api.cache import LruCache
from api.models import Models


def test_what_was_used_least_recently_goes_first():
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert cache.get("b") is None
    assert (cache.get("a"), cache.get("c")) == (1, 3)
    assert len(cache) == 2


def test_a_value_put_again_is_replaced_without_pushing_another_out():
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 9)
    assert (cache.get("a"), cache.get("b")) == (9, 2)


def test_a_size_of_zero_keeps_nothing():
    cache: LruCache[str, int] = LruCache(0)
    cache.put("a", 1)
    assert cache.get("a") is None


def test_a_profile_is_encoded_once_and_another_one_anew(tiny_settings, tiny_encoders, monkeypatch):
    prompts = []
    encode = tiny_encoders.encode_profile

    def counted(prompt):
        prompts.append(prompt)
        return encode(prompt)

    monkeypatch.setattr(tiny_encoders, "encode_profile", counted)
    models = Models(tiny_settings, tiny_encoders)
    first, again, other = (models.profile(words) for words in ("the sea", "the sea", "the hills"))
    assert prompts == ["the sea", "the hills"]
    assert again is first
    assert not np.allclose(first["text"], other["text"])
