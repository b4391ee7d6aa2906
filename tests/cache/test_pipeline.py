"""`pipeline.json`: written once, and checked on opening."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from invented import DIMENSION, assert_same, image, sha, store

from arcage.cache import Cache
from arcage.cache.marker import sealed
from arcage.errors import CacheError


def test_pipeline_json(cache: Cache, reopened: Callable[[], Cache]) -> None:
    content = json.loads((cache.path / "pipeline.json").read_text())
    checksum = content.pop("checksum")
    assert checksum == sealed(content)["checksum"]
    assert content == {
        "schema": 1,
        "fingerprint": "f1",
        "dimension": DIMENSION,
        "pipeline": {"detector": "yunet", "size": 640},
    }
    before = (cache.path / "pipeline.json").stat()
    again = Cache(cache.directory, "f1", dimension=DIMENSION, pipeline={"other": 1})
    assert (cache.path / "pipeline.json").stat() == before
    assert again.pipeline == reopened().pipeline == {"detector": "yunet", "size": 640}
    assert again.dimension == reopened().dimension == DIMENSION


def test_another_dimension_or_schema_is_refused(cache: Cache, reopened: Callable[[], Cache]) -> None:
    with pytest.raises(CacheError, match=r"8 columns .* makes 9.*another `cache`"):
        Cache(cache.directory, "f1", dimension=9)
    path = cache.path / "pipeline.json"
    text = path.read_text()
    path.write_text(json.dumps(sealed({**old_content(text), "schema": 2})))
    with pytest.raises(CacheError, match=r"another version .*another `cache`"):
        reopened()
    for damaged in ("", "[]", "{}", '{"schema": 1, "dimension": "x", "pipeline": {}}'):
        path.write_text(damaged)
        with pytest.raises(CacheError, match="Delete this one file"):
            reopened()


def old_content(text: str) -> dict[str, object]:
    """Return the content as earlier versions wrote it, without a checksum."""
    content: dict[str, object] = json.loads(text)
    del content["checksum"]
    return content


def test_changes_are_noticed(cache: Cache, reopened: Callable[[], Cache]) -> None:
    path = cache.path / "pipeline.json"
    text = path.read_text()
    for old, new in (("yunet", "yumet"), ("640", "641"), ('"checksum"', '"checksun"')):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(CacheError, match="Delete this one file"):
            reopened()
    path.write_text(json.dumps(old_content(text)))
    assert reopened().dimension == DIMENSION
    path.write_text(json.dumps({**old_content(text), "fingerprint": "f2"}))
    with pytest.raises(CacheError, match="another pipeline"):
        reopened()


@pytest.mark.parametrize("dimension", [0, -1, True, 2**21, 2**61])
def test_dimensions_out_of_range(cache: Cache, reopened: Callable[[], Cache], dimension: int) -> None:
    path = cache.path / "pipeline.json"
    path.write_text(json.dumps(sealed({**old_content(path.read_text()), "dimension": dimension})))
    with pytest.raises(CacheError, match="Delete this one file"):
        reopened()


def test_descriptors_outlive_their_description(cache: Cache, reopened: Callable[[], Cache]) -> None:
    store(cache, image(1))
    (cache.path / "pipeline.json").unlink()
    assert Cache.fingerprints(cache.directory) == ["f1"]
    with pytest.raises(CacheError, match=r"pipeline\.json was lost\. Run the same extraction again"):
        reopened()
    assert_same(Cache(cache.directory, "f1", dimension=DIMENSION).get(sha(1)), image(1))
