"""Requests of the commands on labelled faces: which faces, which heads, where the results go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from arcage.errors import UsageError
from arcage.files import check_exist
from arcage.heads.place import heads_path
from arcage.training.load import LabelledRequest, label_files

if TYPE_CHECKING:
    from arcage.data.sampling import Balance
    from arcage.heads.settings import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest(LabelledRequest):
    """Labelled faces, and the heads to fit on them."""

    out: Path
    """Folder for the heads."""
    kind: Kind = "boosted"
    base: str | None = None
    """Heads to adapt instead of fitting new ones, as for :func:`arcage.heads.store.named_heads`."""
    reference: tuple[Path, str] | None = None
    """A cache and labels of other faces, on which the adapted heads are evaluated too."""
    forget: float | None = None
    """Years by which ages of the old faces may change; see :func:`arcage.heads.adapt.adapt_heads`."""
    only: Literal["age", "gender"] | None = None
    """Fit for one attribute."""
    holdout: float = 0.0
    """Share of the faces to hold out, 0 to 0.9."""
    augment: int = 0
    """Number of degraded variants of each face to fit on as well."""
    ages: str | None = None
    """A range, such as ``0-90``; other faces are left out."""
    per_age: int | None = None
    balance: Balance | None = None
    """See :class:`arcage.data.sampling.Sampling`."""
    search: float | None = None
    """Minutes to search for better settings first."""
    seed: int = 0
    overwrite: bool = False
    """Replace files that arcage did not write."""

    def check(self) -> None:
        """Check the options and paths, before any work is done.

        Raises:
            UsageError: options contradict each other or have no valid value, or a path does not exist.
        """
        if self.search is not None and not 0 < self.search < math.inf:
            raise UsageError(f"`search` {self.search:g} is not a time: give the minutes, more than 0")
        settings = (self.kind != "boosted", self.augment, self.search, self.ages, self.per_age, self.balance)
        if self.base is not None and any(settings):
            raise UsageError(
                "`base` keeps the heads and their settings: leave out `kind`, `augment`, `search`, `ages`, "
                "`per_age` and `balance`"
            )
        for name, given in (("`reference`", self.reference), ("`forget`", self.forget)):
            if given is not None and self.base is None:
                raise UsageError(f"{name} is for heads that are adapted: say with `base` which")
        check_exist(self.paths())
        if self.forget is not None and not 0 < self.forget < math.inf:
            raise UsageError(f"`forget` {self.forget:g} is not a number of years: give more than 0")

    def paths(self) -> dict[str, Sequence[str | Path | None]]:
        """Return the paths that must exist."""
        others: list[str | Path | None] = (
            [] if self.reference is None else [self.reference[0], *label_files([self.reference[1]])]
        )
        return {**LabelledRequest.paths(self), "base": [heads_path(self.base)], "reference": others}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest(LabelledRequest):
    """Labelled faces, the heads to evaluate on them, and a place for the results."""

    heads: str | Path | None = None
    """The heads, as for :func:`arcage.heads.store.load_heads`; None for the bundled ones."""
    holdout: float = 0.0
    """As for the fit of the heads."""
    out: Path | None = None
    """JSON file for the metrics."""
    report: Path | None = None
    """Folder for a page with plots."""
    images: Sequence[Path] = ()
    """Folders of the images, for the thumbnails of the page."""
    overwrite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateRequest(LabelledRequest):
    """Labelled faces of a source, and the heads to calibrate on them."""

    out: Path
    """Folder for the calibrated heads."""
    heads: str | Path | None = None
    """The heads, as for :func:`arcage.heads.store.load_heads`; None for the bundled ones."""
    seed: int = 0
    overwrite: bool = False
    """Replace files that arcage did not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest(LabelledRequest):
    """Labelled faces, and two heads to compare on them."""

    heads_a: str
    heads_b: str
    """As for :func:`arcage.heads.store.named_heads`."""
    holdout: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeRequest(LabelledRequest):
    """Labelled faces to describe, and a place for the report."""

    report: Path | None = None
    """Folder for a page with plots."""
    images: Sequence[Path] = ()
    """Folders of the images, for the thumbnails of the page."""
    overwrite: bool = False
