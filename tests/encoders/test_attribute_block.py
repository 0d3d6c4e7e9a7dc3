"""Attributes as a block of the fused vector."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize

from domain.errors import PermanentError, RejectedError
from domain.vectors import Vector
from encoders.attributes.tokens import attribute_tokens, beyond_years
from encoders.attributes.vocabulary import MIN_ITEMS, Hashed, Vocabulary, fit_vocabulary
from encoders.fusion import Fusion

ROOT = Path(__file__).resolve().parents[2]
GENRES = ("drama", "comedy", "western", "horror", "romance", "war")


def films(count: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """Films whose directors keep to a genre and a decade."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        genre = int(draw.integers(len(GENRES)))
        found.append(
            {
                "genre": [GENRES[genre], GENRES[(genre + int(draw.integers(2))) % len(GENRES)]],
                "director": f"Director {genre}-{draw.integers(4)}",
                "year": 1940 + 10 * genre + int(draw.integers(10)),
                "actors": [f"Actor {draw.integers(60)}" for _ in range(8)],
            }
        )
    return found


FILMS = films()


def fitted(items: list[dict[str, Any]] | None = None, **weights: float) -> Fusion:
    """Attributes alone."""
    items = FILMS if items is None else items
    return Fusion.fit([{}] * len(items), {}, block_dim=16, weights=weights, attributes=items)


FITTED = fitted()
PLAIN = Fusion.passthrough({"text": 4, "attributes": 64}, {})
FUSIONS = {"hashed": PLAIN, "fitted": FITTED}


def vector_of(fusion: Fusion, item: dict[str, Any]) -> Vector:
    """The fused vector of an item with nothing but attributes."""
    (raw,) = fusion.with_attributes([{}], [item])
    return fusion.fuse(raw)


# ---------------------------------------------------------------------- raw vectors


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
def test_items_alike_in_their_attributes_lie_together(fusion: Fusion) -> None:
    western = {"genre": ["western"], "director": "Director 2-1", "year": 1965}
    like = vector_of(fusion, {"genre": ["western", "horror"], "year": 1966})
    unlike = vector_of(fusion, {"genre": ["war"], "director": "Director 5-0", "year": 1991})
    assert vector_of(fusion, western) @ like > vector_of(fusion, western) @ unlike + 0.2


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
def test_order_of_names_and_values_does_not_change_a_bit_of_the_vector(fusion: Fusion) -> None:
    item = FILMS[0]
    turned = {name: item[name] for name in reversed(item)}
    turned["actors"] = item["actors"][::-1]
    np.testing.assert_array_equal(vector_of(fusion, item), vector_of(fusion, turned))


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
def test_an_item_is_the_same_alone_and_in_company(fusion: Fusion) -> None:
    assert fusion.attributes is not None
    together = fusion.attributes.encode([{}, *FILMS[:20]])
    assert together[0] is None
    for item, vector in zip(FILMS[:20], together[1:], strict=True):
        (alone,) = fusion.attributes.encode([item])
        assert alone is not None
        np.testing.assert_allclose(vector, alone, atol=1e-6)


scalars = (
    st.text(max_size=8)
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(
    st.dictionaries(
        st.sampled_from(["genre", "director", "year", "actors", "price"]),
        scalars | st.sampled_from(GENRES) | st.lists(scalars | st.sampled_from(GENRES), max_size=4),
        max_size=4,
    )
)
@settings(deadline=None)
def test_no_attributes_give_a_zero_nan_or_infinite_vector(item: dict[str, Any]) -> None:
    for fusion in FUSIONS.values():
        assert fusion.attributes is not None
        (raw,) = fusion.attributes.encode([item])
        if raw is None:
            assert fusion is FITTED or not attribute_tokens(item)
            continue
        fused = fusion.fuse({"attributes": raw})
        assert np.isfinite(fused).all()
        assert np.linalg.norm(fused) == pytest.approx(1.0, abs=1e-5)


def test_an_unseen_value_leaves_the_rest_of_the_item_as_it_is() -> None:
    known = {"genre": ["western"], "year": 1965}
    unseen = known | {"director": "Nobody Yet", "colour": "sepia"}
    np.testing.assert_array_equal(vector_of(FITTED, unseen), vector_of(FITTED, known))


def test_a_year_that_no_item_had_is_known_by_its_neighbours() -> None:
    later = vector_of(FITTED, {"year": 2001})
    near, far = vector_of(FITTED, {"year": 1999}), vector_of(FITTED, {"year": 1943})
    assert later @ near > later @ far


def test_an_item_with_nothing_but_unseen_values_lacks_the_block() -> None:
    assert FITTED.attributes is not None
    assert FITTED.attributes.encode([{"director": "Nobody Yet"}, {"colour": "sepia"}]) == [
        None,
        None,
    ]
    assert FITTED.with_attributes([{}], [{"colour": "sepia"}]) == [{}]
    with pytest.raises(PermanentError, match="no modality"):
        FITTED.fuse({})


def test_the_same_vectors_in_another_process(tmp_path: Path) -> None:
    FITTED.save(tmp_path / "fitted")
    PLAIN.save(tmp_path / "plain")
    (tmp_path / "films.json").write_text(json.dumps(FILMS[:30]))
    code = (
        "import json, sys, numpy as np; from pathlib import Path\n"
        "from encoders.fusion import Fusion\n"
        "folder = Path(sys.argv[1]); films = json.loads((folder / 'films.json').read_text())\n"
        "for name in ('fitted', 'plain'):\n"
        "    fusion = Fusion.load(folder / name)\n"
        "    raw = fusion.with_attributes([{}] * len(films), films)\n"
        "    np.save(folder / f'{name}.npy', fusion.fuse_many(raw))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)
    for name, fusion in (("fitted", FITTED), ("plain", PLAIN)):
        here = fusion.fuse_many(fusion.with_attributes([{}] * 30, FILMS[:30]))
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), here)


