"""Age and gender from face photos.

>>> from arcage import Predictor
>>> for face in Predictor().predict("photo.jpg"):
...     print(face.age, face.age_low, face.age_high, face.gender)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arcage._version import __version__

if TYPE_CHECKING:
    from arcage.heads.estimators import AgeHead, GenderHead
    from arcage.predictor import Predictor
    from arcage.types import Prediction

__all__ = ["AgeHead", "GenderHead", "Prediction", "Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    # On demand: NumPy and OpenCV take a third of a second, and `arcage --help` needs neither.
    if name == "Predictor":
        from arcage.predictor import Predictor

        return Predictor
    if name == "Prediction":
        from arcage.types import Prediction

        return Prediction
    if name in ("AgeHead", "GenderHead"):
        from arcage.heads import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
