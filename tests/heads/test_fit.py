"""Fits on made-up descriptors: what heads learn, and which labels are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import DIMENSION, FAST, faces, with_labels

from arcage.errors import UsageError
from arcage.heads.boosting import Boosting
from arcage.heads.fit import fit_heads
from arcage.heads.kernel import KernelSettings
from arcage.heads.model import Heads
from arcage.heads.settings import KINDS, Kind, Settings
from arcage.heads.store import ARRAYS, save_heads
from arcage.types import Labels


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_and_covers(kind: str) -> None:
    settings = Settings(**{**{f: getattr(FAST, f) for f in FAST.__slots__}, "kind": kind})
    heads, out_of_fold = fit_heads(*with_labels(faces(1000, 0)), fingerprint="f", settings=settings)
    x, age, gender = faces(3000, 1)
    predictions = heads.predict(x)
    guess = np.abs(age - np.median(age)).mean()
    assert np.abs(predictions.age - age).mean() < 0.75 * guess
    assert ((predictions.p_female >= 0.5) == (gender == 1)).mean() > 0.8
    covered = ((predictions.age_low <= age) & (age <= predictions.age_high)).mean()
    assert 0.86 <= covered <= 0.95
    assert (predictions.age_low <= predictions.age).all()
    assert (predictions.age <= predictions.age_high).all()
    # Whatever the kind, new faces are as familiar as those of the fit, and others are not.
    for familiarity in (predictions.familiarity, out_of_fold.familiarity):
        assert [(familiarity < share).mean() for share in (0.1, 0.5)] == pytest.approx([0.1, 0.5], abs=0.05)
    assert (heads.predict(x + 3).familiarity < 1e-3).all()
    # Calibrated: among those called female with 70 to 90 %, about 80 % are.
    some = (predictions.p_female > 0.7) & (predictions.p_female < 0.9)
    assert abs(gender[some].mean() - predictions.p_female[some].mean()) < 0.1
    assert np.isfinite(out_of_fold.age).all()
    assert np.isfinite(out_of_fold.p_female).all()


def test_the_same_seed_gives_the_same_heads(fitted: Heads) -> None:
    again = fit_heads(*with_labels(faces(1500, 0)), fingerprint="f" * 16, settings=FAST)[0]
    x = faces(50, 2)[0]
    np.testing.assert_array_equal(fitted.predict(x).age, again.predict(x).age)
    np.testing.assert_array_equal(fitted.predict(x).p_female, again.predict(x).p_female)


def test_the_number_of_cores_changes_nothing(tmp_path: Path) -> None:
    import scipy.linalg  # noqa: F401 (BLAS can be limited only after it was loaded)
    from threadpoolctl import threadpool_info, threadpool_limits

    saved = []
    for cores in (1, 3):
        with threadpool_limits(cores):
            assert max(pool["num_threads"] for pool in threadpool_info()) == cores
            heads, out_of_fold = fit_heads(*with_labels(faces(3000, 0)), fingerprint="f" * 16, settings=FAST)
        save_heads(heads, tmp_path / str(cores), "card")
        saved.append(((tmp_path / str(cores) / ARRAYS).read_bytes(), out_of_fold.age.tobytes()))
    assert saved[0] == saved[1]


def test_what_a_fit_computes_grows_with_the_faces_and_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces that kernel sums, scatter sums, bins and trees were made of, however long that took."""
    counts: Counter[str] = Counter()

    def counted(name: str, target: str, rows: Callable[..., int]) -> None:
        original = pytest.importorskip("arcage.heads." + target.split(".")[0])
        *path, last = target.split(".")[1:]
        for part in path:
            original = getattr(original, part)
        function = getattr(original, last)

        def count(*arguments: Any, **options: Any) -> Any:
            counts[name] += rows(*arguments)
            return function(*arguments, **options)

        monkeypatch.setattr(original, last, count)

    counted("kernel", "kernel.KernelSums.add", lambda sums, x, targets, weight, rows, *_: len(rows))
    counted("scatter", "kernel.scatter", lambda x, classes, count, weight, origin, rows: len(rows))
    counted("bins", "stages.dataset", lambda features, *_: len(features))
    counted("trees", "stages.boost", lambda data, *_: data.num_data())
    out_of_fold = {}
    for n in (500, 1000):
        counts.clear()
        fit_heads(*with_labels(faces(n, 0)), fingerprint="f", settings=FAST)
        out_of_fold[n] = dict(counts)
        folds = FAST.folds
        # Two kernels of age, one of gender. Two folds share a kernel, for which each row is summed once, and
        # once more among all faces; a gender whose label is doubtful is taken away again, not everything done
        # anew without it.
        kernels = folds // 2 + 1
        assert 3 * kernels * n <= counts["kernel"] < 3.5 * kernels * n
        assert counts["scatter"] == 2 * 3 * n
        assert counts["bins"] == 2 * n
        # Three models of age and one of gender, the latter without doubtful labels.
        assert 3.5 * folds * n < counts["trees"] <= 4 * folds * n
    assert all(out_of_fold[1000][name] <= 2.2 * out_of_fold[500][name] for name in counts)


