"""Check the requirements of a report before minutes are spent on its numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from arcage.errors import UsageError
from arcage.files import check_replaceable, make_folder
from arcage.report.plots import check_matplotlib


def check_report(
    folder: Path | None, images: Sequence[Path], check: Callable[[Path], None], *, overwrite: bool
) -> None:
    """Check that a report can be written, and create its folder.

    Args:
        folder: of the report; None for no report.
        images: the folders that were extracted, for thumbnails.
        check: :func:`arcage.report.evaluation_report.check_report_files`, or that of another report.
        overwrite: replace files that arcage did not write.

    Raises:
        UsageError: there are images without a report, or one of them is not a folder.
        ForeignFileError: the report would replace a file that arcage did not write.
        OutputError: ``folder`` cannot be created.
        ArcageError: matplotlib is missing.
    """
    if folder is None:
        if images:
            raise UsageError("`images` is for the report's thumbnails: say with `report` DIR where it goes")
        return
    check_replaceable(folder, check, overwrite=overwrite)
    prepare(folder, images)


def missing_thumbnails(faces: Sequence[Mapping[str, Any]], images: Sequence[Path]) -> str:
    """Return a message if images of a report's faces are missing in ``images``; otherwise empty.

    Args:
        faces: with ``sha256`` and ``thumbnail``, as the functions that write reports return them.
        images: the folders that were extracted; no message without any.
    """
    missing = len({face["sha256"] for face in faces if not face["thumbnail"]})
    if not images or not missing:
        return ""
    return (
        f"thumbnails missing: {missing}; `images` must be the folder that was extracted, with its files "
        "unchanged, and the cache must have their names"
    )


def prepare(folder: Path, images: Sequence[Path] = ()) -> None:
    """Check the requirements of a report, and create its folder.

    Args:
        folder: of the report.
        images: the folders that were extracted, for thumbnails.

    Raises:
        UsageError: one of ``images`` is not a folder.
        OutputError: ``folder`` cannot be created.
        ArcageError: matplotlib is missing.
    """
    check_matplotlib()
    for place in images:
        if not os.path.isdir(place):
            raise UsageError(f"`images` {place} is not a folder: name the one that was extracted")
    make_folder(folder)
