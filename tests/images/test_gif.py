"""GIF: colours and transparency."""

from __future__ import annotations

from encoded import BLUE, RED, assert_rgb, gif, needs_gif

from arcage.images.decoder import decode
from arcage.images.gif import is_animated


@needs_gif
def test_gif() -> None:
    indices = bytes(range(2)) * 300
    image = decode(gif(30, 20, indices, bytes((*RED, *BLUE))))
    assert_rgb(image)
    assert image.shape == (20, 30, 3)
    assert image[0, 0].tolist() == list(RED)
    assert image[19, 29].tolist() == list(BLUE)
    see_through = decode(gif(30, 20, indices, bytes((*RED, *BLUE)), transparent=1))
    assert see_through[0, 0].tolist() == list(RED)
    assert see_through[19, 29].tolist() == [255, 255, 255]


def test_many_blocks_are_not_searched_to_the_end() -> None:
    start = b"GIF89a" + bytes(7)
    frame = b"\x2c" + bytes(8) + b"\0\7\0"
    for block in (b"\x21\xf9\0", b"\x21\xf9" + b"\1a" * 5 + b"\0"):
        assert is_animated(start + frame + block * 1_000 + frame)
        assert not is_animated(start + frame + block * 600_000 + frame)
