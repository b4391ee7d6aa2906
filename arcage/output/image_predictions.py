"""The predictions for one image: a list that can be drawn, tabulated, and shown in a notebook."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from arcage.errors import ArcageError, UsageError
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.sources.given import GivenImage, pixels_of, source_of
from arcage.sources.source import Source
from arcage.text import counted, shortened
from arcage.types import U8, Prediction, short_name, short_text

if TYPE_CHECKING:
    import pandas

_SHOWN = 3
"""Number of faces in the text form."""


class ImagePredictions(list[Prediction]):
    """The predictions for one image: a list with one row per face.

    An image without a face, or an unreadable one, has one row with its ``status``.

    Args:
        rows: the predictions.
        source: the image. If it is in memory, it is referred to weakly.
        limits: of decoding it again.
        more: names of the columns that were asked for in addition.
        interval: level of the interval, percent.
    """

    def __init__(
        self,
        rows: Iterable[Prediction] = (),
        source: Source | None = None,
        *,
        limits: DecodeLimits = DEFAULT_LIMITS,
        more: Sequence[str] = (),
        interval: float = 90,
    ) -> None:
        super().__init__(rows)
        # An image in memory is kept by others: many results would take much memory.
        self._source = weakref.ref(source) if source is not None and source.size else source
        self._limits = limits
        self._more = tuple(more)
        self._interval = interval

    def to_pandas(self) -> pandas.DataFrame:
        """Return a DataFrame with one row per face and the columns of ``arcage predict``.

        Its data types are the same for all images, see :func:`arcage.output.frame.to_frame`, which makes one
        frame of the predictions for many images.
        """
        from arcage.output.frame import to_frame

        return to_frame(self, self._more)

    def draw(self, image: GivenImage | None = None) -> U8:
        """Return a copy of the image with a box and a label around every face.

        Args:
            image: the image, as for :meth:`arcage.Predictor.predict`. By default, it is read again from its
                path or URL; images that were given as bytes, files or pixels stay in memory for a while: the
                latest 64 MB, until the Predictor is closed.

        Returns:
            Shape (height, width, 3), uint8, RGB. Small images, and images with many small faces, are
            enlarged.

        Raises:
            InputError: ``image`` is no image.
            ImageError: the image cannot be read.
            UsageError: it has another size than the one of the predictions, or is no longer in memory.
        """
        from arcage.output.annotate import draw

        source = self._image() if image is None else source_of(image, self._limits)
        if source is None:
            raise UsageError("the image of these predictions is not in memory: give it to `draw`")
        picture = pixels_of(source, self._limits)
        expected = {row.image_size for row in self if row.image_size is not None}
        size = picture.shape[1], picture.shape[0]
        if expected - {size}:
            wanted = "{} x {}".format(*(expected - {size}).pop())
            raise UsageError(f"an image of {size[0]} x {size[1]} pixels: the predictions are for {wanted}")
        return draw(picture, self)

    def __repr__(self) -> str:
        if not self:
            return "<no predictions>"
        texts = [short_text(row) for row in self]
        name = short_name(self[0].path)
        if self[0].face is not None:
            name = f"{counted(len(self), 'face')} in {name}"
        return f"<{name}: {shortened(texts, _SHOWN)}>"

    def _repr_html_(self) -> str:
        """Return the faces as a table with the picture, for notebooks."""
        from arcage.output.notebook import notebook_html

        source = self._image()
        picture = None
        if source is not None and any(row.status != "unreadable" for row in self):
            with suppress(ArcageError):  # the file or server is gone: the table is shown without it
                picture = pixels_of(source, self._limits)
        return notebook_html(self, picture, more=self._more, interval=self._interval)

    def __getstate__(self) -> dict[str, Any]:
        source = self._image()
        is_named = source is not None and not source.size and source.opener is None
        return {**self.__dict__, "_source": source if is_named else None}

    def _image(self) -> Source | None:
        source = self._source
        return source() if isinstance(source, weakref.ref) else source
