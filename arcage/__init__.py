"""Age and gender from face photos.

>>> from arcage import Predictor
>>> for face in Predictor().predict("photo.jpg"):
...     print(face.age, face.age_low, face.age_high, face.gender)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arcage._version import __version__

if TYPE_CHECKING:
    from arcage.extraction.face_encoder import FaceEncoder
    from arcage.heads.estimators import AgeHead, GenderHead
    from arcage.output.image_predictions import ImagePredictions
    from arcage.predictor import Predictor
    from arcage.types import Prediction

__all__ = [
    "AgeHead",
    "FaceEncoder",
    "GenderHead",
    "ImagePredictions",
    "Prediction",
    "Predictor",
    "__version__",
]

_MODULES = {
    "AgeHead": "arcage.heads.estimators",
    "FaceEncoder": "arcage.extraction.face_encoder",
    "GenderHead": "arcage.heads.estimators",
    "ImagePredictions": "arcage.output.image_predictions",
    "Prediction": "arcage.types",
    "Predictor": "arcage.predictor",
}


def __getattr__(name: str) -> Any:
    # On demand: NumPy and OpenCV take a third of a second, and `arcage --help` needs neither.
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
