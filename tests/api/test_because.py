"""Which attribute values carried a score."""

from __future__ import annotations

import pytest

from workers.collection_fit import fit_fusion

GENRES = ("drama", "comedy", "western", "horror")


def film(number: int) -> dict[str, object]:
    genre = number % len(GENRES)
    return {
        "id": f"film{number}",
        "title": f"A title {number}",
        "attributes": {
            "genre": GENRES[genre],
            "director": f"Director {genre}-{number % 3}",
            "year": 1950 + 10 * genre + number % 7,
        },
    }


@pytest.fixture(scope="module", params=["before a fit", "after a fit"])
def filled(shared, request):
    if request.param == "before a fit":
        shared.publish(
            *(film(number) for number in range(80)), {"id": "bare", "title": "Nothing more"}
        )
    else:
        assert fit_fusion(shared.worker, lambda due: None) is not None
        shared.parts.spaces._serving.forget()
    return shared


def results_of(service, path, **ask):
    answer = service.client.post(path, json=ask)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.mark.parametrize(
    ("path", "ask"),
    [("/v1/similar", {"item": "film2"}), ("/v1/recommend", {"liked": ["film2", "film6"]})],
)
def test_an_answer_tells_the_values_that_raised_the_score(filled, path, ask):
    results = results_of(filled, path, **ask, limit=10)
    assert any(one["because"] for one in results)
    for one in results:
        told = one["because"]
        assert len(told) <= 5
        assert [share["score"] for share in told] == sorted(
            (share["score"] for share in told), reverse=True
        )
        assert all(share["score"] > 0 for share in told)
        assert {share["name"] for share in told} <= set(one["attributes"])
        assert all(one["attributes"][share["name"]] == share["value"] for share in told)
        assert sum(one["parts"].values()) == one["score"]
        everything = [one["attributes"][share["name"]] for share in told]
        if len(everything) == len(one["attributes"]):
            total = sum(share["score"] for share in told)
            assert total == pytest.approx(one["parts"]["attributes"], abs=1e-5)


def test_attributes_may_be_the_reason_but_never_of_an_item_without_any(filled):
    results = results_of(filled, "/v1/similar", item="film2", limit=80)
    reasons = {one["id"]: one["reason"] for one in results}
    if filled.worker.collections.active().fusion.version.startswith("fit-"):
        assert "attributes" in reasons.values()
    assert reasons["bare"] != "attributes"
    assert next(one for one in results if one["id"] == "bare")["because"] == []


def test_within_attributes_is_refused_with_what_there_is(filled):
    answer = filled.client.post("/v1/similar", json={"item": "film2", "within": "attributes"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "within"
    assert "'text'" in error["message"]
