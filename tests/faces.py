"""Synthetic labelled descriptors, and settings with which a fit on them takes a moment."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from arcage.heads.boosting import Boosting
from arcage.heads.kernel import KernelSettings
from arcage.heads.settings import Settings
from arcage.types import Labels

DIMENSION = 24
FAST = Settings(
    kernel=KernelSettings(centers=200),
    age=Boosting(rounds=40),
    quantiles=Boosting(rounds=40, leaves=7),
    gender=Boosting(rounds=20, leaves=7),
    context_columns=8,
)


def fit_quickly(patch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Let commands and estimators fit heads with ``FAST``, and those of kind ``lightgbm`` with few rounds.

    The default settings take seconds for any number of faces.
    """
    for module in ("arcage.training.run", "arcage.heads.estimators"):
        patch.setattr(f"{module}.Settings", partial(replace, FAST, **settings))
    patch.setattr("arcage.heads.stages._ROUNDS", {"age": 300, "gender": 150})


def faces(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return descriptors with noise that contain age and gender, with more noise at higher ages."""
    rng = np.random.default_rng(seed)
    age = rng.integers(1, 90, n).astype(np.float32)
    gender = rng.integers(0, 2, n).astype(np.float32)
    x = rng.normal(size=(n, DIMENSION))
    x[:, 3] += np.sqrt(age) + rng.normal(size=n) * 0.05 * np.sqrt(age)
    x[:, 4] += np.sin(age / 20) * 2
    x[:, 7] += 2.5 * gender
    mix = np.linalg.qr(np.random.default_rng(99).normal(size=(DIMENSION, DIMENSION)))[0]
    return (x @ mix).astype(np.float32), age, gender


def with_labels(made: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, Labels]:
    """Made-up faces with their labels as one value."""
    x, age, gender = made
    return x, Labels(age, gender)


def elsewhere(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return descriptors of another camera: all are shifted, towards older and more female."""
    x, age, gender = faces(n, seed)
    shift = np.zeros(DIMENSION)
    shift[[3, 7, 10]] = 1.5, 1, 4
    mix = np.linalg.qr(np.random.default_rng(99).normal(size=(DIMENSION, DIMENSION)))[0]
    return (x + shift @ mix).astype(np.float32), age, gender
