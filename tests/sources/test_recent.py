"""The latest images stay in memory, up to a size."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from arcage.sources import recent
from arcage.sources.recent import RecentImages
from arcage.sources.source import Source


def encoded(size: int) -> Source:
    return Source("-", "-", data=bytes(size))


def test_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_MOST_BYTES", 10)
    images = RecentImages()
    a, b, c = encoded(4), encoded(4), Source("-", "-", pixels=np.zeros((1, 2, 3), np.uint8))
    for one in (a, b, c):
        images.add(one)
    assert [one is kept for one, kept in zip((b, c), images._images, strict=True)] == [True, True]
    large = encoded(100)
    images.add(large)
    assert len(images._images) == 1
    assert images._images[0] is large
    images.clear()
    assert images._images == ()


def test_their_number_is_limited() -> None:
    images = RecentImages()
    for _ in range(200):
        images.add(encoded(1))
    assert len(images._images) == 64


def test_what_can_be_read_again_is_not_kept() -> None:
    images = RecentImages()
    images.add(Source("a.jpg", "a.jpg"))
    images.add(Source("-", "-", data=b""))
    assert images._images == ()


def test_a_copy_is_empty() -> None:
    images = RecentImages()
    images.add(encoded(3))
    assert pickle.loads(pickle.dumps(images))._images == ()  # noqa: S301
