"""The bundled predictor, and a face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from arcage.predictor import Predictor


@pytest.fixture(scope="session")
def predictor(bundled_predictor: Predictor) -> Predictor:
    return bundled_predictor


@pytest.fixture(scope="session")
def bundled_predictor(compiled: Path) -> Predictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        made = Predictor(device="cpu")
        made.predict(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    return made


@pytest.fixture
def portrait(astronaut: np.ndarray) -> np.ndarray:
    return cv2.resize(astronaut[20:240, 110:330], (180, 180), interpolation=cv2.INTER_AREA)