# ---------------------------------------------------------------------- the fit


def test_idf_and_directions_are_those_of_scikit_learn() -> None:
    single = [{"genre": item["genre"][0], "place": f"p{n % 9}"} for n, item in enumerate(FILMS)]
    learned = fit_vocabulary(single, 5)
    assert learned is not None
    vocabulary, rows = learned
    counts = np.zeros((len(single), len(vocabulary.tokens)))
    for row, item in enumerate(single):
        for token in attribute_tokens(item):
            counts[row, vocabulary.numbers[token]] = 1
    reference = TfidfTransformer().fit(counts)
    np.testing.assert_allclose(vocabulary.idf, reference.idf_, rtol=1e-6)
    weights = normalize(counts * np.sqrt(reference.idf_))
    np.testing.assert_allclose(rows.weights.toarray(), weights, atol=1e-6)
    svd = TruncatedSVD(5, algorithm="arpack").fit(weights)
    ours = vocabulary.directions.astype(np.float64)
    np.testing.assert_allclose(ours @ ours.T, svd.components_.T @ svd.components_, atol=1e-3)


def test_many_values_of_one_name_count_for_the_root_of_their_number() -> None:
    crowded = [
        {"one": f"x{n % 2}", "many": [f"y{n % 2}-{k}" for k in range(25)]} for n in range(60)
    ]
    learned = fit_vocabulary(crowded, 4)
    assert learned is not None
    vocabulary, rows = learned
    squares = np.asarray(rows.weights.power(2).sum(axis=0)).ravel()
    of_one = sum(squares[n] for t, n in vocabulary.numbers.items() if t.startswith("one="))
    of_many = sum(squares[n] for t, n in vocabulary.numbers.items() if t.startswith("many="))
    assert of_many == pytest.approx(5 * of_one, rel=1e-5)


def test_rare_tokens_are_left_out_and_the_vocabulary_is_bounded() -> None:
    learned = fit_vocabulary(FILMS, 8)
    assert learned is not None
    every = [token for item in FILMS for token in attribute_tokens(item)]
    amounts = beyond_years(Counter(every))
    seen = [token for token in every if token not in amounts]
    assert all(seen.count(token) >= MIN_ITEMS for token in learned[0].tokens)
    bounded = fit_vocabulary(FILMS, 8, most_tokens=10)
    assert bounded is not None
    assert len(bounded[0].tokens) == 10
    least = min(seen.count(token) for token in bounded[0].tokens)
    assert least >= sorted(map(seen.count, set(seen)))[-10]


def test_years_are_learned_as_years_alone_and_prices_of_four_digits_as_amounts() -> None:
    draw = np.random.default_rng(4)
    years = [{"made": 1900 + int(n)} for n in draw.integers(120, size=300)]
    learned = fit_vocabulary(years, 16)
    assert learned is not None
    widths = {token.partition(":")[0].rstrip("+") for token in learned[0].tokens if "~" in token}
    assert widths == {f"made~{width}" for width in (2, 5, 10, 20, 50)}

    fusion = fitted([{"price": int(price)} for price in draw.integers(100, 4000, 400)])
    for one, near, far in ((1199, 1299, 2899), (950, 1050, 3900), (2950, 3050, 200)):
        vectors = [vector_of(fusion, {"price": price}) for price in (one, near, far)]
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_the_order_of_the_items_does_not_change_the_vocabulary() -> None:
    one, other = fit_vocabulary(FILMS, 8), fit_vocabulary(FILMS[::-1], 8)
    assert one is not None
    assert other is not None
    assert one[0].tokens == other[0].tokens
    np.testing.assert_array_equal(one[0].idf, other[0].idf)


