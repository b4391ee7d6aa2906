"""Check the folder that heads are written to."""

from __future__ import annotations

import os
from pathlib import Path

from arcage.errors import ForeignFileError, HeadsError
from arcage.files import refuse_foreign
from arcage.heads.packed import ARRAYS, CARD, IMAGES, MANIFEST
from arcage.heads.search import TRIALS
from arcage.heads.store import MANIFEST_MARK
from arcage.report.boosting_curves import EVENTS, JSON, PNG


def check_heads_folder(folder: Path) -> None:
    """Check whether heads may be written to a folder: it is empty, or has heads.

    Raises:
        ForeignFileError: the folder has other files.
    """
    if not os.path.isdir(folder):
        return
    refuse_foreign(MANIFEST_MARK, folder / MANIFEST)
    refuse_foreign(rb"\A# Model card: age and gender heads\r?\n", folder / CARD)
    refuse_foreign(rb'\A\{"curves": \[', folder / JSON)
    # An interrupted fit may have left files without a manifest.
    ours = {
        MANIFEST,
        ARRAYS,
        CARD,
        IMAGES,
        TRIALS,
        JSON,
        PNG,
        EVENTS,
    }
    if not os.path.exists(folder / MANIFEST) and any(
        path.name not in ours and not path.name.startswith(".") for path in folder.iterdir()
    ):
        raise ForeignFileError(folder)


def check_writable(folder: Path) -> None:
    """Check before a fit, which takes minutes, whether its heads can be written to a folder.

    Raises:
        HeadsError: the folder cannot be created, or is read-only.
    """
    existing = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p) or not p.name)
    if not os.path.isdir(existing):
        raise HeadsError(f"cannot write heads to {folder}: {existing} is not a folder; choose another `out`")
    if not os.access(existing, os.W_OK):
        raise HeadsError(f"cannot write heads to {folder}: {existing} is read-only; choose another `out`")
