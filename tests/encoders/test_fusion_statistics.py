"""Covariance, shrinkage, soft whitening and the ridge, each against the formula itself."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.fusion.blocks import Double
from encoders.fusion.imputation import CoMoments, learn
from encoders.fusion.statistics import Moments, shrinkage, soft_whitening


def anisotropic(count: int, dim: int, seed: int = 0) -> tuple[Double, Double]:
    """[count, dim] float32-valued rows, and their true covariance."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    root = basis * np.linspace(3, 0.05, dim)
    rows = rng.normal(size=(count, dim)) @ root.T + 100 * rng.normal(size=dim)
    return rows, root @ root.T


def moments_of(rows: Double, chunk: int = 7) -> Moments:
    moments = Moments(rows.shape[1])
    for start in range(0, len(rows), chunk):
        moments.add(rows[start : start + chunk].astype(np.float32))
    return moments


def test_sums_by_chunks_are_the_mean_and_covariance_of_the_whole() -> None:
    rows, _ = anisotropic(200, 9)
    rows = rows.astype(np.float32).astype(np.float64)
    moments = moments_of(rows)
    np.testing.assert_allclose(moments.mean(), rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        moments.covariance(), np.cov(rows, rowvar=False, bias=True), rtol=1e-9, atol=1e-9
    )


def test_shrinkage_is_the_published_formula() -> None:
    rows, _ = anisotropic(50, 10)
    s = np.cov(rows, rowvar=False, bias=True)
    n, p = 50, 10
    square, trace = np.trace(s @ s), np.trace(s)
    expected = ((1 - 2 / p) * square + trace**2) / ((n + 1 - 2 / p) * (square - trace**2 / p))
    assert shrinkage(s, n) == pytest.approx(min(expected, 1.0))


def test_shrinkage_lowers_the_error_where_items_are_few_and_fades_where_they_are_many() -> None:
    dim = 60
    errors: dict[str, list[float]] = {"sample": [], "shrunk": []}
    for seed in range(10):
        rows, true = anisotropic(25, dim, seed)
        sample = moments_of(rows).covariance()
        rho = shrinkage(sample, 25)
        target = np.eye(dim) * np.trace(sample) / dim
        errors["sample"].append(float(np.linalg.norm(sample - true)))
        errors["shrunk"].append(float(np.linalg.norm((1 - rho) * sample + rho * target - true)))
    assert np.mean(errors["shrunk"]) < 0.9 * np.mean(errors["sample"])
    many, _ = anisotropic(20_000, dim)
    assert shrinkage(moments_of(many, 4096).covariance(), 20_000) < 0.01


def test_soft_whitening_leaves_the_square_root_of_each_variance() -> None:
    rows, _ = anisotropic(50_000, 12)
    covariance = moments_of(rows, 4096).covariance()
    projection = soft_whitening(covariance, 50_000, 12).astype(np.float64)
    after = projection.T @ covariance @ projection
    values = np.sort(np.linalg.eigvalsh(covariance))[::-1]
    np.testing.assert_allclose(after, np.diag(np.diag(after)), atol=1e-4)
    expected = np.sqrt(values) / np.sqrt(values).sum()
    np.testing.assert_allclose(np.diag(after), expected, atol=2e-3)
    assert np.trace(after) == pytest.approx(1.0, abs=3e-3)  # what is left of the shrinkage


def test_reduction_keeps_the_strongest_directions() -> None:
    rows, _ = anisotropic(5_000, 12)
    covariance = moments_of(rows, 4096).covariance()
    few = soft_whitening(covariance, 5_000, 4)
    all_of_them = soft_whitening(covariance, 5_000, 12)
    assert few.shape == (12, 4)
    ratio = few / all_of_them[:, :4]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)


def test_the_ridge_finds_a_linear_relation_and_ignores_noise() -> None:
    rng = np.random.default_rng(0)
    dims = {"a": 5, "b": 4, "c": 3}
    a = rng.normal(size=(1000, 5))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = a @ rng.normal(size=(5, 4)) * 0.5
    c = rng.normal(size=(1000, 3))
    moments = CoMoments(dims)
    for start in range(0, 1000, 128):
        part = slice(start, start + 128)
        moments.add({"a": a[part], "b": b[part], "c": c[part]})
    learned = {(i.sources, i.target): i for i in learn(moments, dims)}
    assert (("a",), "b") in learned
    assert learned[("a",), "b"].gain > 0.99
    # b spans 4 of a's 5 dimensions, c is noise: nothing predicts it, nor helps
    assert 0.6 < learned[("b",), "a"].gain < 0.95
    assert not [key for key in learned if key[1] == "c" or "c" in key[0]]


def test_two_sources_are_used_where_each_carries_a_part() -> None:
    rng = np.random.default_rng(1)
    dims = {"a": 3, "b": 3, "c": 6}
    a, b = rng.normal(size=(2, 600, 3))
    c = np.concatenate([a, b], axis=1) / 3
    moments = CoMoments(dims)
    moments.add({"a": a, "b": b, "c": c})
    gains = {i.sources: i.gain for i in learn(moments, dims) if i.target == "c"}
    assert gains["a", "b"] > 0.95
    assert gains["a",] < 0.7
