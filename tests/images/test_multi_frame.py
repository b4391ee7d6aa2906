"""Animations and files of several pages: the first frame is read, and a message says so."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encoded import BIG, difference, gif, png_chunk, save

from arcage.images.decoder import decode
from arcage.images.multi_frame import is_multi_frame


@pytest.mark.parametrize(
    ("format_", "options"),
    [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("AVIF", {"quality": 95})],
)
def test_the_first_frame_is_decoded(format_: str, options: dict[str, Any]) -> None:
    image = pytest.importorskip("PIL.Image").fromarray(BIG[:, ::-1].copy())
    data = save(BIG, format_, save_all=True, append_images=[image], duration=100, **options)
    assert difference(decode(data), BIG) < 12  # a GIF has 256 colours
    assert is_multi_frame(data)
    assert not is_multi_frame(save(BIG, format_, **options))


def test_damaged_animations_count_as_one_frame() -> None:
    sound = gif(30, 20, bytes(600), b"abc")
    assert not is_multi_frame(sound)
    two = sound[:-1] + sound[sound.index(b"\x2c") :]
    assert is_multi_frame(two)
    still = (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", bytes(13)) + png_chunk(b"acTL", struct.pack(">II", 1, 0))
    )
    for data in (
        b"",
        b"GIF89a",
        two[:50],
        two[: len(sound) - 1],
        still,
        still[:20],
        b"II*\0\xff\xff\xff\xff",
    ):
        assert not is_multi_frame(data)


def test_a_message_says_that_the_first_frame_was_read(arcage: Callable[..., Any], tmp_path: Path) -> None:
    sound = gif(30, 20, bytes(600), b"abc")
    (tmp_path / "a.gif").write_bytes(sound[:-1] + sound[sound.index(b"\x2c") :])
    (tmp_path / "b.gif").write_bytes(sound)
    cache = tmp_path / "cache"
    for _ in range(2):  # the second time from the cache
        result = arcage("predict", tmp_path / "a.gif", tmp_path / "b.gif", "--cache", cache)
        assert (
            "an image has more than one picture (an animation or pages): the first was read" in result.stderr
        )
        assert len(result.stdout.splitlines()) == 3
    assert "more than one" not in arcage("predict", tmp_path / "b.gif").stderr
    assert "more than one" in arcage("extract", tmp_path / "a.gif", "--cache", tmp_path / "new").stderr
