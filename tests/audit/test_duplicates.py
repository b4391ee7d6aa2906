"""Similar pairs of faces, compared with a direct computation."""

from __future__ import annotations

import numpy as np
import pytest

from arcage.audit import duplicates
from arcage.audit.duplicates import similar_pairs


@pytest.mark.parametrize(
    ("n", "block", "most", "axes"),
    [(60, 7, 10_000, 128), (300, 64, 10_000, 128), (300, 64, 20, 128), (300, 7, 10_000, 5), (60, 7, 20, 2)],
)
def test_similar_pairs_by_hand(
    monkeypatch: pytest.MonkeyPatch, n: int, block: int, most: int, axes: int
) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", block)
    monkeypatch.setattr(duplicates, "MAX_PAIRS", most)
    monkeypatch.setattr(duplicates, "AXES", axes)
    monkeypatch.setattr(duplicates, "SAMPLE", 50)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[5] = 0  # has no direction, so it is similar to no face
    x[n - 1] = 3 * x[2]
    unit = x - x.mean(axis=0) if n >= duplicates.CENTRED else x
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    i, j = np.triu_indices(n, 1)
    cosine = (unit @ unit.T)[i, j]
    expected = {(a, b) for a, b, c in zip(i.tolist(), j.tolist(), cosine, strict=True) if c >= 0.8}
    found = similar_pairs(x, 0.8)
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert found.count == len(expected) > 20
    assert len(set(pairs)) == len(pairs) == min(len(expected), most)
    assert set(pairs) <= expected
    assert found.cosine.tolist() == sorted(found.cosine.tolist(), reverse=True)
    np.testing.assert_allclose(found.cosine, np.sort(cosine)[::-1][: len(pairs)], atol=1e-5)


def test_identical_faces_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 50)
    found = similar_pairs(np.ones((90, 4), np.float32), 0.9)
    assert len(found.first) == len(found.second) == len(found.cosine) == 50
    assert found.count == 90 * 89 // 2
    assert similar_pairs(np.ones((1, 4), np.float32), 0.9).count == 0
    assert similar_pairs(np.ones((120, 4), np.float32), 0.9).count == 0  # all are equal to the mean
