"""Heads as scikit-learn estimators, for any array of descriptors."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from arcage.heads.fit import fit_heads
from arcage.heads.model import Heads
from arcage.heads.settings import KINDS, Settings
from arcage.types import F32, Array, Labels


class _Head(BaseEstimator):  # type: ignore[misc]
    """Base class of both estimators."""

    def __init__(self, kind: str = "boosted", folds: int = 10, random_state: Any = 0) -> None:
        self.kind = kind
        self.folds = folds
        self.random_state = random_state

    def _settings(self) -> Settings:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not isinstance(self.folds, Integral) or self.folds < 2:
            raise ValueError(f"folds={self.folds!r} is not a whole number of at least 2")
        # An integer is the seed, as for the fit command.
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        return Settings(kind=self.kind, folds=int(self.folds), seed=int(seed))

    def _check(self, X: Any) -> F32:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, reset=False, dtype=np.float32))


class AgeHead(RegressorMixin, _Head):  # type: ignore[misc]
    """Age from descriptors, with a 90 % interval.

    Args:
        kind: ``boosted``, ``linear`` or ``lightgbm``.
        folds: number of folds of the cross-fitting that intervals are calibrated on, at most the number of
            faces.
            Fewer are faster, but make intervals too wide.
        random_state: an integer, a RandomState, or None for NumPy's global one.

    Attributes:
        heads_: the fitted :class:`~arcage.heads.model.Heads`, without a gender head.
    """

    def fit(self, X: Any, y: Any) -> AgeHead:
        """Fit the head.

        Args:
            X: shape (n, dimension): descriptors, converted to float32.
            y: shape (n,): years, 0 or more; predictions are from 0 to 120.

        Raises:
            ValueError: an array or a parameter is invalid.
        """
        settings = self._settings()
        X, y = validate_data(self, X, y, dtype=np.float32, y_numeric=True, ensure_min_samples=2)
        if y.min() < 0:
            raise ValueError(f"y holds the age {y.min():g}: give years, 0 or more")
        self.heads_ = _fit(X, y.astype(np.float32), None, settings)
        return self

    def predict(self, X: Any) -> Array:
        """Predict ages, shape (n,), float32, years."""
        x = self._check(X)
        return self.heads_.predict(x).age

    def predict_interval(self, X: Any) -> Array:
        """Predict the bounds of the 90 % interval, shape (n, 2), float32, years."""
        x = self._check(X)
        predictions = self.heads_.predict(x)
        return np.stack([predictions.age_low, predictions.age_high], axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


class GenderHead(ClassifierMixin, _Head):  # type: ignore[misc]
    """One of two labels from descriptors, with calibrated probabilities.

    The parameters are those of :class:`AgeHead`.

    Attributes:
        classes_: the two labels, sorted; with 0 and 1 as elsewhere in arcage, 1 is female.
        heads_: the fitted :class:`~arcage.heads.model.Heads`, without an age head; its ``p_female`` is the
            probability of ``classes_[1]``.
    """

    def fit(self, X: Any, y: Any) -> GenderHead:
        """Fit the head.

        Args:
            X: shape (n, dimension): descriptors, converted to float32.
            y: shape (n,): two different labels.

        Raises:
            ValueError: an array or a parameter is invalid.
        """
        settings = self._settings()
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported: y has {len(self.classes_)} different labels"
            )
        if len(self.classes_) < 2:
            raise ValueError("GenderHead needs two labels, y has one class only")
        self.heads_ = _fit(X, None, index.astype(np.float32), settings)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Predict the probability of each of ``classes_``, shape (n, 2), float32."""
        x = self._check(X)
        p = self.heads_.predict(x).p_female
        return np.stack([1 - p, p], axis=1)

    def predict(self, X: Any) -> Array:
        """Predict the more probable label, shape (n,)."""
        p = self.predict_proba(X)[:, 1]
        return np.asarray(self.classes_[(p >= 0.5).astype(int)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _fit(X: F32, age: F32 | None, gender: F32 | None, settings: Settings) -> Heads:
    unknown = Labels.empty(len(X))
    labels = Labels(unknown.age if age is None else age, unknown.gender if gender is None else gender)
    settings = replace(settings, folds=min(settings.folds, len(X)))
    return fit_heads(X, labels, fingerprint="", settings=settings, min_faces=2).heads
