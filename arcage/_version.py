"""The version of arcage, and of each format in which it stores data.

``docs/internals/format-changes.md`` describes how a stored format is changed.
"""

__version__ = "0.1.0"

PIPELINE_SCHEMA = 4
"""Version of what the pipeline computes: raised if the same networks give other descriptors for the same
image. It is part of the fingerprint, so new descriptors go to another folder of the cache, and heads have to
be fitted again. :mod:`arcage.embedder.extractor` records it. Variants have a number of their own,
:data:`arcage.embedder.degrade.RECIPE`."""

CACHE_SCHEMA = 1
"""Version of the shards and of ``pipeline.json``, written and read by :mod:`arcage.cache`."""

NAMES_SCHEMA = 1
"""Version of the file names beside the shards (:mod:`arcage.cache.names`)."""

HEADS_SCHEMA, ADAPTED_HEADS_SCHEMA, DISTRIBUTION_SCHEMA = 4, 5, 6
"""Versions of ``manifest.json`` and ``heads.npz``: for heads as fitted; for adapted ones, which readers of
version 4 must refuse; and for those with a predictive distribution or a measure of familiarity, adapted or
not (:mod:`arcage.heads.store`)."""

HEADS_READ = (2, 3, HEADS_SCHEMA, ADAPTED_HEADS_SCHEMA, DISTRIBUTION_SCHEMA)
"""The versions of heads that are read. 2 and 3 have at most one kernel; ages up to 5 have curves."""
