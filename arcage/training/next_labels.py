"""Choose the faces of caches to label next, and write them as a sheet to fill in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arcage.audit.next_faces import choose_faces, compared_axes
from arcage.audit.records import names_by_hash
from arcage.cache import Cache, CacheTable, Names, join_names, join_tables
from arcage.embedder import extractor as embedder
from arcage.errors import UsageError
from arcage.files import check_exist, check_replaceable
from arcage.heads.model import Heads, Predictions
from arcage.heads.place import heads_path
from arcage.heads.store import load_heads
from arcage.report.label_sheet import check_page_file, check_sheet_file, make_sheet, write_page, write_sheet
from arcage.text import counted
from arcage.training.load import LabelledRequest, Say, load_labelled
from arcage.types import F32, Array

CANDIDATES, LABELLED, REFERENCE = 4000, 4000, 1000
"""Maximum numbers of faces without a label (in addition to those that are chosen), of faces with one, and of
faces whose predictions are to improve. They are drawn at random if there are more."""
MOST = 5000
"""Maximum number of faces to choose at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRequest(LabelledRequest):
    """Caches whose faces are to be labelled, and labels so far; ``labels`` may be empty."""

    out: Path
    """CSV file for the sheet."""
    number: int = 200
    """Number of faces to choose."""
    heads: str | Path | None = None
    """Heads that tell how uncertain the faces are, as for :func:`arcage.heads.store.load_heads`; None for the
    bundled ones, if they fit the pack."""
    page: Path | None = None
    """HTML file for the sheet with thumbnails."""
    images: Sequence[Path] = ()
    """Folders that were extracted, for the thumbnails."""
    overwrite: bool = False
    """Replace files that arcage did not write."""

    def check(self) -> None:
        """Check the options, paths and outputs, before any work is done.

        Raises:
            UsageError: options contradict each other, a path does not exist, or an output has labels.
            ForeignFileError: an output would replace a file that arcage did not write.
        """
        if not 1 <= self.number <= MOST:
            raise UsageError(f"`number` {self.number} is not a number of faces from 1 to {MOST:,}")
        if bool(self.page) != bool(self.images):
            raise UsageError(
                "`page` shows thumbnails, which are read from `images`, the folder that was extracted: give "
                "both"
            )
        check_exist({**self.paths(), "heads": [heads_path(self.heads)]})
        check_replaceable(self.out, check_sheet_file, overwrite=self.overwrite)
        if self.page is not None:
            check_replaceable(self.page, check_page_file, overwrite=self.overwrite)
        for place in self.images:
            if not os.path.isdir(place):
                raise UsageError(f"`images` {place} is not a folder: name the one that was extracted")


def next_labels(
    request: NextRequest, *, report: Say = lambda _: None, warn: Say = lambda _: None
) -> tuple[str, ...]:
    """Choose faces to label, and write the sheet and the page.

    Args:
        request: the caches, the labels so far, and the outputs.
        report: called with messages about the labels.
        warn: called with damaged parts of the caches.

    Returns:
        What was written, and what to do with it.

    Raises:
        UsageError: the request is invalid, or all faces have a label.
        ForeignFileError: an output would replace a file that arcage did not write.
        CacheError, HeadsError, OutputError: a cache, the heads or an output cannot be read or written.
    """
    request.check()
    extractor = embedder.Extractor(request.pack)
    heads = _heads(request.heads, extractor)
    table, labelled, names = _faces(request, extractor, report, warn)
    with_face = np.flatnonzero(table.face >= 0)
    unlabelled = np.setdiff1d(with_face, labelled)
    if not len(unlabelled):
        raise UsageError(
            "every face of the cache has a label: extract more images"
            if len(with_face)
            else "there is no face in the cache: extract other images"
        )
    rng = np.random.default_rng(0)  # the same faces and labels give the same sheet
    candidates = _sample(unlabelled, CANDIDATES + request.number, rng)
    reference = table.descriptors(_sample(with_face, REFERENCE, rng), dtype=np.float32)

    def axes(rows: Array) -> F32:
        return compared_axes(heads, table.descriptors(rows, dtype=np.float32), reference)

    rows = candidates[
        choose_faces(
            axes(candidates),
            axes(_sample(labelled, LABELLED, rng)),
            compared_axes(heads, reference, reference),
            request.number,
        )
    ]
    x = table.descriptors(rows, dtype=np.float32)
    predictions = Predictions.empty(len(x)) if heads is None else heads.predict(x)
    sheet = make_sheet(table, rows, predictions, names_by_hash(names, sorted(set(table.sha256(rows)))))
    write_sheet(request.out, sheet)
    lines = [
        f"{request.out}: {len(rows):,} of {counted(len(unlabelled), 'face')} without a label; fill in age "
        "and gender, and give the file to `arcage fit` as `labels`"
    ]
    if any(not face["names"] for face in sheet.faces):
        lines.append(
            "the cache keeps no file names of some images, so their sha256 is the path in the sheet; `arcage "
            "extract` on the same images with this cache adds the names"
        )
    if request.page is not None:
        missing = write_page(request.page, sheet, request.images, request.out.name)
        lines.append(f"{request.page}: the same sheet with thumbnails, to fill in with a browser")
        if missing:
            lines.append(
                f"thumbnails missing: {missing:,}; `images` must be the folder that was extracted, with its "
                "files unchanged, and the cache must have their names"
            )
    return tuple(lines)


def _heads(name: str | Path | None, extractor: embedder.Extractor) -> Heads | None:
    """Return the heads; None if only the bundled ones are left, and they are for another pack."""
    heads = load_heads(name)
    if name is None and heads.fingerprint != extractor.fingerprint:
        return None
    heads.check(extractor.fingerprint, extractor.pack.name)
    return heads


def _faces(
    request: NextRequest, extractor: embedder.Extractor, report: Say, warn: Say
) -> tuple[CacheTable, Array, Names]:
    """Return the faces of the caches, the rows of those with a label, and the file names."""
    if request.labels:
        labelled = load_labelled(request, extractor, report=report, warn=warn)
        return labelled.faces.table, labelled.faces.rows, labelled.names()
    caches = [
        Cache(folder, extractor.fingerprint, pipeline=extractor.description)
        for folder in dict.fromkeys(request.caches)
    ]
    try:
        table, names = (
            join_tables([cache.table() for cache in caches]),
            join_names([cache.names() for cache in caches]),
        )
    finally:
        for cache in caches:
            for remark in cache.remarks():
                warn(remark)
    return table, np.empty(0, np.int64), names


def _sample(rows: Array, number: int, rng: np.random.Generator) -> Array:
    return rows if len(rows) <= number else np.sort(rng.choice(rows, number, replace=False))
