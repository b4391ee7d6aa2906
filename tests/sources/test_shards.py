"""Shards: each image is in exactly one of them, on every machine."""

from __future__ import annotations

import pytest

from arcage.errors import UsageError
from arcage.sources.shards import Shard, parse_shard
from arcage.sources.source import Source


@pytest.mark.parametrize("count", [1, 3, 8])
def test_each_image_is_in_exactly_one_shard(count: int) -> None:
    sources = [Source(f"/x/{n}", f"{n}") for n in range(1000)] + [Source("/x/\udce9", "\udce9")]
    parts = [{s.path for s in sources if s in Shard(i, count)} for i in range(1, count + 1)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(sources)
    assert min(map(len, parts)) > len(sources) / count * 0.7


def test_a_shard_does_not_depend_on_the_folder() -> None:
    shard = Shard(2, 3)
    assert (Source("/a/b/c.jpg", "b/c.jpg") in shard) == (Source("/x/b/c.jpg", "b/c.jpg") in shard)


def test_parse_shard() -> None:
    assert parse_shard("2/8") == Shard(2, 8)


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "a/b", "1/4/8", "1.5/4", "\u0661/4"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1/4"):
        parse_shard(text)
