"""``--pack``: a name or a folder -> a model pack."""

from __future__ import annotations

from arcage.embedder.insightface import find_insightface, insightface_home
from arcage.embedder.packs import DEFAULT, Pack, bundled
from arcage.errors import UsageError


def find_pack(name: str) -> Pack:
    """A pack by name or folder: the bundled one, an InsightFace pack on disk, or a folder.

    Raises:
        UsageError: there is no such pack.
        ModelError: the folder holds no usable pack.
    """
    if name == DEFAULT:
        return bundled()
    pack = find_insightface(name)
    if pack is None:
        raise unknown_pack(name)
    return pack


def unknown_pack(name: str) -> UsageError:
    """There is no such pack: where it was looked for, and what to do."""
    return UsageError(
        f"no model pack {name!r}: neither the bundled {DEFAULT!r}, nor a folder, nor an InsightFace "
        f"pack in {insightface_home()}; `arcage models list` shows what is there and what can be fetched"
    )
