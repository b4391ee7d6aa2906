"""GIF: colours and transparency."""

from __future__ import annotations

from encoded import BLUE, RED, assert_rgb, gif, needs_gif

from arcage.images.decoder import decode


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
