"""Settings and versions as a manifest has them."""

from __future__ import annotations

import json
import platform

import lightgbm
import numpy as np
import scipy
import sklearn

from arcage import __version__
from arcage.heads.boosting import Boosting
from arcage.heads.kernel import KernelSettings
from arcage.heads.settings import Settings, versions


def test_settings_under_the_names_of_the_file_format() -> None:
    settings = Settings(
        "lightgbm", seed=3, kernel=KernelSettings(centers=70), age=Boosting(rounds=9), folds=4
    )
    written = settings.as_json()
    assert json.loads(json.dumps(written)) == written
    assert written.keys() == set(Settings.__slots__)
    assert (written["kind"], written["seed"], written["folds"]) == ("lightgbm", 3, 4)
    assert written["kernel"] == {
        "shrinkage": 0.15,
        "context": 0.5,
        "context_columns": 256,
        "width": 0.3,
        "ridge": 0.3,
        "landmarks": 70,
    }
    assert written["age"] == {
        "rounds": 9,
        "learning_rate": 0.05,
        "leaves": 31,
        "feature_fraction": 0.3,
        "min_leaf": 20,
    }


def test_versions_of_what_a_fit_uses() -> None:
    assert versions() == {
        "python": platform.python_version(),
        "arcage": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "lightgbm": lightgbm.__version__,
    }
