"""File names of cached images, stored separately from the shards.

Labels are found by file name, so a cache stores the names that an image had. A name can reveal who is in a
photo. The names are in a separate folder, which can be deleted or left out when a cache is passed on.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arcage._version import NAMES_SCHEMA
from arcage.cache.arrow import Kind, keys_to_arrow, printable, read_columns, to_parquet
from arcage.cache.keys import Keys, find, to_hex
from arcage.cache.marker import MarkerForm
from arcage.cache.parts import Damaged, DamageError, PartFolder, sync_folder
from arcage.files import DAY
from arcage.types import Array

FOLDER = "names"

_FORM = MarkerForm(("parquet",), {"schema": NAMES_SCHEMA}, ("rows",))
_COLUMNS: Mapping[str, Kind] = {"name": "text", "sha256": "key"}


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Pairs of a file name and an image, each once, sorted by name and then by image."""

    names: Array
    """Shape (n,), str objects: POSIX paths relative to the folder that was read."""
    keys: Keys
    """Shape (n,), dtype S32: the image's sha256. ``CacheTable.find(names.keys)`` gives its row."""

    def __len__(self) -> int:
        return len(self.keys)

    def sha256(self) -> list[str]:
        """Return the hashes of the images, 64 hexadecimal digits each."""
        return to_hex(self.keys)


def join_names(every: Sequence[Names]) -> Names:
    """Join the names of several caches, each pair once."""
    if len(every) == 1:
        return every[0]
    return _sorted(
        np.concatenate([np.empty(0, object), *(one.names for one in every)]),
        np.concatenate([np.empty(0, "S32"), *(one.keys for one in every)]),
    )


class NameLog:
    """The names under ``DIR/names``, in append-only parts like the shards. Threads may share it."""

    def __init__(self, directory: Path) -> None:
        self._folder = PartFolder(directory / FOLDER, _FORM)
        self._lock = threading.Lock()
        self._known: Array | None = None
        self._unreadable: dict[str, Damaged] = {}

    def append(self, names: Sequence[str], keys: Keys) -> int:
        """Write the pairs that are not stored yet as one part, and return their number. Raises OSError."""
        with self._lock:
            if self._known is None:
                self._known = np.unique(_pairs(*self._columns()))
            texts = np.array([printable(name) for name in names], dtype=object)
            pairs, rows = np.unique(_pairs(texts, keys), return_index=True)
            new = find(self._known, pairs) < 0
            if not new.any():
                return 0
            rows = np.sort(rows[new])
            self._write(texts[rows], keys[rows])
            self._known = np.insert(self._known, np.searchsorted(self._known, pairs[new]), pairs[new])
            return len(rows)

    def read(self) -> Names:
        """Read every pair once, including those of other writers. Raises CacheError."""
        return _sorted(*self._columns())

    def damaged(self) -> tuple[Damaged, ...]:
        """Return parts that are marked as done and cannot be used."""
        return self._folder.scan()[1] + tuple(self._unreadable.values())

    def verify(self) -> tuple[Damaged, ...]:
        """See :meth:`arcage.cache.Cache.verify`."""
        parts, damaged = self._folder.scan()
        self._columns()
        found = (self._folder.verify(part) or self._unreadable.get(part.name) for part in parts)
        return damaged + tuple(bad for bad in found if bad)

    def unfinished(self) -> list[Path]:
        """See :meth:`arcage.cache.Cache.unfinished`."""
        return self._folder.unfinished()

    def unmarked(self) -> list[Path]:
        """See :meth:`arcage.cache.parts.PartFolder.unmarked`."""
        return self._folder.unmarked()

    def clean(self, older_than: float = DAY) -> list[Path]:
        """See :meth:`arcage.cache.Cache.clean`."""
        return self._folder.clean(older_than)

    def _write(self, texts: Array, keys: Keys) -> None:
        import pyarrow as pa

        if not self._folder.path.exists():
            self._folder.path.mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder.path.parent)
        table = pa.table({"name": pa.array(texts, pa.string()), "sha256": keys_to_arrow(keys)})
        self._folder.write({"parquet": (to_parquet(table),)}, {"rows": len(keys)})

    def _columns(self) -> tuple[Array, Keys]:
        self._unreadable = {}
        texts, keys = [np.empty(0, object)], [np.empty(0, "S32")]
        for part in self._folder.scan()[0]:
            try:
                columns = read_columns(part, _COLUMNS)
            except DamageError as error:
                self._unreadable[part.name] = part.damaged(str(error))
                continue
            texts.append(columns["name"])
            keys.append(columns["sha256"])
        return np.concatenate(texts), np.concatenate(keys)


def _sorted(texts: Array, keys: Keys) -> Names:
    order = np.lexsort((keys, texts))
    texts, keys = texts[order], keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (keys[1:] != keys[:-1]) | (texts[1:] != texts[:-1])
    return Names(texts[new], keys[new])


def _pairs(texts: Array, keys: Keys) -> Array:
    """Return a digest for each pair, shape (n,), dtype S16. A million digests take 16 MB; the names would
    take 100 MB."""
    raw = keys.tobytes()
    digests = [
        hashlib.blake2b(raw[32 * row : 32 * row + 32] + text.encode(), digest_size=16).digest()
        for row, text in enumerate(texts)
    ]
    return np.frombuffer(b"".join(digests), dtype="S16")
