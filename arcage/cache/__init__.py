"""Descriptors as arrays on disk: content-addressed, append-only shards.

``DIR/<fingerprint>/`` holds ``pipeline.json`` (what made the descriptors) and shards of three files each:
``.npy`` (float16 descriptors), ``.parquet`` (a row per face, or one for an image without a face) and
``.done``, the marker that is written last. ``DIR/names/`` holds file names, apart from the shards, so that
descriptors can be passed on without them.

An image is known by the sha256 of its bytes, never by its path. Writers need no lock: each shard has a name
of its own and is never touched again, and of an image that two writers wrote readers keep the copy in the
shard whose name comes first.
"""

from __future__ import annotations

from arcage.cache.keys import Keys, to_hex, to_keys
from arcage.cache.names import Names, join_names
from arcage.cache.parts import Damaged
from arcage.cache.store import Cache
from arcage.cache.table import CacheTable, join_tables
from arcage.cache.writer import ShardWriter

__all__ = [
    "Cache",
    "CacheTable",
    "Damaged",
    "Keys",
    "Names",
    "ShardWriter",
    "join_names",
    "join_tables",
    "to_hex",
    "to_keys",
]
