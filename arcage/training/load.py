"""Load the labelled faces that a user named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from arcage.cache import Cache, Names, join_names
from arcage.data.join import join_labelled
from arcage.data.label_source import pair_sources
from arcage.data.labelled import LabelledFaces
from arcage.data.tables import parse_columns
from arcage.embedder import extractor as embedder
from arcage.errors import UsageError
from arcage.text import counted, percent
from arcage.training.manifest import join_label_names
from arcage.types import FacesFrom

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRequest:
    """Caches, and labels of their images."""

    caches: Sequence[Path]
    """Folders; one for all labels, or one for each."""
    labels: Sequence[str]
    """Names of label formats, or paths of tables."""
    columns: Sequence[str] = ()
    """Names of a table's columns, such as ``age=Years``; one for all labels, or one for each."""
    pack: str = "compact"

    def paths(self) -> dict[str, Sequence[str | Path | None]]:
        """Return the paths that must exist, for :func:`arcage.files.check_exist`."""
        return {"cache": self.caches, "labels": label_files(self.labels)}


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled faces, and where they are from."""

    faces: LabelledFaces
    caches: tuple[Cache, ...]
    labels: str
    """Names of the labels, without folders."""
    extractor: embedder.Extractor
    """The pipeline of the descriptors."""
    split: bool = False
    """Whether only the faces are left that the labels hold out."""

    def names(self) -> Names:
        """Return the file names in the caches."""
        return join_names([cache.names() for cache in self.caches])


def label_files(labels: Iterable[str]) -> list[str]:
    """Return the labels that are files; the others are names, such as ``utkface``."""
    return [label for label in labels if Path(label).suffix or os.path.basename(label) != label]


def load_labelled(
    request: LabelledRequest,
    extractor: embedder.Extractor,
    *,
    report: Say = lambda _: None,
    warn: Say = lambda _: None,
) -> Labelled:
    """Find the labels of the faces in caches.

    Args:
        request: the caches and the labels.
        extractor: the pipeline whose descriptors are read. Those of own boxes or aligned crops are read from
            caches that have no others.
        report: called with the number of images, and with labels that are left out.
        warn: called with damaged parts of the caches, and those without a marker.

    Raises:
        UsageError: labels cannot be read, or fit no image.
        CacheError: a cache cannot be read.
    """
    caches = {folder: _open(folder, extractor) for folder in dict.fromkeys(request.caches)}
    columns = [parse_columns(one) for one in request.columns]
    try:
        faces = join_labelled(
            pair_sources([caches[folder] for folder in request.caches], request.labels, columns)
        )
    finally:
        for cache in caches.values():
            for remark in cache.remarks():
                warn(remark)
    for remark in faces.remarks():
        report(remark)
    report(f"images: {faces.counts}")
    return Labelled(faces, tuple(caches.values()), join_label_names(request.labels), extractor)


def faces_from(folder: Path, extractor: embedder.Extractor) -> FacesFrom:
    """Return which faces of a cache are read: detected ones, if it has any."""
    stored = set(Cache.fingerprints(folder))
    return next(
        (origin for origin in get_args(FacesFrom) if extractor.cache_name(origin) in stored), "detector"
    )


def _open(folder: Path, extractor: embedder.Extractor) -> Cache:
    origin = faces_from(folder, extractor)
    return Cache(folder, extractor.cache_name(origin), pipeline=extractor.description_of(origin))


def select_held_out(labelled: Labelled, share: float, report: Say = lambda _: None) -> Labelled:
    """Return the held-out faces; all faces if nothing is held out.

    Args:
        labelled: the faces.
        share: the share to hold out, 0 to 1, besides the faces that the labels hold out.
        report: called with the number of faces that the labels hold out.

    Raises:
        UsageError: no face is held out.
    """
    faces = labelled.faces
    if not (share or faces.has_split):
        return labelled
    held_out = faces.select(faces.held_out(share))
    if not len(held_out):
        raise UsageError(
            f"none of the labelled faces is among the {percent(share)} held out: increase `holdout`"
        )
    if faces.has_split:
        some = f"{len(held_out):,} of {counted(len(faces), 'face')}"
        report(f"{some} are held out by the split in the labels; only these are used")
    return replace(labelled, faces=held_out, split=faces.has_split)
