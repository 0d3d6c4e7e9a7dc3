"""The bounded map behind profiles and item vectors."""

from __future__ import annotations

import numpy as np

from api.cache import LruCache
from api.models import Models
from api.profiles import Encoded, ProfileCache


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
    assert not np.allclose(first.vectors["text"], other.vectors["text"])


def encoded(*numbers):
    return Encoded({"text": np.asarray(numbers, dtype=np.float32)})


def test_a_user_is_forgotten_with_every_prompt_that_speaks_of_them():
    cache = ProfileCache(10, 60.0)
    cache.put("old words", "ada", encoded(1))
    cache.put("new words", "ada", encoded(2))
    cache.put("of bob", "bob", encoded(3))
    cache.put("of nobody", None, encoded(4))
    assert cache.forget("ada") == 2
    assert cache.forget("ada") == 0
    assert cache.get("old words", None) is None
    assert cache.get("of bob", "bob") is not None
    assert len(cache) == 2


def test_words_that_two_users_share_are_forgotten_with_either():
    cache = ProfileCache(10, 60.0)
    cache.put("owls", "ada", encoded(1))
    assert cache.get("owls", "bob") is not None
    assert cache.forget("bob") == 1
    assert cache.get("owls", "ada") is None
    assert cache.forget("ada") == 0


def test_a_profile_leaves_by_age_however_often_it_is_read_and_by_number():
    now = [0.0]
    cache = ProfileCache(2, 60.0, clock=lambda: now[0])
    cache.put("a", "ada", encoded(1))
    now[0] = 59.0
    assert cache.get("a", "ada") is not None
    now[0] = 61.0
    assert cache.get("a", "ada") is None
    for name in "abc":
        cache.put(name, name, encoded(1))
    assert (cache.get("a", None), len(cache)) == (None, 2)
    assert (cache.forget("a"), cache.forget("c")) == (0, 1)


def test_a_profile_cache_of_size_zero_keeps_nothing():
    cache = ProfileCache(0, 60.0)
    cache.put("a", "ada", encoded(1))
    assert (len(cache), cache.forget("ada")) == (0, 0)
