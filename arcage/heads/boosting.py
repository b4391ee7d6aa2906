"""LightGBM as arcage uses it: fitted here, kept as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from arcage.heads.layers import Trees
from arcage.types import F32, Array

Objective = Literal["l1", "binary", "quantile"]
BINS: dict[str, Any] = {
    # Descriptors have hundreds of dense columns: more bins cost time and give nothing.
    "max_bin": 63,
    # Columns that one model cannot split, another may.
    "feature_pre_filter": False,
    "force_col_wise": True,
    "verbose": -1,
}
# Folds are fitted side by side, each on one core.
ONE_THREAD = {"num_threads": 1}
LOSSES: dict[Objective, str] = {
    "l1": "mean absolute error (years)",
    "quantile": "pinball loss (years)",
    "binary": "log loss (nats)",
}
"""What each objective makes small, in words."""


@dataclass(frozen=True, slots=True)
class Boosting:
    """Settings of one boosted stage."""

    rounds: int
    learning_rate: float = 0.05
    leaves: int = 31
    feature_fraction: float = 0.3
    min_leaf: int = 20


def dataset(features: F32, target: Array, weight: F32, start: F32 | None = None) -> Any:
    """What any number of :func:`boost` calls fit on: columns put into bins, once.

    Bins do not depend on the target, so they may be made of faces that a model must not see.

    Args:
        features: shape (n, columns), float32.
        target: shape (n,): years, or 0 and 1.
        weight: shape (n,): how much each face counts; 1 on average.
        start: shape (n,): where the boosting starts (log-odds for ``binary``); None for the best constant,
            which becomes a part of the trees.
    """
    import lightgbm

    label = np.asarray(target, np.float32)
    return lightgbm.Dataset(features, label, weight=weight, init_score=start, params=BINS).construct()


def some(data: Any, rows: Array) -> Any:
    """Some rows of a :func:`dataset`, increasing."""
    return data.subset(rows, {**BINS, **ONE_THREAD}).construct()


def mean_loss(objective: Objective, alpha: float, answers: Array, target: Array) -> float:
    """What the boosting makes small, of some faces that all count alike.

    Args:
        answers: shape (n,): years, or for ``binary`` the probability of 1.
        target: shape (n,): years, or 0 and 1.
    """
    if objective == "binary":
        right = np.where(target == 1, answers, 1 - answers)
        return float(-np.log(np.clip(right, 1e-7, 1)).mean())
    error = np.asarray(target, np.float64) - answers
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
    test: Any = None,
    told: Callable[[int, float | None], None] | None = None,
) -> Trees:
    """Fit trees that, added to where ``data`` starts, predict its target.

    Args:
        data: a :func:`dataset`, or :func:`some` rows of one.
        alpha: the quantile, for ``quantile``.
        test: other rows of the same dataset, by which nothing is chosen.
        told: called after each round with its number, from 1, and the mean loss of ``test``, None without.
    """
    import lightgbm

    def loss(answers: Array, faces: Any) -> tuple[str, float, bool]:
        return objective, mean_loss(objective, alpha, answers, faces.get_label()), False

    def after(round_: Any) -> None:
        if told is not None:
            told(round_.iteration + 1, round_.evaluation_result_list[0][2] if test is not None else None)

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
        valid_sets=[] if test is None else [test],
        feval=None if test is None else loss,
        callbacks=[] if told is None else [after],
    )
    return to_trees(booster.dump_model()["tree_info"])


def to_trees(dumped: list[dict[str, Any]]) -> Trees:
    """LightGBM's trees, as ``Booster.dump_model`` tells them, as arrays."""
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
            raise ValueError("only numerical splits are known")
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
