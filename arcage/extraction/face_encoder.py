"""Images to descriptors, as a scikit-learn transformer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from arcage.embedder.detect import DEFAULT_MIN_FACE
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import BUNDLED_NAME
from arcage.errors import InputError, NoFaceError
from arcage.extraction.run import check_names, extract_images, open_cache
from arcage.output.selection import Selection
from arcage.sources.given import GivenImage, sources_of
from arcage.sources.read_ahead import ReadAhead
from arcage.types import F32, ImageFaces

Face = Literal["largest", "center"]
Missing = Literal["error", "nan"]
SHOWN = 5
"""Maximum number of images in a message."""


class FaceEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transforms images into the descriptors of their faces: one image, one row.

    It has nothing to fit. The networks are loaded for the first image that is not in the cache, and all
    encoders of a process with the same pack, device and minimum face share them.

    Args:
        pack, device, min_score, min_face, cache: as for :class:`arcage.Predictor`. With a cache, an image is
            computed once, and not again for each fold and candidate of a search.
        faces: which face of an image: ``largest`` or ``center``.
        missing: what to do with an image without a face, or that cannot be read: ``error``, or ``nan`` for a
            row of NaN.
    """

    # Each is an option, and scikit-learn wants them one by one.
    def __init__(
        self,
        pack: str | os.PathLike[str] = BUNDLED_NAME,
        device: str = "auto",
        *,
        faces: Face = "largest",
        missing: Missing = "error",
        cache: str | os.PathLike[str] | None = None,
        min_score: float = 0.0,
        min_face: int = DEFAULT_MIN_FACE,
    ) -> None:
        self.pack = pack
        self.device = device
        self.faces = faces
        self.missing = missing
        self.cache = cache
        self.min_score = min_score
        self.min_face = min_face

    @property
    def fingerprint(self) -> str:
        """The pipeline of the descriptors, as heads and caches name it."""
        return self._extractor().fingerprint

    @property
    def _n_features_out(self) -> int:
        return self._extractor().dimension

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the parameters.

        Raises:
            UsageError: a parameter is invalid, or there is no such pack.
            ModelError: the pack is incomplete.
        """
        self._selection()
        self._extractor()
        return self

    def transform(self, X: Any) -> F32:
        """Return the descriptors.

        Args:
            X: n images, each as for :meth:`arcage.Predictor.predict`: a list, a Series or a table with one
                column, or an array of shape (n,), (n, 1) or (n, height, width, 3).

        Returns:
            Shape (n, dimension), float32; a table after ``set_output``.

        Raises:
            NoFaceError: images have no face or cannot be read, and ``missing`` is ``error``. Those that were
                computed are in the cache.
            InputError: ``X`` is not a list of images.
            UsageError, ModelError, DeviceError, CacheError: as for :class:`arcage.Predictor`.
        """
        selection, extractor = self._selection(), self._extractor()
        images = _images(X)
        cache = open_cache(Path(self.cache), extractor) if self.cache is not None else None
        out = np.full((len(images), extractor.dimension), np.nan, np.float32)
        lacking: list[str] = []
        with (
            ReadAhead(sources_of(images, extractor.limits)) as ahead,
            closing(extract_images(ahead, extractor, cache)) as results,
        ):
            for row, result in enumerate(results):
                chosen = selection.chosen(result.image)
                if chosen:
                    out[row] = result.image.descriptors[chosen[0]]
                else:
                    lacking.append(f"image {row} ({result.source.path}): {_reason(result.image)}")
        if lacking and self.missing == "error":
            raise NoFaceError(_message(lacking, len(images)))
        return out

    def _selection(self) -> Selection:
        if self.faces not in get_args(Face):
            raise InputError(f"faces is one of {', '.join(get_args(Face))}, not {self.faces!r}")
        if self.missing not in get_args(Missing):
            raise InputError(f"missing is one of {', '.join(get_args(Missing))}, not {self.missing!r}")
        return Selection(faces=self.faces, min_score=self.min_score)

    def _extractor(self) -> Extractor:
        check_names(self.pack, self.device, cache=self.cache)
        return _shared_extractor(os.fspath(self.pack), self.device, self.min_face)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


@lru_cache(2)
def _shared_extractor(pack: str, device: str, min_face: int) -> Extractor:
    return Extractor(pack, device, min_face=min_face)


def _images(X: Any) -> Sequence[GivenImage]:
    """Return the images as a list.

    Raises:
        InputError: it is a single image, or has more than one column.
    """
    if isinstance(X, np.ndarray) or hasattr(X, "iloc") or hasattr(X, "to_numpy"):
        X = np.asarray(X)
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.ndim not in (1, 4):
            raise InputError(
                f"X has the shape {X.shape}: give a list of images, one column of paths, or pictures of the "
                "shape (n, height, width, 3)"
            )
        return list(X)
    try:
        sources_of(X)
    except InputError:
        words = f"X is not a list of images but a {type(X).__name__}; give a list for a single image too"
        raise InputError(words) from None
    return list(X)


def _reason(image: ImageFaces) -> str:
    if image.status == "unreadable":
        return image.error
    return "no face with this min_score" if image.faces else "no face"


def _message(lacking: Sequence[str], count: int) -> str:
    shown = [text[:300] for text in lacking[:SHOWN]]
    if len(lacking) > SHOWN:
        shown.append(f"and {len(lacking) - SHOWN:,} more")
    return (
        f"{len(lacking):,} of {count:,} images have no descriptor: {'; '.join(shown)}. Leave them out, or "
        "set `missing` to nan"
    )
