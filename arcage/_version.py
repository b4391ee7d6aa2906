"""The version of arcage, and of each format in which it stores data.

To change a stored format:

1. Raise its number here. Files carry the number of the code that wrote them.
2. Heads: keep reading the old layout, in :func:`arcage.heads.store.load_heads`. Heads are the result of a
   fit that its user may not be able to repeat. :data:`HEADS_READ` lists the numbers that are accepted.
   Caches: an old folder is refused with a message, because its images can be extracted again. To spare users
   that, keep a reader of the old shards in :mod:`arcage.cache.shard`.
3. Keep ``tests/stored``, which an earlier version wrote, and the tests that open it. Add a second folder,
   written by the last commit before the change, in the same way (``tests/stored/make.py``).
4. Describe the new layout in ``docs/internals/formats.md`` and name the change in ``CHANGELOG.md``.

JSON reports (``arcage evaluate``, ``arcage data describe``) and ``trials.jsonl`` carry no number: keys are
added to them, never renamed or removed.
"""

__version__ = "0.1.0"

PIPELINE_SCHEMA = 2
"""Version of what the pipeline computes: raised if the same networks give other descriptors for the same
image. It is part of the fingerprint, so new descriptors go to another folder of the cache, and heads have to
be fitted again. :mod:`arcage.embedder.extractor` records it. Variants have a number of their own,
:data:`arcage.embedder.degrade.RECIPE`."""

CACHE_SCHEMA = 1
"""Version of the shards and of ``pipeline.json``, written and read by :mod:`arcage.cache`."""

NAMES_SCHEMA = 1
"""Version of the file names beside the shards (:mod:`arcage.cache.names`)."""

HEADS_SCHEMA, ADAPTED_HEADS_SCHEMA = 4, 5
"""Versions of ``manifest.json`` and ``heads.npz``, for heads as fitted and for adapted ones, which readers of
version 4 must refuse (:mod:`arcage.heads.store`)."""

HEADS_READ = (2, 3, HEADS_SCHEMA, ADAPTED_HEADS_SCHEMA)
"""The versions of heads that are read. 2 and 3 have at most one kernel."""
