"""Make ``distribution/``: heads with a predictive distribution, of schema 6. Made once, then only read.

::

    PYTHONPATH=. OMP_NUM_THREADS=1 python tests/stored/make_distribution.py

The faces are those of ``made-up/``. The predictions are in ``distribution/expected.npz``.
"""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from arcage.cache import Cache
from arcage.data.join import labelled_faces
from arcage.heads.adapt import adapt_heads
from arcage.heads.boosting import Boosting
from arcage.heads.fit import fit_heads
from arcage.heads.kernel import KernelSettings
from arcage.heads.recalibrate import recalibrate_heads
from arcage.heads.settings import Settings
from arcage.heads.store import CARD, load_heads, save_heads

HERE = Path(__file__).parent
FOLDER = HERE / "distribution"
SMALL = Settings(
    kernel=KernelSettings(centers=24, context_columns=4),
    age=Boosting(rounds=8, leaves=5),
    quantiles=Boosting(rounds=8, leaves=5),
    gender=Boosting(rounds=8, leaves=5),
    context_columns=4,
    folds=5,
)


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    own, other = (
        labelled_faces(Cache(HERE / "made-up", name), "utkface") for name in ("made-up", "made-up-1")
    )
    fitted = fit_heads(own.descriptors(), own.labels(), fingerprint="made-up", settings=SMALL).heads
    elsewhere = other.descriptors(), other.labels()
    made = SimpleNamespace(
        fitted=fitted,
        adapted=adapt_heads(fitted, *elsewhere).heads,
        calibrated=recalibrate_heads(fitted, *elsewhere).heads,
    )
    arrays = {}
    for name, heads in vars(made).items():
        save_heads(heads, FOLDER / name, "card")
        (FOLDER / name / CARD).unlink()
        predictions = load_heads(FOLDER / name).predict(elsewhere[0])
        for field in fields(predictions):
            arrays[f"{name}/{field.name}"] = getattr(predictions, field.name)
    np.savez_compressed(FOLDER / "expected.npz", **arrays)


if __name__ == "__main__":
    main()
