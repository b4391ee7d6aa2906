"""Where the bytes of a source come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arcage.errors import ImageError
from arcage.sources.source import Source


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"file")
    assert Source(str(path), "a.jpg").read() == b"file"
    assert Source(str(path), "a.jpg", data=b"data").read() == b"data"
    assert Source(str(path), "a.jpg", opener=lambda: b"opener").read() == b"opener"
    with pytest.raises(ImageError, match="no such file"):
        Source(str(tmp_path / "b.jpg"), "b.jpg").read()


def test_sources_that_are_not_images() -> None:
    with pytest.raises(ImageError, match="cannot list folder"):
        Source("a", "a", error="cannot list folder: Permission denied").read()
    with pytest.raises(ImageError, match="a video, not an image"):
        Source("a.mp4", "a.mp4", video=True).read()


def test_the_content_of_a_decoded_picture_is_its_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    source = Source("-", "-", pixels=pixels)
    assert source.content() is pixels
    with pytest.raises(ImageError, match="decoded"):
        source.read()
    assert Source("a", "a", data=b"data").content() == b"data"
    with pytest.raises(ImageError, match="no such file"):
        Source(str(tmp_path / "a.jpg"), "a.jpg").content()
