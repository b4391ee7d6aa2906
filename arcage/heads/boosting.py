"""Boosted trees, fitted with LightGBM and kept as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from arcage.errors import LibraryError
from arcage.files import prepare_matplotlib
from arcage.heads.layers import Trees
from arcage.types import F32, F64, Array

Objective = Literal["l1", "binary", "quantile"]
BINS: dict[str, Any] = {
    # Descriptors have hundreds of dense columns; more bins take time and do not reduce the error.
    "max_bin": 63,
    # The models of a dataset differ in their minimum leaf size, so columns are not filtered in advance.
    "feature_pre_filter": False,
    "force_col_wise": True,
    "verbose": -1,
}
# Folds are fitted in parallel, each on one core.
ONE_THREAD = {"num_threads": 1}
LOSSES: dict[Objective, str] = {
    "l1": "mean absolute error (years)",
    "quantile": "pinball loss (years)",
    "binary": "log loss (nats)",
}
"""The loss that each objective minimises, with its unit."""


@dataclass(frozen=True, slots=True)
class Boosting:
    """Settings of one boosted model."""

    rounds: int
    learning_rate: float = 0.05
    leaves: int = 31
    feature_fraction: float = 0.3
    min_leaf: int = 20


def load_lightgbm() -> Any:
    """Return the module ``lightgbm``.

    Raises:
        LibraryError: a library of the system that it needs is missing.
    """
    prepare_matplotlib()  # which LightGBM imports if it is installed
    try:
        import lightgbm
    except OSError as error:
        # Its wheels contain no OpenMP runtime, and slim container images have none.
        advice = "`apt-get install libgomp1` (Debian, Ubuntu), `dnf install libgomp` or `brew install libomp`"
        raise LibraryError(
            f"LightGBM cannot be loaded: {error}. Install its OpenMP runtime: {advice}"
        ) from None
    return lightgbm


def dataset(features: F32, target: Array, weight: F32, start: F32 | None = None) -> Any:
    """Make a LightGBM dataset for any number of :func:`boost` calls; columns are binned once.

    Bins do not depend on the target, so they can include faces that a model must not see.

    Args:
        features: shape (n, columns), float32.
        target: shape (n,): years, or 0 and 1.
        weight: shape (n,), mean 1.
        start: shape (n,): the initial predictions (log-odds for ``binary``); None for the best constant,
            which
            becomes part of the trees.
    """
    lightgbm = load_lightgbm()
    label = np.asarray(target, np.float32)
    return lightgbm.Dataset(features, label, weight=weight, init_score=start, params=BINS).construct()


def subset(data: Any, rows: Array) -> Any:
    """Return some rows, in ascending order, of a :func:`dataset`."""
    return data.subset(rows, {**BINS, **ONE_THREAD}).construct()


def mean_loss(objective: Objective, alpha: float, predictions: Array, target: Array) -> float:
    """Return the unweighted mean of an objective's loss.

    Args:
        predictions: shape (n,): years, or for ``binary`` the probability of 1.
        target: shape (n,): years, or 0 and 1.
    """
    if objective == "binary":
        p_label = np.where(target == 1, predictions, 1 - predictions)
        return float(-np.log(np.clip(p_label, 1e-7, 1)).mean())
    error = np.asarray(target, np.float64) - predictions
    if objective == "quantile":
        return float(np.maximum(alpha * error, (alpha - 1) * error).mean())
    return float(np.abs(error).mean())


def boost(
    data: Any,
    settings: Boosting,
    *,
    objective: Objective,
    alpha: float = 0.5,
    seed: int = 0,
    held_out: Any = None,
    report: Callable[[int, float | None], None] | None = None,
) -> Trees:
    """Fit trees that predict the target of a dataset, starting from its initial predictions.

    Args:
        data: a :func:`dataset` or a :func:`subset` of one.
        alpha: the quantile, for ``quantile``.
        held_out: other rows of the same dataset, whose loss is reported. They do not influence the fit.
        report: called after each round with its number, from 1, and the mean loss of ``held_out`` (None
            without).
    """
    lightgbm = load_lightgbm()

    def loss(predictions: Array, faces: Any) -> tuple[str, float, bool]:
        return objective, mean_loss(objective, alpha, predictions, faces.get_label()), False

    def after(round_: Any) -> None:
        if report is not None:
            error = round_.evaluation_result_list[0][2] if held_out is not None else None
            report(round_.iteration + 1, error)

    parameters: dict[str, Any] = {
        **BINS,
        **ONE_THREAD,
        "objective": {"l1": "regression_l1"}.get(objective, objective),
        "alpha": alpha,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "max_depth": 8,
        "min_data_in_leaf": settings.min_leaf,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "deterministic": True,
        "seed": seed,
        "metric": "none",
    }
    booster = lightgbm.train(
        parameters,
        data,
        settings.rounds,
        valid_sets=[] if held_out is None else [held_out],
        feval=None if held_out is None else loss,
        callbacks=[] if report is None else [after],
    )
    return to_trees(booster.model_to_string())


def to_trees(model: str) -> Trees:
    """Convert the text of ``lightgbm.Booster.model_to_string`` to arrays.

    The text is written and read several times as fast as the JSON of ``dump_model``. The nodes of a tree are
    in the order of that JSON: a node, the nodes on its left, the nodes on its right.

    Raises:
        ValueError: a split is not numerical.
    """
    trees = [_Nodes.read(text) for text in model.split("\nTree=")[1:]]
    starts = np.cumsum([0, *(len(tree.value) for tree in trees)])
    left, right = (
        _joined([start + getattr(tree, side) for start, tree in zip(starts, trees, strict=False)], np.int32)
        for side in ("left", "right")
    )
    depth, level = 0, starts[:-1]
    while len(inner := level[left[level] != level]):
        depth, level = depth + 1, np.concatenate([left[inner], right[inner]])
    return Trees(
        roots=starts[:-1].astype(np.int32),
        feature=_joined([tree.feature for tree in trees], np.int32),
        threshold=_joined([tree.threshold for tree in trees], np.float64),
        left=left,
        right=right,
        value=_joined([tree.value for tree in trees], np.float64),
        depth=np.array(depth, np.int32),
    )


def _joined(parts: list[Array], dtype: type) -> Array:
    return np.concatenate([np.empty(0), *parts]).astype(dtype)


class _Nodes(NamedTuple):
    """The nodes of one tree, as in :class:`~arcage.heads.layers.Trees`."""

    feature: Array
    threshold: F64
    left: Array
    right: Array
    value: F64

    @classmethod
    def read(cls, text: str) -> _Nodes:
        """Read LightGBM's text of a tree. It numbers the splits from 0, and leaves by -1, -2, ..."""
        fields = dict(line.split("=", 1) for line in text.split("\n\n")[0].splitlines()[1:])
        if fields["num_cat"] != "0":
            raise ValueError("the trees have splits that are not numerical")
        threshold, value, feature = (
            np.array(fields[name].split(), np.float64)
            for name in ("threshold", "leaf_value", "split_feature")
        )
        left, right = ([int(node) for node in fields[name].split()] for name in ("left_child", "right_child"))
        splits, leaves = len(feature), len(value)
        # The number of nodes at and below a node, with leaves at the end: index -1 is the first leaf.
        below, place = [1] * (splits + leaves), [0] * (splits + leaves)
        for node in reversed(range(splits)):  # A split comes before those below it.
            below[node] += below[left[node]] + below[right[node]]
        for node in range(splits):
            place[left[node]] = place[node] + 1
            place[right[node]] = place[node] + 1 + below[left[node]]
        at = np.array(place)
        inner, outer = at[:splits], at[splits:][::-1]
        out = cls(
            np.zeros(len(at)),
            np.full(len(at), np.inf),
            np.arange(len(at)),
            np.arange(len(at)),
            np.zeros(len(at)),
        )
        out.feature[inner], out.threshold[inner], out.value[outer] = feature, threshold, value
        out.left[inner], out.right[inner] = at[left], at[right]
        return out
