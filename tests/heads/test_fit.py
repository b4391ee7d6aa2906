"""Heads on made-up descriptors: what they learn, what they promise, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import DIMENSION, FAST, faces, with_labels

from arcage._version import HEADS_SCHEMA
from arcage.errors import HeadsError, UsageError
from arcage.heads.boosting import Boosting, boost, dataset, subset
from arcage.heads.calibrate import conformal
from arcage.heads.fit import fit_heads
from arcage.heads.kernel import KernelSettings
from arcage.heads.layers import from_arrays, to_arrays
from arcage.heads.model import OLDEST, YOUNGEST, AgeModel, Heads
from arcage.heads.settings import KINDS, Kind, Settings
from arcage.heads.store import ARRAYS, MANIFEST, load_heads, save_heads
from arcage.types import Labels


@pytest.fixture(scope="module")
def fitted() -> Heads:
    return fit_heads(*with_labels(faces(1500, 0)), fingerprint="f" * 16, settings=FAST)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_and_covers(kind: str) -> None:
    settings = Settings(**{**{f: getattr(FAST, f) for f in FAST.__slots__}, "kind": kind})
    heads, seen = fit_heads(*with_labels(faces(1000, 0)), fingerprint="f", settings=settings)
    x, age, gender = faces(3000, 1)
    answers = heads.predict(x)
    guess = np.abs(age - np.median(age)).mean()
    assert np.abs(answers.age - age).mean() < 0.75 * guess
    assert ((answers.p_female >= 0.5) == (gender == 1)).mean() > 0.8
    covered = ((answers.age_low <= age) & (age <= answers.age_high)).mean()
    assert 0.86 <= covered <= 0.95
    assert (answers.age_low <= answers.age).all()
    assert (answers.age <= answers.age_high).all()
    # Calibrated: among those called female with 70 to 90 %, about 80 % are.
    some = (answers.p_female > 0.7) & (answers.p_female < 0.9)
    assert abs(gender[some].mean() - answers.p_female[some].mean()) < 0.1
    assert np.isfinite(seen.age).all()
    assert np.isfinite(seen.p_female).all()


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
            heads, seen = fit_heads(*with_labels(faces(3000, 0)), fingerprint="f" * 16, settings=FAST)
        save_heads(heads, tmp_path / str(cores), "card")
        saved.append(((tmp_path / str(cores) / ARRAYS).read_bytes(), seen.age.tobytes()))
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
    seen = {}
    for n in (500, 1000):
        counts.clear()
        fit_heads(*with_labels(faces(n, 0)), fingerprint="f", settings=FAST)
        seen[n] = dict(counts)
        folds = FAST.folds
        # Two kernels of age, one of gender. Each row is in the training part of all folds but one, and once
        # more among all faces; a gender whose label is doubtful is taken away again, not everything done anew
        # without it.
        assert 3 * folds * n <= counts["kernel"] < 3.5 * folds * n
        assert counts["scatter"] == 2 * 3 * n
        assert counts["bins"] == 2 * n
        # Three models of age and one of gender, the latter without doubtful labels.
        assert 3.5 * folds * n < counts["trees"] <= 4 * folds * n
    assert all(seen[1000][name] <= 2.2 * seen[500][name] for name in counts)


def test_saved_and_loaded_heads_answer_alike(fitted: Heads, tmp_path: Path) -> None:
    save_heads(fitted, tmp_path / "h", "card")
    loaded = load_heads(tmp_path / "h")
    x = faces(200, 3)[0]
    for name in ("age", "age_low", "age_high", "p_female"):
        np.testing.assert_allclose(
            getattr(loaded.predict(x), name), getattr(fitted.predict(x), name), rtol=1e-5, atol=1e-4
        )
    assert loaded.fingerprint == "f" * 16
    assert (tmp_path / "h" / "model-card.md").read_text() == "card"


def test_half_precision_descriptors_answer_nearly_alike(fitted: Heads) -> None:
    x = faces(200, 3)[0]
    difference = np.abs(fitted.predict(x.astype(np.float16)).age - fitted.predict(x).age)
    assert np.median(difference) < 0.1


def test_faces_answer_alike_alone_and_together(fitted: Heads) -> None:
    x = faces(40, 4)[0]
    together = fitted.predict(x).age
    alone = np.concatenate([fitted.predict(x[i : i + 1]).age for i in range(len(x))])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-4)


def test_no_faces_give_no_answers(fitted: Heads) -> None:
    assert fitted.predict(np.empty((0, DIMENSION), np.float16)).age.shape == (0,)


@pytest.mark.parametrize("objective", ["l1", "quantile", "binary"])
def test_trees_as_arrays_equal_lightgbm(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import lightgbm

    boosters = []
    train = lightgbm.train
    monkeypatch.setattr(lightgbm, "train", lambda *a, **k: boosters.append(train(*a, **k)) or boosters[-1])
    x, age, gender = faces(800, 5)
    target = gender if objective == "binary" else age
    part = subset(dataset(x, target, np.ones(800, np.float32)), np.arange(0, 800, 2))
    trees = boost(part, Boosting(rounds=30), objective=objective, alpha=0.9)  # type: ignore[arg-type]
    expected = boosters[0].predict(x, raw_score=True)
    np.testing.assert_allclose(trees(x)[:, 0], expected, rtol=1e-6, atol=1e-5)
    assert int(trees.depth) <= 8


def test_trees_are_of_their_rows_alone_and_go_on_from_their_start() -> None:
    x, age, _ = faces(800, 5)
    rows, rest = np.arange(0, 800, 2), np.arange(1, 800, 2)
    equal = np.ones(800, np.float32)
    start = age + np.where(x[:, 0] > 0, 5, -5).astype(np.float32)
    wrong = age.copy()
    wrong[rest] = 0
    settings = Boosting(rounds=30)
    trees = boost(subset(dataset(x, age, equal, start), rows), settings, objective="l1")
    others = boost(subset(dataset(x, wrong, equal, start), rows), settings, objective="l1")
    np.testing.assert_array_equal(trees(x), others(x))
    assert np.abs(age - start - trees(x)[:, 0]).mean() < 3
    # Without a start the trees hold all of it.
    alone = boost(subset(dataset(x, age, equal), rows), settings, objective="l1")
    assert abs(alone(x[rows]).mean() - age[rows].mean()) < 3


def test_one_attribute_alone() -> None:
    x, age, gender = faces(400, 6)
    nothing = np.full(400, np.nan, np.float32)
    heads, _ = fit_heads(x, Labels(nothing, gender), fingerprint="f", settings=FAST)
    answers = heads.predict(x)
    assert np.isnan(answers.age).all()
    assert np.isfinite(answers.p_female).all()
    heads, _ = fit_heads(x, Labels(age, nothing), fingerprint="f", settings=FAST)
    assert np.isnan(heads.predict(x).p_female).all()
    # Without genders there is nothing to tell a second view by.
    assert heads.age is not None
    assert len(heads.age.stack.kernels) == 1


def test_two_views_of_age_are_two_kernels_and_their_mean_is_where_boosting_starts(fitted: Heads) -> None:
    assert fitted.age is not None
    stack = fitted.age.stack
    assert len(stack.kernels) == 2
    x = faces(50, 5)[0]
    seen = stack.forward(x)
    one, other = (kernel(x) for kernel in stack.kernels)
    assert not np.allclose(one, other)
    np.testing.assert_allclose(stack.start(seen.outputs), (one[:, 0] + other[:, 0]) / 2, rtol=1e-5)
    np.testing.assert_allclose(seen.predictions, stack(x), rtol=1e-5, atol=1e-4)


def test_heads_of_older_versions_are_read(tmp_path: Path) -> None:
    """They had one kernel at most, and the same arrays otherwise."""
    x, age, gender = faces(400, 6)
    heads, _ = fit_heads(x, Labels(age, np.full_like(gender, np.nan)), fingerprint="f", settings=FAST)
    save_heads(heads, tmp_path, "card")
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"schema": {HEADS_SCHEMA}', '"schema": 2'))
    assert json.loads(manifest.read_text())["schema"] == 2
    np.testing.assert_allclose(load_heads(str(tmp_path)).predict(x).age, heads.predict(x).age, atol=1e-4)


def test_unlabelled_rows_are_left_out() -> None:
    x, age, gender = faces(400, 7)
    some = age.copy()
    some[::2] = np.nan
    heads, seen = fit_heads(x, Labels(some, gender), fingerprint="f", settings=FAST)
    assert np.isnan(seen.age[::2]).all()
    assert np.isfinite(seen.age[1::2]).all()
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


def noisy(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ages, and answers drawn to the middle as a regression's are, with errors that grow with age."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 80, n).astype(np.float32)
    answers = 4 + 0.9 * truth + rng.normal(size=n) * (1 + truth / 10)
    return answers.astype(np.float32)[:, None], truth


@pytest.mark.parametrize("quantiles", [False, True])
def test_conformal_covers_the_young_and_the_old(fitted: Heads, quantiles: bool) -> None:
    assert fitted.age is not None
    answers, truth = noisy(5000, 0)
    if quantiles:
        # Far too narrow, and not in their order.
        answers = np.concatenate([answers, answers + 0.1, answers - 0.1], axis=1)
    curves = conformal(answers[:2500], truth[:2500])
    assert all((np.diff(curve) > 0).all() for curve in curves)
    model = AgeModel(fitted.age.stack, *curves)
    age, low, high = model.interval(answers[2500:])
    assert (age.dtype, low.dtype, high.dtype) == (np.float32,) * 3
    inside, width = (low <= truth[2500:]) & (truth[2500:] <= high), high - low
    for youngest in range(0, 80, 10):
        band = (truth[2500:] >= youngest) & (truth[2500:] < youngest + 10)
        # No age is below 0, and the interval has the answer in it: the youngest are covered more often.
        assert 0.84 <= inside[band].mean() <= (0.97 if youngest else 0.99)
    assert 0.87 <= inside.mean() <= 0.93
    assert width[truth[2500:] > 60].mean() > 2 * width[truth[2500:] < 20].mean()


def test_conformal_ends_stay_ages_and_keep_their_order(fitted: Heads) -> None:
    assert fitted.age is not None
    model = AgeModel(fitted.age.stack, *conformal(*noisy(300, 1)))
    answers = np.linspace(-200, 300, 101, dtype=np.float32)[:, None]
    age, low, high = model.interval(answers)
    for values in (age, low, high):
        assert (np.diff(values) >= 0).all()
        assert values.min() >= YOUNGEST
        assert values.max() <= OLDEST
    assert (low <= age).all()
    assert (age <= high).all()
    # Few faces make one band.
    ages, *_ = conformal(*noisy(60, 2))
    assert len(ages) == 3


def test_other_descriptors_are_refused(fitted: Heads) -> None:
    fitted.check("f" * 16)
    with pytest.raises(HeadsError, match="--pack"):
        fitted.check("0" * 16)
    with pytest.raises(HeadsError, match="another model pack"):
        fitted.predict(np.zeros((3, DIMENSION + 1), np.float16))


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.99])
def test_heads_cut_short_are_refused(fitted: Heads, tmp_path: Path, cut: float) -> None:
    save_heads(fitted, tmp_path, "card")
    data = (tmp_path / ARRAYS).read_bytes()
    (tmp_path / ARRAYS).write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(HeadsError, match="damaged"):
        load_heads(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 99}', "\x00\xff"])
def test_a_damaged_manifest_is_refused(fitted: Heads, tmp_path: Path, text: str) -> None:
    save_heads(fitted, tmp_path, "card")
    (tmp_path / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(HeadsError):
        load_heads(tmp_path)


def test_missing_heads_teach_the_fix(tmp_path: Path) -> None:
    with pytest.raises(HeadsError, match="arcage fit"):
        load_heads(tmp_path / "none")


def test_arrays_that_do_not_fit_together_are_refused(fitted: Heads, tmp_path: Path) -> None:
    """A manifest may be edited to match: then the arrays themselves must be checked."""
    import hashlib
    import io

    save_heads(fitted, tmp_path, "card")
    with np.load(tmp_path / ARRAYS) as loaded:
        arrays = dict(loaded)
    for key, value in (
        ("age.point.trees.left", arrays["age.point.trees.left"] + 10_000_000),
        ("age.stage.kernel.bias", arrays["age.stage.kernel.bias"][:-1]),
        ("age.stage2.kernel.landmarks", arrays["age.stage2.kernel.landmarks"][:-1]),
        ("age.columns", arrays["age.columns"] + DIMENSION),
        ("age.interval.low", arrays["age.interval.low"][:-1]),
        ("age.interval.high", arrays["age.interval.high"][::-1]),
        ("gender.point.trees.feature", arrays["gender.point.trees.feature"] + 1000),
        ("age.interval.ages", np.array([{}], dtype=object)),
    ):
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays, key: value})
        manifest = json.loads((tmp_path / MANIFEST).read_text())
        manifest["arrays"]["sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        (tmp_path / "bad").mkdir(exist_ok=True)
        (tmp_path / "bad" / ARRAYS).write_bytes(buffer.getvalue())
        (tmp_path / "bad" / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(HeadsError, match="damaged"):
            load_heads(tmp_path / "bad")


def test_a_part_keeps_its_arrays(fitted: Heads) -> None:
    assert fitted.age is not None
    part = fitted.age.stack.kernels[0]
    again = from_arrays(to_arrays(part, "p"), "p")
    x = faces(5, 1)[0]
    assert again is not None
    np.testing.assert_allclose(again(x), part(x), rtol=1e-5, atol=1e-4)


def test_predicting_imports_no_training_library(fitted: Heads, tmp_path: Path) -> None:
    save_heads(fitted, tmp_path, "card")
    script = f"""
        import sys
        from pathlib import Path
        import numpy as np
        from arcage.heads.store import load_heads
        load_heads(Path({str(tmp_path)!r})).predict(np.zeros((1, {DIMENSION}), np.float16))
        heavy = {{"sklearn", "lightgbm", "pandas", "scipy", "pyarrow"}} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


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
    answers = heads.predict(x)
    assert np.isfinite(answers.age).all()
    assert (answers.p_female[1:] < 0.5).all()


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
        _, seen = fit_heads(x, Labels(labels, gender), weight=weight, fingerprint="f", settings=settings)
        return float(np.abs(seen.age - age)[~wrong].mean())

    assert error(np.where(wrong, 1e-3, 1).astype(np.float32)) < 0.7 * error(None)
