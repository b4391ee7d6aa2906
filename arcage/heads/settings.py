"""Settings of a fit."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from arcage.heads.boosting import Boosting
from arcage.heads.kernel import KernelSettings

Kind = Literal["boosted", "linear", "lightgbm"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FOLDS = 10
"""Default number of folds. Models of nine tenths of the faces are nearly as accurate as the final models, so
intervals calibrated on their predictions are not too wide."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the result of a fit depends on, except for the data."""

    kind: Kind = "boosted"
    seed: int = 0
    kernel: KernelSettings = field(default_factory=KernelSettings)
    age: Boosting = field(default_factory=lambda: Boosting(rounds=300, learning_rate=0.03))
    quantiles: Boosting = field(default_factory=lambda: Boosting(rounds=200, leaves=15, min_leaf=40))
    gender: Boosting = field(
        default_factory=lambda: Boosting(rounds=60, learning_rate=0.02, leaves=7, min_leaf=100)
    )
    context_columns: int = 16
    """Number of descriptor columns, those with the largest variance, among the features of the boosting. More
    are not more accurate: trees that use them learn the noise of the faces."""
    folds: int = FOLDS
    """Number of folds of the cross-fitting. Fewer are faster, but make intervals too wide."""

    def as_json(self) -> dict[str, Any]:
        """Return the settings for a manifest or a file of trials, under the names of the file format."""
        out = asdict(self)
        out["kernel"] = {
            "landmarks" if name == "centers" else name: value for name, value in out["kernel"].items()
        }
        return out


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a fit uses."""
    from importlib.metadata import version

    names = ("arcage", "numpy", "scipy", "scikit-learn", "lightgbm")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
