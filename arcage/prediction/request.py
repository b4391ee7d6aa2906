"""The request of a prediction run: inputs, outputs and settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from arcage.errors import UsageError
from arcage.extraction.inputs import named_images
from arcage.images.limits import DEFAULT_LIMITS, DecodeLimits
from arcage.output.registry import FormatName
from arcage.output.rows import under_column
from arcage.sources.inputs import Inputs

if TYPE_CHECKING:
    from arcage.output.selection import Faces


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """The images to predict, the results to write, and the settings of the predictor."""

    inputs: Inputs
    webcam: int | None = None
    """Number of a camera to predict instead of ``inputs``."""
    out: Path | None = None
    """File for the rows; None for standard output."""
    format: FormatName | None = None
    """Format of the rows; by default that of the suffix of ``out``, a table on a terminal, or CSV."""
    annotate: Path | None = None
    """Folder for pictures and videos with boxes and labels."""
    report: Path | None = None
    """File for a page with all faces."""
    frames: Path | None = None
    """File for the rows of the frames of videos."""
    rate: float = 5
    """Frames per second of videos and cameras to process."""
    overwrite: bool = False
    """Replace files that arcage did not write."""

    # See arcage.Predictor.
    pack: str = "compact"
    device: str = "auto"
    """As for :class:`arcage.Predictor`, or ``cuda:all`` for all GPUs."""
    workers: int | None = None
    """Number of worker processes for many images, 1 for none; None for the default of the device."""
    heads: str | Path | None = None
    cache: Path | None = None
    faces: Faces = "all"
    min_score: float = 0.0
    min_face: int = 40
    max_width: float = math.inf
    min_confidence: float = 0.5
    min_familiarity: float = 0
    interval: float = 90
    under: Sequence[int] = ()
    limits: DecodeLimits = DEFAULT_LIMITS

    @property
    def more(self) -> tuple[str, ...]:
        """The names of the additional columns."""
        return tuple(map(under_column, self.under))


def images_or_webcam(
    paths: list[str] | None,
    from_file: str | None,
    shard: str | None,
    webcam: int | None,
    *,
    boxes: Path | None = None,
    aligned: bool = False,
) -> Inputs:
    """Return the named images, as :func:`arcage.extraction.inputs.named_images`, or a placeholder for a
    camera.

    Raises:
        UsageError: both images and a camera are named.
    """
    if webcam is None:
        return named_images(paths, from_file, shard, boxes=boxes, aligned=aligned)
    if paths or from_file or shard:
        raise UsageError("`webcam` cannot be combined with paths: run arcage separately for them")
    if boxes is not None or aligned:
        raise UsageError("the faces of a `webcam` are detected: leave out `boxes` and `aligned`")
    return Inputs((f"webcam-{webcam}",))