def test_faces_without_weight_are_not_familiar() -> None:
    """Familiar is what the heads were fitted on."""
    x, labels = with_labels(faces(600, 3))
    x[:100] += 2
    weight = np.ones(600, np.float32)
    assert np.median(fit_heads(x, labels, fingerprint="f", settings=FAST).out_of_fold.familiarity[:100]) > 0.1
    weight[:100] = 0
    _, out_of_fold = fit_heads(x, labels, fingerprint="f", settings=FAST, weight=weight)
    assert (out_of_fold.familiarity[:100] < 1e-3).all()
    assert np.median(out_of_fold.familiarity[100:]) == pytest.approx(0.5, abs=0.05)


def test_one_attribute_alone() -> None:
    x, age, gender = faces(400, 6)
    nothing = np.full(400, np.nan, np.float32)
    heads, _ = fit_heads(x, Labels(nothing, gender), fingerprint="f", settings=FAST)
    predictions = heads.predict(x)
    assert np.isnan(predictions.age).all()
    assert np.isfinite(predictions.p_female).all()
    heads, _ = fit_heads(x, Labels(age, nothing), fingerprint="f", settings=FAST)
    assert np.isnan(heads.predict(x).p_female).all()
    # Without genders there is nothing to tell a second view by.
    assert heads.age is not None
    assert len(heads.age.stack.kernels) == 1


def test_unlabelled_rows_are_left_out() -> None:
    x, age, gender = faces(400, 7)
    some = age.copy()
    some[::2] = np.nan
    heads, out_of_fold = fit_heads(x, Labels(some, gender), fingerprint="f", settings=FAST)
    assert np.isnan(out_of_fold.age[::2]).all()
    assert np.isfinite(out_of_fold.age[1::2]).all()
    assert np.isfinite(heads.predict(x).age).all()


def test_too_few_faces_or_no_labels_teach_the_fix() -> None:
    x, age, gender = faces(30, 8)
    with pytest.raises(UsageError, match="only 30 faces"):
        fit_heads(x, Labels(age, gender), fingerprint="f", settings=FAST)
    nothing = np.full(30, np.nan, np.float32)
    with pytest.raises(UsageError, match="no face has a label"):
        fit_heads(x, Labels(nothing, nothing), fingerprint="f", settings=FAST)
    x, age, gender = faces(100, 8)
    with pytest.raises(UsageError, match="same gender"):
        fit_heads(x, Labels(age, np.zeros(100, np.float32)), fingerprint="f", settings=FAST)


def test_persons_stay_on_one_side() -> None:
    """With two rows of each person and descriptors that name the person, only grouped folds are honest."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(120, DIMENSION)), 2, axis=0).astype(np.float32)
    age = np.repeat(rng.integers(1, 90, 120), 2).astype(np.float32)
    nothing = np.full(240, np.nan, np.float32)
    person = np.repeat(np.arange(120), 2)
    settings = Settings(**{**{f: getattr(FAST, f) for f in FAST.__slots__}, "kind": "lightgbm"})
    _, mixed = fit_heads(x, Labels(age, nothing), fingerprint="f", settings=settings)
    _, grouped = fit_heads(x, Labels(age, nothing, person=person), fingerprint="f", settings=settings)
    assert np.abs(mixed.age - age).mean() < 0.8 * np.abs(grouped.age - age).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_faces_of_one_age_do_not_stop_a_fit(kind: str) -> None:
    x, _, gender = faces(600, 9)
    settings = Settings(**{**{f: getattr(FAST, f) for f in FAST.__slots__}, "kind": kind})
    heads, _ = fit_heads(x, Labels(np.full(600, 30, np.float32), gender), fingerprint="f", settings=settings)
    assert np.abs(heads.predict(x).age - 30).max() < 1


def test_one_face_of_a_gender_and_constant_columns_do_not_stop_a_fit() -> None:
    x, age, _ = faces(300, 10)
    x[:, 5:9] = 1.0
    gender = np.zeros(300, np.float32)
    gender[0] = 1
    heads, _ = fit_heads(x, Labels(age, gender), fingerprint="f", settings=FAST)
    predictions = heads.predict(x)
    assert np.isfinite(predictions.age).all()
    assert (predictions.p_female[1:] < 0.5).all()


@pytest.mark.parametrize("kind", ["boosted", "linear", "lightgbm"])
def test_what_has_no_weight_is_not_fitted_on(kind: Kind) -> None:
    x, age, gender = faces(600, 5)
    wrong = np.arange(600) % 3 == 0
    settings = Settings(
        kind,
        kernel=KernelSettings(centers=100, context_columns=2),
        age=Boosting(rounds=20),
        quantiles=Boosting(rounds=10),
        gender=Boosting(rounds=10),
        context_columns=3,
        folds=3,
    )
    labels = np.where(wrong, age + 40, age).astype(np.float32)

    def error(weight: np.ndarray | None) -> float:
        _, out_of_fold = fit_heads(
            x, Labels(labels, gender), weight=weight, fingerprint="f", settings=settings
        )
        return float(np.abs(out_of_fold.age - age)[~wrong].mean())

    assert error(np.where(wrong, 1e-3, 1).astype(np.float32)) < 0.7 * error(None)