@pytest.mark.parametrize(
    "items",
    [[{}] * 50, [{"id": f"x{n}"} for n in range(50)], [{"kind": "a"}] * 50, FILMS[:10]],
    ids=["none", "all different", "all alike", "few"],
)
def test_attributes_that_have_no_statistics_are_hashed_on(items: list[dict[str, Any]]) -> None:
    fusion = fitted(items)
    assert fusion.attributes is not None
    assert isinstance(fusion.attributes.mapping, Hashed)
    assert fusion.version == Fusion.passthrough({"attributes": 16}, {}).version
    assert np.isfinite(vector_of(fusion, {"kind": "new"})).all()


def test_fewer_tokens_than_dimensions_give_a_smaller_block() -> None:
    fusion = fitted([{"kind": "abcde"[n % 5]} for n in range(100)])
    assert fusion.dim == 5
    assert fusion.items == {"attributes": 100}


def test_the_block_joins_the_others_last_and_is_imputed_where_it_is_missing() -> None:
    draw, items = np.random.default_rng(3), films(400)
    topics = draw.standard_normal((len(GENRES), 20)).astype(np.float32)
    texts = [
        (topics[GENRES.index(item["genre"][0])] + 0.3 * draw.standard_normal(20)).astype(np.float32)
        for item in items
    ]
    fusion = Fusion.fit(
        [{"text": text} for text in texts], {"text": 20}, block_dim=16, weights={}, attributes=items
    )
    assert [block.name for block in fusion.blocks] == ["text", "attributes"]
    assert {i.target for i in fusion.imputations} >= {"text", "attributes"}
    whole = fusion.fuse_many(fusion.with_attributes([{"text": text} for text in texts], items))
    guessed = fusion.fuse_many([{"text": text} for text in texts])
    start = fusion.blocks[1].start
    assert np.einsum("ij,ij->i", whole[:, start:], guessed[:, start:]).mean() > 0.1


def test_as_many_attributes_as_samples_are_needed() -> None:
    with pytest.raises(RejectedError, match="199 attributes of 200 samples"):
        Fusion.fit([{}] * 200, {}, block_dim=8, weights={}, attributes=FILMS[:199])


def test_a_fusion_without_the_block_leaves_attributes_out() -> None:
    fusion = Fusion.passthrough({"text": 4}, {})
    assert fusion.attributes is None
    assert fusion.with_attributes([{"text": np.ones(4, dtype=np.float32)}], [FILMS[0]])[
        0
    ].keys() == {"text"}


# ---------------------------------------------------------------------- keeping it


def test_another_vocabulary_is_another_version() -> None:
    assert FITTED.version == fitted().version
    assert FITTED.version != fitted(films(seed=1)).version
    assert FITTED.version != fitted(attributes=2.0).version


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
def test_a_loaded_fusion_encodes_as_the_saved_one(tmp_path: Path, fusion: Fusion) -> None:
    fusion.save(tmp_path)
    loaded = Fusion.load(tmp_path)
    assert loaded.version == fusion.version
    assert loaded.attributes is not None
    assert fusion.attributes is not None
    assert type(loaded.attributes.mapping) is type(fusion.attributes.mapping)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attributes.idf", np.ones(3, dtype=np.float32)),
        ("attributes.idf", "nan"),
        ("attributes.idf", "negative"),
        ("attributes.directions", np.ones((3, 3), dtype=np.float32)),
        ("attributes.directions", "nan"),
        ("attributes.directions", "changed"),
        ("attributes.directions", None),
    ],
)
def test_a_damaged_array_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    FITTED.save(tmp_path)
    arrays = load_file(tmp_path / "fusion.safetensors")
    if value is None:
        del arrays[name]
    elif isinstance(value, str):
        arrays[name].flat[0] = {"nan": np.nan, "negative": -1.0, "changed": 0.5}[value]
    else:
        arrays[name] = value
    save_file(arrays, tmp_path / "fusion.safetensors")
    with pytest.raises(RejectedError):
        Fusion.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda tokens: tokens[:-1],
        lambda tokens: [*tokens[:-1], tokens[0]],
        lambda tokens: [*tokens[:-1], "genre=another"],
        lambda tokens: [*tokens[:-1], 7],
        lambda tokens: "genre=drama",
        lambda tokens: [],
        lambda tokens: None,
    ],
    ids=["one less", "double", "another", "a number", "no list", "empty", "none"],
)
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, change: Any) -> None:
    FITTED.save(tmp_path)
    layout = json.loads((tmp_path / "fusion.json").read_text())
    layout["attribute_tokens"] = change(layout["attribute_tokens"])
    (tmp_path / "fusion.json").write_text(json.dumps(layout))
    with pytest.raises(RejectedError):
        Fusion.load(tmp_path)


