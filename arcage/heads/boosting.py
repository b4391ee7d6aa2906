"""LightGBM as arcage uses it: fitted here, kept as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from arcage.heads.parts import Trees
from arcage.types import F32, Array

Objective = Literal["l1", "binary", "quantile"]


@dataclass(frozen=True, slots=True)
class Boosting:
    """Settings of one boosted stage."""

    rounds: int
    learning_rate: float = 0.05
    leaves: int = 31
    feature_fraction: float = 0.3
    min_leaf: int = 20


def boost(
    features: F32,
    target: Array,
    start: F32 | None,
    settings: Boosting,
    *,
    objective: Objective,
    alpha: float = 0.5,
    seed: int = 0,
) -> Trees:
    """Fit trees that, added to ``start``, predict ``target``.

    Args:
        features: shape (n, columns), float32.
        target: shape (n,): years, or 0 and 1.
        start: shape (n,): where the boosting starts (log-odds for ``binary``); None for nought.
        alpha: the quantile, for ``quantile``.
    """
    import lightgbm

    parameters: dict[str, Any] = {
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
        # Descriptors have hundreds of dense columns: more bins cost time and give nothing.
        "max_bin": 63,
        "boost_from_average": False,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbose": -1,
    }
    data = lightgbm.Dataset(
        features, np.asarray(target, np.float32), init_score=start, params=parameters, free_raw_data=True
    )
    booster = lightgbm.train(parameters, data, settings.rounds)
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
