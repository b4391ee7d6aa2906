"""Boosted trees, fitted with LightGBM and kept as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from arcage.heads.layers import Trees
from arcage.types import F32, Array

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
    import lightgbm

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
    import lightgbm

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
    return to_trees(booster.dump_model()["tree_info"])


def to_trees(dumped: list[dict[str, Any]]) -> Trees:
    """Convert the ``tree_info`` of ``lightgbm.Booster.dump_model`` to arrays.

    Raises:
        ValueError: a split is not numerical.
    """
    roots: list[int] = []
    nodes: list[tuple[int, float, int, int, float]] = []
    depth = 0

    def add(node: dict[str, Any], level: int) -> int:
        nonlocal depth
        here = len(nodes)
        if "leaf_value" in node:
            depth = max(depth, level)
            nodes.append((0, np.inf, here, here, float(node["leaf_value"])))
            return here
        if node["decision_type"] != "<=":
            raise ValueError("the trees have splits that are not numerical")
        nodes.append((0, 0.0, 0, 0, 0.0))
        left = add(node["left_child"], level + 1)
        right = add(node["right_child"], level + 1)
        nodes[here] = (int(node["split_feature"]), float(node["threshold"]), left, right, 0.0)
        return here

    for tree in dumped:
        roots.append(len(nodes))
        add(tree["tree_structure"], 0)
    feature, threshold, left, right, value = zip(*nodes, strict=True) if nodes else ((), (), (), (), ())
    return Trees(
        roots=np.array(roots, np.int32),
        feature=np.array(feature, np.int32),
        threshold=np.array(threshold, np.float64),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        value=np.array(value, np.float64),
        depth=np.array(depth, np.int32),
    )
