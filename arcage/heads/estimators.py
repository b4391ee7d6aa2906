"""Heads as scikit-learn estimators, for any array of descriptors."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    check_random_state,
    validate_data,
)

from arcage._version import __version__
from arcage.errors import ForeignFileError, HeadsError, UsageError
from arcage.files import refuse_foreign
from arcage.heads.fit import fit_heads
from arcage.heads.model import Heads
from arcage.heads.packed import MANIFEST
from arcage.heads.settings import FOLDS, KINDS, Settings
from arcage.heads.store import MANIFEST_MARK, load_heads, save_heads
from arcage.text import counted
from arcage.types import F32, Array, Labels

FROM_ARRAYS = "arrays in Python"
"""What the manifest names as labels."""
_CARD = """# Model card: age and gender heads

Kind: {kind}; made with {estimators} of arcage {version}. Fitted in Python on {faces}.

Errors were not measured when these heads were saved. `arcage evaluate` measures them on labelled faces.
"""


class _Head(BaseEstimator):  # type: ignore[misc]
    """Base class of both estimators."""

    heads_: Heads
    n_features_in_: int

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

    def save(
        self, folder: str | Path, fingerprint: str, other: _Head | None = None, *, pack: str = ""
    ) -> None:
        """Save the fitted head to a folder, for ``arcage predict --heads`` and ``Predictor(heads=...)``.

        Args:
            folder: a new or empty folder, or one with heads, which are replaced.
            fingerprint: of the pipeline that computed the descriptors: ``FaceEncoder(...).fingerprint``.
            other: a fitted head of the other attribute, on descriptors of the same pipeline, that is saved
                with this one.
            pack: name of the model pack of that pipeline, for messages about heads that do not fit.

        Raises:
            ValueError: a head is not fitted (NotFittedError), the heads do not belong together, or the labels
                of a GenderHead are not 0 (male) and 1 (female).
            ArcageError: the folder has other files, or cannot be written.
        """
        estimators = [self] if other is None else [self, other]
        # The manifest and the familiarity of heads for both are those of the age head.
        estimators.sort(key=lambda one: not isinstance(one, AgeHead))
        heads = _together([one._saved_heads() for one in estimators])
        folder = Path(folder)
        refuse_foreign(MANIFEST_MARK, folder / MANIFEST)
        if folder.is_dir() and not (folder / MANIFEST).exists() and any(folder.iterdir()):
            raise ForeignFileError(folder)
        card = _CARD.format(
            kind=self.kind,
            estimators=" and ".join(type(one).__name__ for one in estimators),
            version=__version__,
            faces=counted((heads.manifest.get("training") or {}).get("faces", 0), "face"),
        )
        manifest = {**heads.manifest, "pack": pack} if pack else heads.manifest
        save_heads(replace(heads, fingerprint=fingerprint, manifest=manifest), folder, card)

    def _saved_heads(self) -> Heads:
        check_is_fitted(self)
        return self.heads_

    @classmethod
    def _loaded(cls, folder: str | Path | None, fingerprint: str | None) -> Self:
        heads = load_heads(folder)
        if fingerprint is not None:
            heads.check(fingerprint)
        settings = heads.manifest.get("settings") or {}
        head = cls(settings.get("kind", "boosted"), settings.get("folds", FOLDS), settings.get("seed", 0))
        head.heads_ = heads
        head.n_features_in_ = heads.dimension
        return head


class AgeHead(RegressorMixin, _Head):  # type: ignore[misc]
    """Age from descriptors, with a 90 % interval.

    Args:
        kind: ``boosted``, ``linear`` or ``lightgbm``.
        folds: number of folds of the cross-fitting that intervals are calibrated on, at most the number of
            faces. Fewer are faster, but make intervals too wide.
        random_state: an integer, a RandomState, or None for NumPy's global one.

    Attributes:
        heads_: the fitted :class:`~arcage.heads.model.Heads`, without a gender head.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> AgeHead:
        """Fit the head.

        Args:
            X: shape (n, dimension): descriptors, converted to float32.
            y: shape (n,): years, 0 or more; predictions are from 0 to 120.
            sample_weight: shape (n,): 0 or more; only ratios matter. A face with the weight 0 is left out.
                The interval is calibrated on the other faces with equal weights. None for equal weights.

        Raises:
            ValueError: an array or a parameter is invalid.
        """
        settings = self._settings()
        X, y = validate_data(self, X, y, dtype=np.float32, y_numeric=True, ensure_min_samples=2)
        if y.dtype.kind not in "fiu":
            raise ValueError(f"y has the data type {y.dtype}: give ages as numbers of years")
        X, y, weight = _weighted(X, y, sample_weight)
        if y.min() < 0:
            raise ValueError(f"y holds the age {y.min():g}: give years, 0 or more")
        self.heads_ = _fit(X, y.astype(np.float32), None, weight, settings)
        return self

    @classmethod
    def load(cls, folder: str | Path | None = None, *, fingerprint: str | None = None) -> Self:
        """Load the age head of a folder that :meth:`save` or ``arcage fit`` wrote.

        Args:
            folder: None for the bundled heads.
            fingerprint: of the pipeline whose descriptors will be predicted, as
                ``FaceEncoder(...).fingerprint``; None to skip the check.

        Raises:
            HeadsError: there are no heads with an age head, they are damaged, or they belong to another
                pipeline.
        """
        head = cls._loaded(folder, fingerprint)
        if head.heads_.age is None:
            raise HeadsError(f"the heads in {folder} predict no age: load them as a GenderHead")
        head.heads_ = replace(head.heads_, gender=None)
        return head

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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GenderHead:
        """Fit the head.

        Args:
            X: shape (n, dimension): descriptors, converted to float32.
            y: shape (n,): two different labels.
            sample_weight: as for :meth:`AgeHead.fit`.

        Raises:
            ValueError: an array or a parameter is invalid.
        """
        settings = self._settings()
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
        check_classification_targets(y)
        X, y, weight = _weighted(X, y, sample_weight)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported: y has {len(self.classes_)} different labels"
            )
        if len(self.classes_) < 2:
            raise ValueError("GenderHead needs two labels, y has one class only")
        self.heads_ = _fit(X, None, index.astype(np.float32), weight, settings)
        return self

    def _saved_heads(self) -> Heads:
        heads = super()._saved_heads()
        if self.classes_.tolist() != [0, 1]:
            raise ValueError(
                f"heads are saved for the labels 0 (male) and 1 (female), not {self.classes_.tolist()}: fit "
                "the GenderHead on these"
            )
        return heads

    @classmethod
    def load(cls, folder: str | Path | None = None, *, fingerprint: str | None = None) -> Self:
        """Load the gender head of a folder, with the labels 0 (male) and 1 (female); see
        :meth:`AgeHead.load`."""
        head = cls._loaded(folder, fingerprint)
        if head.heads_.gender is None:
            raise HeadsError(f"the heads in {folder} predict no gender: load them as an AgeHead")
        head.heads_ = replace(head.heads_, age=None)
        head.classes_ = np.array([0, 1])
        return head

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