def test_a_fusion_that_was_saved_before_there_were_attributes_is_read(tmp_path: Path) -> None:
    fusion = Fusion.passthrough({"text": 4}, {})
    fusion.save(tmp_path)
    layout = json.loads((tmp_path / "fusion.json").read_text())
    del layout["attribute_tokens"]
    (tmp_path / "fusion.json").write_text(json.dumps(layout))
    assert Fusion.load(tmp_path).version == fusion.version == "passthrough-9b427139b08d"


def test_a_vocabulary_refuses_what_does_not_fit_together() -> None:
    ones = np.ones(2, dtype=np.float32)
    with pytest.raises(RejectedError, match="double"):
        Vocabulary(("a=1", "a=1"), ones, np.ones((2, 3), dtype=np.float32))
    with pytest.raises(RejectedError, match="directions"):
        Vocabulary(("a=1", "b=1"), ones, np.ones((3, 2), dtype=np.float32))


# ---------------------------------------------------------------------- explanations


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
def test_the_shares_of_an_items_values_add_up_to_the_blocks_score(fusion: Fusion) -> None:
    assert fusion.attributes is not None
    block = fusion.attributes.block
    vectors = fusion.fuse_many(fusion.with_attributes([{}] * 20, FILMS[:20]))[
        :, block.start : block.stop
    ]
    query = vectors[0] + 0.5 * vectors[1]
    for scale in (1.0, 0.3):
        told = fusion.attributes.told(query, scale * vectors, FILMS[:20])
        for at, values in enumerate(told):
            total = sum(one.share for one in values)
            assert total == pytest.approx(float(query @ vectors[at]) * scale, abs=1e-5)
            assert {one.value for one in values} <= {
                one
                for value in FILMS[at].values()
                for one in (value if isinstance(value, list) else [value])
            }


def test_the_shares_add_up_to_the_part_that_is_given() -> None:
    assert FITTED.attributes is not None
    vectors = FITTED.fuse_many(FITTED.with_attributes([{}] * 3, FILMS[:3]))
    told = FITTED.attributes.told(vectors[0], vectors, FILMS[:3], [0.25, -0.5, 0.0])
    sums = [sum(one.share for one in values) for values in told]
    np.testing.assert_allclose(sums, [0.25, -0.5, 0.0], atol=1e-9)


def test_the_value_that_was_asked_for_is_told_first_as_it_was_published() -> None:
    assert FITTED.attributes is not None
    asked = vector_of(FITTED, {"director": "Director 2-1"})
    item = {"director": "Director  2-1", "genre": ["Western"], "actors": ["Actor 3", "Actor 4"]}
    ((first, *rest),) = FITTED.attributes.told(asked, vector_of(FITTED, item)[None], [item])
    assert (first.name, first.value) == ("director", "Director  2-1")
    assert first.share > max(one.share for one in rest)


def test_a_value_that_is_taken_away_costs_about_its_share() -> None:
    """Hashed, nothing is centred: without a value the score falls by its share, but for norms."""
    assert PLAIN.attributes is not None
    item = {"genre": ["drama", "war"], "maker": "a", "country": "x"}
    block = PLAIN.attributes.block
    query = vector_of(PLAIN, {"genre": ["drama"], "maker": "b"})
    whole, less = vector_of(PLAIN, item), vector_of(PLAIN, item | {"genre": ["war"]})
    span = slice(block.start, block.stop)
    (told,) = PLAIN.attributes.told(query[span], whole[None, span], [item])
    share = next(one.share for one in told if one.value == "drama")
    assert share > 0
    assert query @ whole - query @ less == pytest.approx(share, rel=0.5)


def test_an_imputed_block_or_the_attributes_of_another_item_are_not_told() -> None:
    assert FITTED.attributes is not None
    vectors = FITTED.fuse_many(FITTED.with_attributes([{}] * 2, FILMS[:2]))
    assert FITTED.attributes.told(vectors[0], vectors, [FILMS[5], {}]) == [[], []]
    assert FITTED.attributes.told(vectors[0], vectors[:0], []) == []
