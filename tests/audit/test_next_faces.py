"""Faces to label next, on planted data where the right ones are known."""

from __future__ import annotations

import numpy as np
import pytest
from faces import DIMENSION, FAST, faces, with_labels

from arcage.audit.next_faces import NOISE, choose_faces, compared_axes
from arcage.heads.fit import fit_heads
from arcage.heads.layers import gaussian
from arcage.heads.settings import Settings
from arcage.types import F32

NONE = np.empty((0, 2), np.float32)


def clusters(*centers: tuple[float, float], each: int = 40) -> F32:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(center, 0.1, (each, 2)) for center in centers]).astype(np.float32)


FOUR = clusters((0, 0), (6, 0), (0, 6), (6, 6))


def test_one_face_of_each_kind() -> None:
    chosen = choose_faces(FOUR, NONE, FOUR, 4)
    assert sorted(chosen // 40) == [0, 1, 2, 3]


def test_kinds_with_a_label_come_last() -> None:
    chosen = choose_faces(FOUR, FOUR[40:44], FOUR, 4)
    assert sorted(chosen[:3] // 40) == [0, 2, 3]


def test_many_of_a_kind_count_more_and_a_face_like_no_other_less() -> None:
    alone = np.array([[20, 20]], np.float32)
    few = clusters((6, 6), each=5)
    x = np.concatenate([alone, few, clusters((0, 0))])
    chosen = choose_faces(x, NONE, x, 3)
    assert chosen[0] >= 6
    assert 1 <= chosen[1] <= 5 or chosen[1] >= 6
    assert 0 not in chosen


def test_copies_are_not_chosen_again() -> None:
    x = np.repeat(np.array([[0, 0], [3, 0], [0, 3], [3, 3]], np.float32), 10, axis=0)
    assert sorted(choose_faces(x, NONE, x, 4) // 10) == [0, 1, 2, 3]


def test_each_choice_leaves_the_least_variance() -> None:
    """Compared with the posterior covariance of a Gaussian process, computed directly."""
    rng = np.random.default_rng(1)
    x, known, reference = (rng.normal(size=(n, 3)).astype(np.float32) for n in (30, 5, 20))

    def left(rows: list[int]) -> float:
        given = np.concatenate([known, x[rows]])
        inverse = np.linalg.inv(gaussian(given, given).astype(float) + NOISE * np.eye(len(given)))
        # The sum of the posterior variances, without the constant prior.
        cross = gaussian(reference, given).astype(float)
        return -float(np.einsum("ij,jk,ik->", cross, inverse, cross))

    chosen = choose_faces(x, known, reference, 6).tolist()
    for i in range(6):
        tried = {row: left([*chosen[:i], row]) for row in range(30) if row not in chosen[:i]}
        assert left(chosen[: i + 1]) == pytest.approx(min(tried.values()), abs=1e-4)


@pytest.mark.parametrize("number", [4, 5, 100])
def test_each_face_once_and_no_more_than_there_are(number: int) -> None:
    x = FOUR[::32]
    chosen = choose_faces(x, NONE, x, number)
    assert len(chosen) == min(number, len(x)) == len(set(chosen.tolist()))


def test_axes_of_the_heads_kernel_or_of_the_descriptors() -> None:
    x = faces(300, 0)[0]
    heads = fit_heads(*with_labels(faces(300, 0)), fingerprint="f", settings=FAST).heads
    assert heads.age is not None
    np.testing.assert_array_equal(compared_axes(heads, x, x), heads.age.stack.kernels[0].project(x))
    linear = fit_heads(*with_labels(faces(300, 0)), fingerprint="f", settings=Settings(kind="linear")).heads
    for without_kernel in (None, linear):
        axes = compared_axes(without_kernel, x, x)
        assert axes.shape == (300, min(DIMENSION, 256))
        assert axes.var(axis=0).sum() == pytest.approx(0.5, rel=1e-3)
    assert np.isfinite(compared_axes(None, np.ones((3, 2), np.float32), np.ones((3, 2), np.float32))).all()
