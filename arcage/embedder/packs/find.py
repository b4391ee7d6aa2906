"""Find a model pack by name or folder."""

from __future__ import annotations

import os

from arcage.embedder.packs.insightface import find_insightface, insightface_home, pack_folder
from arcage.embedder.packs.record import BUNDLED_NAME, RECORD_FILE, Pack, bundled_pack, read_pack
from arcage.errors import UsageError


def find_pack(name: str) -> Pack:
    """Return the bundled pack, the pack of a folder with a ``pack.json``, or an InsightFace pack.

    Raises:
        UsageError: there is no such pack.
        ModelError: the folder contains no usable pack.
    """
    if name == BUNDLED_NAME:
        return bundled_pack()
    pack = recorded_pack(name) or find_insightface(name)
    if pack is None:
        raise unknown_pack(name)
    return pack


def recorded_pack(name: str) -> Pack | None:
    """Return a pack whose folder has a ``pack.json``; None if there is none.

    Raises:
        ModelError: the record is damaged.
    """
    folder = pack_folder(name)
    return read_pack(folder) if folder is not None and os.path.isfile(folder / RECORD_FILE) else None


def unknown_pack(name: str) -> UsageError:
    """Return the error for a pack that does not exist: where arcage looked, and what to do."""
    home = insightface_home()
    place = (
        f"in {home}"
        if home is not None
        else "(no home folder: set INSIGHTFACE_HOME to the folder of the packs)"
    )
    return UsageError(
        f"no model pack {name!r}: neither the bundled {BUNDLED_NAME!r}, nor a folder, nor a "
        f"pack {place}; `arcage models list` shows the packs on this machine and those to download"
    )
