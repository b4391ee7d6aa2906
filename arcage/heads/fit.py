"""Labels and descriptors -> heads."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from arcage._version import __version__
from arcage.errors import UsageError
from arcage.heads.boosting import LOSSES, Boosting, Objective, boost, dataset, mean_loss, some
from arcage.heads.calibrate import conformal, platt
from arcage.heads.kernel import Folds, KernelSettings, KernelSums, cross_kernel, outputs
from arcage.heads.layers import Kernel, Linear, Trees
from arcage.heads.linear import cross_ridge
from arcage.heads.model import AgeModel, GenderModel, Heads, Predictions, Stacked
from arcage.heads.parallel import each
from arcage.heads.watch import Step, Watch
from arcage.text import counted
from arcage.types import F32, F64, Array

Kind = Literal["boosted", "linear", "lightgbm"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FOLDS = 10
"""Models of nine tenths of the faces answer nearly as well as the final ones, so that intervals calibrated
on their answers are not too wide."""
DOUBT = -0.5
"""A gender score (-1 to 1, times the label's sign) below which a label is taken for wrong."""
VARIANT = np.float32(0.5)
"""Weight of a degraded variant; its face has 1."""
MIN_FACES = 50
"""Fewer labelled faces than this cannot be cross-fitted and calibrated."""

AGE_EDGES = (7.5, 18.5, 30.5, 50.5)
"""Where age bands meet for the discriminant axes, years. Few and wide: each class adds an axis, and axes
that tell neighbouring ages apart hold more noise than age."""
AGE_EDGES_BY_GENDER = (3.5, 12.5, 19.5, 25.5, 32.5, 45.5, 60.5, 75.5)
"""The same for axes that tell bands of women and of men apart."""
GENDER_AGE_EDGES = (1.5, 4.5, 9.5, 14.5, 19.5, 29.5, 44.5, 59.5, 74.5)
"""The same for the axes of gender, whose signs differ between the ages of life."""
AGE_NODES = (1, 3, 5, 8, 12, 16, 20, 24, 26, 28, 32, 36, 40, 45, 50, 55, 60, 65, 70, 76, 84, 92)
"""Ages whose soft indicators the kernel stage predicts beside the age, for the boosting to weigh."""

WEIGHTLESS = "all labelled faces have the weight 0: give those that are to be fitted on more"

UNEQUAL = 1e6
"""Maximum ratio of the weights of two faces; beyond it, rounding errors dominate."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Boosted:
    """How the last stage of one answer is fitted."""

    stage: str
    settings: Boosting
    objective: Objective
    alpha: float = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a fit depends on besides the data."""

    kind: Kind = "boosted"
    seed: int = 0
    kernel: KernelSettings = field(default_factory=KernelSettings)
    age: Boosting = field(default_factory=lambda: Boosting(rounds=300, learning_rate=0.03))
    quantiles: Boosting = field(default_factory=lambda: Boosting(rounds=200, leaves=15, min_leaf=40))
    gender: Boosting = field(
        default_factory=lambda: Boosting(rounds=60, learning_rate=0.02, leaves=7, min_leaf=100)
    )
    context_columns: int = 128
    """Columns of the descriptor with the largest variance that the boosting sees."""
    folds: int = FOLDS
    """Of the cross-fitting; fewer are faster, but leave intervals too wide."""


def fit_heads(
    x: F32,
    age: F32,
    gender: F32,
    *,
    fingerprint: str,
    settings: Settings | None = None,
    groups: Array | None = None,
    variants: Sequence[F32] = (),
    weight: F32 | None = None,
    least: int = MIN_FACES,
    watch: Watch | None = None,
) -> tuple[Heads, Predictions]:
    """Fit age and gender heads; an attribute without labels is left out.

    Args:
        x: shape (n, dimension), float32: descriptors of one pipeline, one face per row.
        age: shape (n,), years; NaN where unknown.
        gender: shape (n,), 0 male, 1 female; NaN where unknown.
        groups: shape (n,): rows of one group (a person) stay on one side of every split.
        variants: each of the shape of ``x``: descriptors of the same faces, degraded. They are fitted on
            as well, on the same side of every split as the face that they were made from, each with
            half of its weight; answers are calibrated on ``x`` alone.
        weight: shape (n,): how much each face counts in the fit; None for equally. One of 0 is not fitted on.
            All are answered, and calibration is on all of them alike.
        fingerprint: the pipeline's.
        least: fewer faces than this are refused.
        watch: told each step. What is fitted does not depend on whether anybody watches.

    Returns:
        The heads, and the answers for ``x`` by models that have not seen the face; NaN where unlabelled.

    Raises:
        UsageError: there are too few labelled faces.
    """
    settings = settings or Settings()
    n = len(x)
    weight = np.ones(n, np.float32) if weight is None else weight
    if n and not weight.any():
        raise UsageError(WEIGHTLESS)
    lightest, heaviest = weight[weight > 0].min(initial=np.inf), weight.max(initial=0)
    if heaviest > UNEQUAL * lightest:
        raise UsageError(
            f"the weights go from {lightest:g} to {heaviest:g}, a ratio of more than {UNEQUAL:,.0f}: the "
            "lowest would have no effect; set them to 0, or use weights that are closer together"
        )
    fitted_on = [np.where(weight > 0, label, np.float32(np.nan)) for label in (age, gender)]
    check_labels(fitted_on[0], fitted_on[1], groups, settings.folds, least)
    out = {name: np.full(n, np.nan, np.float32) for name in ("age", "age_low", "age_high", "p_female")}
    age_model = gender_model = None

    known = np.flatnonzero(np.isfinite(age))
    rows = None
    if len(known):
        rows = _Rows.of(x, variants, weight, known, _folds(known, groups, settings))
        age_model, answers = _fit_age(rows, age[known], gender[known], settings, watch)
        out["age"][known], out["age_low"][known], out["age_high"][known] = age_model.interval(answers)

    before, known = known, np.flatnonzero(np.isfinite(gender))
    if len(known):
        if rows is None or not np.array_equal(known, before):
            rows = None  # lets go of the memory before as much is asked for
            rows = _Rows.of(x, variants, weight, known, _folds(known, groups, settings))
        gender_model, score = _fit_gender(rows, gender[known], age[known], settings, watch)
        out["p_female"][known] = gender_model.probability(score)

    manifest = {"settings": asdict(settings), "versions": versions()}
    return Heads(fingerprint, x.shape[1], age_model, gender_model, manifest), Predictions(**out)


def check_labels(age: F32, gender: F32, groups: Array | None, folds: int, least: int = MIN_FACES) -> None:
    """Refuse at once what cannot be fitted on; the arguments are those of :func:`fit_heads`.

    Raises:
        UsageError: there are too few labelled faces.
    """
    if not np.isfinite([age, gender]).any():
        raise UsageError("no face has a label: check that `labels` fits the extracted images")
    for what, label in (("age", age), ("gender", gender)):
        if reason := lacking(what, label, groups, folds, least):
            raise UsageError(reason)


def lacking(what: str, label: F32, groups: Array | None, folds: int, least: int = MIN_FACES) -> str:
    """Return why ``what`` (age or gender) cannot be fitted; empty if it can, or if no face has a label."""
    known = np.flatnonzero(np.isfinite(label))
    if not len(known):
        return ""
    if what == "gender" and len(np.unique(label[known])) < 2:
        word = "female" if label[known[0]] else "male"
        return f"all labelled faces have the same gender, {word}: add faces of the other one"
    if len(known) < least:
        have = counted(len(known), "face has", "faces have")
        return f"only {have} a label for {what}; at least {least} are needed"
    persons = len(np.unique(groups[known])) if groups is not None else len(known)
    if persons < folds:
        return (
            f"the faces with a label for {what} come from fewer than {folds} persons or groups ({persons}): "
            "add more of them, or leave them out"
        )
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Faces, followed by as many of each degraded variant, and the splits of all of them."""

    x: F32
    weight: F32
    """1 on average."""
    folds: Folds
    """What has no weight is in no training part."""
    times: int
    """How often each face comes."""

    @classmethod
    def of(cls, x: F32, variants: Sequence[F32], weight: F32, known: Array, folds: Folds) -> _Rows:
        times = 1 + len(variants)

        def every(rows: Array) -> Array:
            return np.concatenate([rows + i * len(known) for i in range(times)])

        if variants or len(known) < len(x):
            own, x = x, np.empty((times * len(known), x.shape[1]), np.float32)
            for i, part in enumerate((own, *variants)):
                x[i * len(known) : (i + 1) * len(known)] = part[known]
        # What is fitted best is what will be asked about: most faces are better seen than their variants.
        weights = np.concatenate([weight[known], *[VARIANT * weight[known]] * len(variants)])
        if not weights.any():
            raise UsageError(WEIGHTLESS)
        weights /= weights.mean()
        parts = [(every(train), every(test)) for train, test in folds]
        return cls(x, weights, [(train[weights[train] > 0], test) for train, test in parts], times)


def _fit_age(
    rows: _Rows, age: F32, gender: F32, settings: Settings, watch: Watch | None
) -> tuple[AgeModel, F32]:
    """The model, and the out-of-fold answers for the faces as they are."""
    x, weight, folds, own = rows.x, rows.weight, rows.folds, len(age)
    age, gender = np.tile(age, rows.times), np.tile(gender, rows.times)
    last: tuple[Linear | Trees, ...]
    kernels: tuple[Kernel, ...] = ()
    columns = np.empty(0, np.int64)
    if settings.kind == "boosted":
        fitted = weight > 0
        views = [_merge_small(np.digitize(age, AGE_EDGES), fitted)]
        # Women and men age differently, and axes that tell both apart see what the others do not: the two
        # kernels err apart, so that their mean is better than either, and the boosting weighs them.
        sides = np.select([gender == 0, gender == 1], [0, 1], 2)
        if len(np.unique(sides[fitted])) > 1:
            views.append(3 * _merge_small(np.digitize(age, AGE_EDGES_BY_GENDER), fitted) + sides)
        targets = _age_targets(age)
        outputs: list[F32] = []
        for classes, stage in zip(views, ("kernel stage", "kernel stage by gender"), strict=False):
            sums = _kernel_sums(x, classes, targets, weight, folds, settings, watch, "age", stage)
            kernel, seen = _kernel_seen(sums, x, targets, weight, folds, settings)
            del sums
            kernels, outputs = (*kernels, kernel), [*outputs, seen]
        columns = _strongest(x, settings.context_columns)
        features = np.concatenate([*outputs, x[:, columns]], axis=1)
        start = np.mean([seen[:, 0] for seen in outputs], axis=0)
        models = (
            _Boosted("boosting", settings.age, "l1"),
            _Boosted("lower quantile", settings.quantiles, "quantile", 0.05),
            _Boosted("upper quantile", settings.quantiles, "quantile", 0.95),
        )
        last, answers = _cross_fit(
            features, age, weight, start, models, folds, own, settings.seed, watch, "age"
        )
    else:
        task = Task("age", x, age, weight, folds, own, settings, watch)
        part, answers = ONE_STAGE[settings.kind](task)
        last = (part,)
    answers = answers[:own]
    return AgeModel(Stacked(kernels, columns, last), *conformal(answers, age[:own])), answers


def _fit_gender(
    rows: _Rows, gender: F32, age: F32, settings: Settings, watch: Watch | None
) -> tuple[GenderModel, F32]:
    """The model, and the out-of-fold scores of the faces as they are."""
    x, weight, folds, own = rows.x, rows.weight, rows.folds, len(gender)
    gender, age = np.tile(gender, rows.times), np.tile(age, rows.times)
    last: tuple[Linear | Trees, ...]
    kernels: tuple[Kernel, ...] = ()
    columns = np.empty(0, np.int64)
    if settings.kind == "boosted":
        # Digitising puts unknown ages (NaN) into the last band; they get one of their own.
        bands = np.where(np.isfinite(age), np.digitize(age, GENDER_AGE_EDGES), len(GENDER_AGE_EDGES) + 1)
        sides = [_merge_small(np.where(gender == g, bands, -1), weight > 0) for g in (0, 1)]
        classes = np.where(gender == 0, 2 * sides[0], 2 * sides[1] + 1)
        sign = 2 * gender - 1
        targets = sign[:, None].astype(np.float64)
        sums = _kernel_sums(x, classes, targets, weight, folds, settings, watch, "gender")
        # Mislabelled faces are common in scraped sets, and squared errors follow them. The label is judged
        # by the face as it is, not by a picture that may show little of it.
        _, first = _kernel_seen(sums, x, targets, weight, folds, settings)
        trusted = np.tile(first[:own, 0] * sign[:own] > DOUBT, rows.times)
        kernel, seen = _kernel_seen(
            sums, x, targets, weight, folds, settings, without=np.flatnonzero(~trusted)
        )
        del sums
        # Boosting starts from log-odds: the kernel's score is brought onto that scale.
        slope, offset = platt(seen[:own, 0], gender[:own])
        kernel = replace(
            kernel,
            weights=kernel.weights * np.float32(slope),
            bias=kernel.bias * np.float32(slope) + np.float32(offset),
        )
        kernels = (kernel,)
        seen = seen * np.float32(slope) + np.float32(offset)
        columns = _strongest(x, settings.context_columns)
        features, start = np.concatenate([seen, x[:, columns]], axis=1), seen[:, 0]
        models = (_Boosted("boosting", settings.gender, "binary"),)
        folds = [(train[trusted[train]], test) for train, test in folds]
        last, answers = _cross_fit(
            features, gender, weight, start, models, folds, own, settings.seed, watch, "gender", trusted
        )
    else:
        task = Task("gender", x, gender, weight, folds, own, settings, watch)
        part, answers = ONE_STAGE[settings.kind](task)
        last = (part,)
    score = answers[:own, 0]
    slope, offset = platt(score, gender[:own])
    return GenderModel(Stacked(kernels, columns, last), slope, offset), score


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What a head of one stage is fitted on."""

    what: Literal["age", "gender"]
    x: F32
    """Shape (n, dimension): descriptors, those of degraded variants after the others."""
    labels: F32
    """Shape (n,): years; or 0 male, 1 female."""
    weight: F32
    """Shape (n,), 1 on average."""
    folds: Folds
    own: int
    """Rows that are faces as they are, the first ones."""
    settings: Settings
    watch: Watch | None


def cross_fit(task: Task, fit: Callable[[F32, F32, F32], Linear | Trees]) -> tuple[Linear | Trees, F32]:
    """Fit on all rows that have a weight, and once without each fold's test rows.

    Args:
        fit: descriptors, labels and weights of some rows -> what answers them.

    Returns:
        The part fitted on all such rows, and the answers for each row by one that has not seen it, shape
        (n, 1).
    """
    answers = np.empty((len(task.x), 1), np.float32)
    models = len(task.folds) + 1
    for number, (train, test) in enumerate(task.folds, 1):
        answers[test] = fit(task.x[train], task.labels[train], task.weight[train])(task.x[test])
        _tell(task.watch, Step(task.what, task.settings.kind, number, models))
    rows = np.flatnonzero(task.weight)
    part = fit(task.x[rows], task.labels[rows], task.weight[rows])
    _tell(task.watch, Step(task.what, task.settings.kind, models, models))
    return part, answers


def _linear(task: Task) -> tuple[Linear, F32]:
    target = task.labels if task.what == "age" else 2 * task.labels - 1
    fitted = cross_ridge(task.x, target, task.weight, task.folds)
    _tell(task.watch, Step(task.what, "ridge regression", 1, 1))
    return fitted


def _lightgbm(task: Task) -> tuple[Linear | Trees, F32]:
    age = task.what == "age"
    plain = (_Boosted("boosting", Boosting(rounds=600 if age else 400), "l1" if age else "binary"),)
    last, answers = _cross_fit(
        task.x,
        task.labels,
        task.weight,
        None,
        plain,
        task.folds,
        task.own,
        task.settings.seed,
        task.watch,
        task.what,
    )
    return last[0], answers


ONE_STAGE: dict[str, Callable[[Task], tuple[Linear | Trees, F32]]] = {
    "linear": _linear,
    "lightgbm": _lightgbm,
}
"""Kinds of heads without a kernel stage: the part fitted on all rows, and what parts that had not seen them
answered for the first ``own`` rows at least, shape (rows, 1): years, or a score that is higher for female."""


def _kernel_sums(
    x: F32,
    classes: Array,
    targets: F64,
    weight: F32,
    folds: Folds,
    settings: Settings,
    watch: Watch | None,
    what: str,
    stage: str = "kernel stage",
) -> list[KernelSums]:
    """The kernel stage without each fold's test faces, then with all faces."""
    sums = []
    for part in cross_kernel(x, classes, targets, weight, folds, settings.kernel, settings.seed):
        sums.append(part)
        _tell(watch, Step(what, stage, len(sums), len(folds) + 1))
    return sums


def _kernel_seen(
    sums: list[KernelSums],
    x: F32,
    targets: F64,
    weight: F32,
    folds: Folds,
    settings: Settings,
    without: Array | None = None,
) -> tuple[Kernel, F32]:
    """The stage on all faces, and its out-of-fold outputs: what is boosted on must look as it will for new
    faces. The rows ``without`` are not fitted on."""
    tests = [*(test for _, test in folds), np.empty(0, np.int64)]

    def solve(i: int) -> tuple[Kernel, F32]:
        part = sums[i]
        if without is not None:
            part = part.add(x, targets, weight, np.setdiff1d(without, tests[i]), sign=-1)
        kernel = part.solve(settings.kernel.ridge)
        return kernel, outputs(kernel, x, tests[i])

    done = list(each(solve, range(len(sums))))
    seen = np.empty(targets.shape, np.float32)
    for test, (_, answers) in zip(tests, done, strict=True):
        seen[test] = answers
    return done[-1][0], seen


def _cross_fit(
    features: F32,
    target: F32,
    weight: F32,
    start: F32 | None,
    models: tuple[_Boosted, ...],
    folds: Folds,
    own: int,
    seed: int,
    watch: Watch | None,
    what: str,
    trusted: Array | None = None,
) -> tuple[tuple[Linear | Trees, ...], F32]:
    """The last stage on all rows that have a weight and are ``trusted``; and its out-of-fold answers for the
    first ``own`` rows, shape (own, len(models))."""
    data = dataset(features, target, weight, start)

    def fit(part: tuple[int, Array, Array]) -> tuple[tuple[Trees, ...], F32]:
        number, train, test = part
        rows = some(data, train)
        aside = some(data, test) if watch is not None and len(test) else None
        last = tuple(one(model, number, rows, test, aside) for model in models)
        seen = np.concatenate([trees(features[test]) for trees in last], axis=1)
        return last, seen if start is None else start[test, None] + seen

    def one(model: _Boosted, number: int, rows: Any, test: Array, aside: Any) -> Trees:
        def told(round_: int, error: float | None) -> None:
            rounds, loss = model.settings.rounds, LOSSES[model.objective]
            _tell(watch, Step(what, model.stage, number, len(folds) + 1, round_, rounds, loss, error))

        if aside is not None and start is not None:
            begun = start[test] if model.objective != "binary" else 1 / (1 + np.exp(-start[test]))
            told(0, mean_loss(model.objective, model.alpha, begun, target[test]))
        return boost(
            rows,
            model.settings,
            objective=model.objective,
            alpha=model.alpha,
            seed=seed,
            test=aside,
            told=told if watch is not None else None,
        )

    fitted = weight > 0 if trusted is None else (weight > 0) & trusted
    splits = [*((train, test[test < own]) for train, test in folds), (np.flatnonzero(fitted), np.arange(0))]
    done = list(each(fit, [(number, *split) for number, split in enumerate(splits, 1)]))
    answers = np.empty((own, len(models)), np.float32)
    for (_, test), (_, seen) in zip(splits, done, strict=True):
        answers[test] = seen
    return done[-1][0], answers


def _tell(watch: Watch | None, step: Step) -> None:
    if watch is not None:
        watch(step)


def _age_targets(age: F32) -> F64:
    """The age, and how near it is to each node: shape (n, 1 + nodes)."""
    nodes = np.sqrt(np.array(AGE_NODES) + 3.0)
    near = np.exp(-0.5 * ((np.sqrt(age.astype(np.float64) + 3)[:, None] - nodes) / 0.25) ** 2)
    return np.concatenate([age[:, None], 10 * near / near.sum(axis=1, keepdims=True)], axis=1)


def _merge_small(bands: Array, fitted: Array, least: int = 20) -> Array:
    """Bands with fewer ``fitted`` faces join the one below them, or above."""
    merged = bands.copy()
    for band in np.unique(bands)[::-1]:
        names = np.unique(merged[fitted])
        if (merged[fitted] == band).sum() < least and len(names) > 1:
            others = names[names != band]
            merged[merged == band] = others[np.abs(others - band).argmin()]
    return merged


def _strongest(x: F32, count: int) -> Array:
    # No intermediate array has the size of x.
    mean = x.mean(axis=0, dtype=np.float64)
    variance = np.einsum("ij,ij->j", x, x, dtype=np.float64) / len(x) - np.square(mean)
    return np.sort(np.argsort(-variance, kind="stable")[:count])


def _folds(known: Array, groups: Array | None, settings: Settings) -> Folds:
    from sklearn.model_selection import GroupKFold, KFold

    if groups is None:
        splits = KFold(settings.folds, shuffle=True, random_state=settings.seed)
        return list(splits.split(known))
    splits = GroupKFold(settings.folds, shuffle=True, random_state=settings.seed)
    return list(splits.split(known, groups=groups[known]))


def versions() -> dict[str, Any]:
    """Of what takes part in a fit."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("numpy", "scipy", "scikit-learn", "lightgbm")}
    return {"python": platform.python_version(), "arcage": __version__, **packages}
