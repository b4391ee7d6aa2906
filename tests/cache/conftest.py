"""A new cache, and a way to open it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from invented import DIMENSION

from arcage.cache import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", "f1", dimension=DIMENSION, pipeline={"detector": "yunet", "size": 640})


@pytest.fixture
def reopened(cache: Cache) -> Callable[[], Cache]:
    """Return a function that opens the same folder again."""
    return lambda: Cache(cache.directory, cache.fingerprint)
