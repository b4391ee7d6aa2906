"""Descriptors as arrays on disk: content-addressed, append-only shards.

``DIR/<fingerprint>/`` contains ``pipeline.json`` (the pipeline that computed the descriptors) and shards of
three files each: ``.npy`` (float16 descriptors), ``.parquet`` (one row per face, or one for an image without
a face) and ``.done``, a marker that is written last. ``DIR/names/`` contains file names, separate from the
shards, so that descriptors can be passed on without them.

Images are identified by the sha256 of their bytes, never by their path. Writers need no lock: each shard has
a unique name and is never modified. If two writers store the same image, readers keep the copy from the
finest search, then the one in the shard whose name comes first.
"""

from __future__ import annotations

from arcage.cache.keys import Keys, to_hex, to_keys
from arcage.cache.names import Names, join_names
from arcage.cache.parts import Damaged, damage_texts
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
    "damage_texts",
    "join_names",
    "join_tables",
    "to_hex",
    "to_keys",
]
