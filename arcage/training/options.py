"""Options of a fit, an adaptation or a calibration: everything except the faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from arcage.cache import CacheTable
from arcage.data.labelled import LabelledFaces
from arcage.data.sampling import Sampling
from arcage.heads.model import Heads
from arcage.heads.settings import Settings

if TYPE_CHECKING:
    from arcage.embedder.packs.record import Pack


@dataclass(frozen=True, slots=True, eq=False)
class FitOptions:
    """Options of a fit."""

    pack: Pack
    """The model pack of the descriptors."""
    fingerprint: str
    """Of the pipeline of the descriptors."""
    labels: str
    """Names of the label sets; see :func:`arcage.training.manifest.join_label_names`."""
    out: Path
    """The folder to write the heads and their model card to."""
    settings: Settings = field(default_factory=Settings)
    holdout: float = 0.0
    """Share of the faces to hold out, in addition to those that the labels hold out; see
    :meth:`~arcage.data.labelled.LabelledFaces.held_out`."""
    variants: Sequence[CacheTable] = ()
    """Descriptors of degraded variants of the same images, which are fitted on as well."""
    sampling: Sampling = field(default_factory=Sampling)
    """Selection and weights of the training faces. Each of its options is compared with a fit without it."""
    search_seconds: float = 0
    """Time budget of the search for settings; see :mod:`arcage.heads.search`. 0 for no search."""


@dataclass(frozen=True, slots=True, eq=False)
class AdaptOptions:
    """Options of an adaptation to a new source of faces."""

    base: Heads
    """The heads to adapt."""
    base_name: str
    """Their name in the model card."""
    pack: Pack
    labels: str
    out: Path
    holdout: float = 0.0
    """``pack`` to ``holdout`` as in :class:`FitOptions`."""
    reference: LabelledFaces | None = None
    """Faces of other sources to compare the heads on before and after, without fitting on them. Training
    faces of ``base`` and faces of the new source are excluded."""
    reference_labels: str = ""
    """Names of the label sets of the reference faces."""
    forget: float | None = None
    """See :func:`arcage.heads.adapt.adapt_heads`."""
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class CalibrateOptions:
    """Options of a calibration for a source of faces."""

    base: Heads
    """The heads to calibrate."""
    base_name: str
    """Their name in the model card."""
    labels: str
    out: Path
    """``labels`` and ``out`` as in :class:`FitOptions`."""
    seed: int = 0
