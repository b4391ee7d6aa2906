"""Check the requirements of a report before minutes are spent on its numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from arcage.errors import UsageError
from arcage.files import make_folder
from arcage.report.plots import check_matplotlib


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
            raise UsageError(f"--images {place} is not a folder: name the one that was extracted")
    make_folder(folder)
