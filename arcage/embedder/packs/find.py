"""Find a model pack by its name or folder."""

from __future__ import annotations

import os

from arcage.embedder.packs.insightface import find_insightface, insightface_home, pack_folder
from arcage.embedder.packs.record import DEFAULT, RECORD, Pack, bundled, read_pack
from arcage.errors import UsageError


def find_pack(name: str) -> Pack:
    """A pack by name or folder: the bundled one, a folder with a ``pack.json``, or an InsightFace pack.

    Raises:
        UsageError: there is no such pack.
        ModelError: the folder holds no usable pack.
    """
    if name == DEFAULT:
        return bundled()
    pack = recorded_pack(name) or find_insightface(name)
    if pack is None:
        raise unknown_pack(name)
    return pack


def recorded_pack(name: str) -> Pack | None:
    """A pack that is described by the ``pack.json`` in its folder; None where there is none.

    Raises:
        ModelError: the record is damaged.
    """
    folder = pack_folder(name)
    return read_pack(folder) if folder is not None and os.path.isfile(folder / RECORD) else None


def unknown_pack(name: str) -> UsageError:
    """There is no such pack: where it was looked for, and what to do."""
    home = insightface_home()
    place = (
        f"in {home}"
        if home is not None
        else "(no home folder: set INSIGHTFACE_HOME to the folder of the packs)"
    )
    return UsageError(
        f"no model pack {name!r}: neither the bundled {DEFAULT!r}, nor a folder, nor an InsightFace "
        f"pack {place}; `arcage models list` shows what is there and what can be fetched"
    )
