"""Try the installed arcage where the test suite is not installed: `python smoke.py PHOTO FOLDER`.

Predicts the portrait in one process and in two, through a cache, and fits a head. Files go to FOLDER.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from arcage import AgeHead, Predictor

COPIES = 8


def main(photo: Path, folder: Path) -> None:
    (face,) = Predictor().predict(photo)
    assert face.status == "ok", face
    assert face.gender == "female", face
    assert 20 <= face.age <= 50, face
    assert face.age_low <= face.age <= face.age_high, face

    cached = Predictor(cache=folder / "cache", interval=80, under=[18])
    cached = pickle.loads(pickle.dumps(cached))  # noqa: S301
    assert [face.age] == [row.age for row in cached.predict(photo)]
    assert cached.predict(photo)[0].more["p_under_18"] < 0.1

    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(COPIES):
        (pictures / f"{number}.jpg").write_bytes(photo.read_bytes() + bytes(number))
    command = [sys.executable, "-m", "arcage", "predict", pictures, "--workers", "2", "--format", "csv"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.count(",ok,") == COPIES, done.stdout

    rng = np.random.default_rng(0)
    columns = rng.normal(size=(400, 16)).astype(np.float32)
    ages = np.clip(40 + 15 * columns[:, 0], 1, 90)
    error = np.abs(AgeHead().fit(columns[:300], ages[:300]).predict(columns[300:]) - ages[300:]).mean()
    assert error < 6, error
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}: right")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