def _weighted(X: F32, y: Array, sample_weight: Any) -> tuple[F32, Array, F32 | None]:
    """Return the faces that have a weight above 0, with their labels and weights.

    For fit_heads, a weight of 0 keeps the face in the calibration; for scikit-learn, it removes the face.
    """
    if sample_weight is None:
        return X, y, None
    weight = _check_sample_weight(sample_weight, X, dtype=np.float32, ensure_non_negative=True)
    rows = np.flatnonzero(weight)
    if len(rows) < 2:
        raise ValueError(f"sample_weight is above 0 for {counted(len(rows), 'face')}; at least 2 are needed")
    return X[rows], y[rows], weight[rows]


def _fit(X: F32, age: F32 | None, gender: F32 | None, weight: F32 | None, settings: Settings) -> Heads:
    unknown = Labels.empty(len(X))
    labels = Labels(unknown.age if age is None else age, unknown.gender if gender is None else gender)
    settings = replace(settings, folds=min(settings.folds, len(X)))
    try:
        heads = fit_heads(X, labels, fingerprint="", settings=settings, weight=weight, min_faces=2).heads
    except UsageError as error:
        raise ValueError(str(error)) from error
    training = {
        "labels": FROM_ARRAYS,
        "faces": len(X),
        "variants": 0,
        "ages": None if age is None else [float(age.min()), float(age.max())],
        "held_out": 0,
        "held_out_share": 0.0,
        "split": False,
    }
    return replace(heads, manifest={**heads.manifest, "training": training})


def _together(parts: list[Heads]) -> Heads:
    """Return heads for all attributes of some heads."""
    heads = parts[0]
    for other in parts[1:]:
        if (heads.age is None) == (other.age is None):
            raise ValueError("other is a head of the same attribute")
        if heads.dimension != other.dimension:
            raise ValueError(
                f"the heads are for descriptors of {heads.dimension:,} and of {other.dimension:,} columns, "
                "from different pipelines"
            )
        heads = replace(heads, gender=other.gender)
    return heads
