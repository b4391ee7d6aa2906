"""Metrics of planted distributions, whose right values are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from arcage.evaluation.distribution import COVERED, crps, distribution_table, evaluate_distribution
from arcage.heads.distribution import HIGH, LEVELS, LOW
from arcage.heads.model import Predictions
from arcage.types import Labels


def planted(n: int, spread: float = 5, said: float = 5, seed: int = 0) -> tuple[Predictions, Labels]:
    """Ages with the standard deviation ``spread`` around their predictions, which say ``said``."""
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(20, 60, n).astype(np.float32)
    age = (predicted + spread * rng.normal(size=n)).astype(np.float32)
    quantiles = (predicted[:, None] + said * norm.ppf(LEVELS)).astype(np.float32)
    p = Predictions(predicted, quantiles[:, LOW], quantiles[:, HIGH], predicted * np.nan, quantiles)
    return p, Labels(age, np.full(n, np.nan, np.float32))


def test_the_score_of_a_normal_distribution() -> None:
    """Its closed form is in Gneiting and Raftery (2007)."""
    quantiles = (40 + 5 * norm.ppf(LEVELS))[None].repeat(5, 0).astype(np.float32)
    age = np.array([40, 43, 30, 55, 70], np.float32)
    z = (age - 40) / 5
    expected = 5 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(crps(quantiles, age), expected, atol=0.06)
    # A single age is scored by the absolute error.
    single = np.full((3, len(LEVELS)), 40, np.float32)
    np.testing.assert_allclose(crps(single, np.array([40, 35, 52], np.float32)), [0, 5, 12], atol=1e-6)


def test_the_right_distribution_has_the_best_score_and_covers() -> None:
    reports = {said: evaluate_distribution(*planted(20_000, said=said)) for said in (3, 5, 8)}
    scores = {said: report["overall"]["crps"] for said, report in reports.items() if report}
    assert min(scores, key=lambda said: scores[said]) == 5
    assert scores[5] == pytest.approx(5 / np.sqrt(np.pi), rel=0.02)
    assert len(scores) == 3
    for said, report in reports.items():
        assert report
        assert report["overall"]["width"] == pytest.approx(2 * 1.645 * said, rel=0.01)
        for level in COVERED:
            expected = 2 * norm.cdf(said / 5 * norm.ppf((1 + level) / 2)) - 1
            for row in (report["overall"], *report["predicted_age"].values()):
                assert row[f"coverage_{100 * level:.0f}"] == pytest.approx(expected, abs=0.02)


def test_bands_of_the_true_age_differ_from_those_of_the_predicted_age() -> None:
    report = evaluate_distribution(*planted(5000))
    assert report
    assert list(report["predicted_age"]) == ["20-29", "30-39", "40-49", "50-59"]
    assert sum(row["n"] for row in report["true_age"].values()) == 5000
    # Who is older than all predictions is covered less often.
    assert report["true_age"]["60-69"]["coverage_90"] < 0.85
    low, high = report["intervals"]["overall"]["coverage_90"]
    assert low < report["overall"]["coverage_90"] < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.09 / 5000), rel=0.2)
    json.dumps(report, allow_nan=False)


def test_the_table() -> None:
    report = evaluate_distribution(*planted(300))
    assert report
    lines = distribution_table(report).splitlines()
    assert lines[0].split()[3:] == ["faces", "CRPS", "width", "50", "%", "80", "%", "90", "%", "95", "%"]
    assert lines[1].split()[:2] == ["all", "300"]
    assert sum(line.startswith("predicted age") for line in lines) == 4


def test_without_a_distribution_or_labels_there_is_nothing_to_measure() -> None:
    predictions, labels = planted(30)
    old = Predictions(predictions.age, predictions.age_low, predictions.age_high, predictions.p_female)
    assert evaluate_distribution(old, labels) is None
    assert evaluate_distribution(predictions, labels.without(["age"])) is None
    few = evaluate_distribution(predictions.select(np.arange(5)), labels.select(np.arange(5)))
    assert few
    assert few["intervals"]["overall"]["crps"] is None
