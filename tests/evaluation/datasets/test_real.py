"""The public data sets as they lie in FIRSTLIGHT_TEST_DATA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domain.errors import RejectedError
from evaluation.dataset import Dataset, Triple
from evaluation.datasets import data_folder, open_dataset, read_recbole
from evaluation.metrics import evaluate
from evaluation.splits import given, item_cold_start, user_cold_start


def there(name: str) -> pytest.MarkDecorator:
    folder = data_folder() / name
    return pytest.mark.skipif(not folder.is_dir(), reason=f"no {folder}; set FIRSTLIGHT_TEST_DATA")


@pytest.fixture(scope="module")
def movielens_1m() -> Dataset:
    return open_dataset("movielens-1m")


@pytest.fixture(scope="module")
def movielens_100k() -> Dataset:
    return open_dataset("movielens-100k")


@there("movielens-1m")
def test_movielens_1m_has_texts_people_posters_and_a_graph(movielens_1m: Dataset) -> None:
    facts = movielens_1m.summary()
    # two of the 3,624 movies with interactions (12 pairs) have no row among the items
    assert (facts["users"], facts["items"], facts["interactions"]) == (6040, 3622, 999_766)
    assert (facts["items_with_image"], facts["triples"]) == (3255, 43_268)
    assert facts["notes"] == [
        "259 movies without an interaction left out",
        "interactions.csv.gz: 12 rows dropped: the item is not among the items",
    ]
    film = next(item for item in movielens_1m.items if item.id == "1")
    assert film.title == "Toy Story (1995)"
    assert film.description.startswith("A little boy named Andy")
    assert film.attributes["director"] == ["John Lasseter"]
    assert film.attributes["writer"][:2] == ["John Lasseter", "Pete Docter"]  # type: ignore[index]
    assert film.attributes["genres"] == ["Animation", "Children's", "Comedy"]
    assert film.attributes["year"] == 1995
    assert Path(film.media.images[0]).is_file()
    assert movielens_1m.users[0].demographics == {
        "gender": "female",
        "age": "under 18",
        "occupation": "school student",
    }
    assert Triple("1", "directed_by", "John Lasseter") in movielens_1m.graph


@there("movielens-1m")
def test_the_item_cold_start_of_movielens_1m_has_the_published_sizes(movielens_1m: Dataset) -> None:
    split = item_cold_start(movielens_1m, 0)
    assert split.facts["cold_validation_items"] == split.facts["cold_test_items"] == 362
    assert split.facts["warm_items"] == 2898
    assert split.facts["cold_pairs_dropped"] == 0
    popular = np.asarray(split.train.getnnz(axis=0), dtype=np.float32)
    found = evaluate(
        lambda users: np.repeat(popular[None], len(users), axis=0),
        split.evaluation("cold"),
        ks=(20,),
    )
    # all cold items are equally unknown to popularity: recall is that of chance, 20 of 724 less
    # the masked ones
    assert 0.025 < found.mean("recall@20") < 0.032


@there("movielens-1m")
def test_liked_pairs_are_those_rated_4_or_5() -> None:
    liked = open_dataset("movielens-1m-liked")
    assert liked.name == "movielens-1m-liked"
    assert 570_000 < liked.n_interactions < 580_000


@there("movielens-100k")
def test_movielens_100k_has_times_demographics_texts_and_the_freebase_graph(
    movielens_100k: Dataset,
) -> None:
    facts = movielens_100k.summary()
    assert (facts["users"], facts["items"], facts["interactions"]) == (943, 1682, 100_000)
    assert (facts["triples"], facts["items_linked"]) == (91_631, 1598)
    assert facts["interactions_with_time"] == 100_000
    assert facts["notes"] == []
    film = movielens_100k.items[0]
    assert film.attributes["genres"] == ["Animation", "Children's", "Comedy"]
    assert film.attributes["actors"][0] == "Tom Hanks"  # type: ignore[index]
    assert movielens_100k.users[0].demographics == {
        "gender": "male",
        "age": 24,
        "occupation": "technician",
    }
    nameless = movielens_100k.items[266]
    assert (nameless.title, nameless.description, nameless.attributes) == ("unknown", "", {})


@there("movielens-100k")
def test_popularity_for_new_users_of_movielens_100k_is_what_was_measured_before() -> None:
    # SCIENCE section 2: .145 / .141 / .135 / .133 with ratings of 4 and 5 as positives
    dataset = open_dataset("movielens-100k-liked")
    found = []
    for seed in range(5):
        split = user_cold_start(dataset, seed)
        popular = np.asarray(split.train.getnnz(axis=0), dtype=np.float32)
        found.append(
            [
                evaluate(
                    lambda users, scores=popular: np.repeat(scores[None], len(users), axis=0),
                    split.evaluation(f"k={k}"),
                    ks=(20,),
                ).mean("recall@20")
                for k in (0, 1, 3, 5)
            ]
        )
    np.testing.assert_allclose(np.mean(found, axis=0), [0.145, 0.141, 0.135, 0.133], atol=0.006)


@there("movielens-100k")
def test_the_atomic_files_alone_give_the_same_interactions(movielens_100k: Dataset) -> None:
    plain = read_recbole(data_folder() / "movielens-100k")
    assert plain.n_interactions == movielens_100k.n_interactions
    assert len(plain.graph) == len(movielens_100k.graph)
    assert plain.items[0].attributes["release_year"] == 1995


@there("tiktok-features")
def test_tiktok_has_two_modalities_and_the_split_it_came_with() -> None:
    dataset = open_dataset("tiktok-features")
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (9308, 6710, 68_722)
    assert {name: matrix.shape for name, (_, matrix) in dataset.vectors.items()} == {
        "image": (6710, 128),
        "audio": (6710, 128),
    }
    split = given(dataset, 0)
    assert (split.train.nnz, split.validation.nnz, split.test.nnz) == (59_541, 3051, 6130)
    assert split.facts["cold_test_items"] == 465
    with pytest.raises(RejectedError, match="is for the MovieLens folders"):
        open_dataset("tiktok-features-liked")
