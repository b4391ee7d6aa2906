from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arcage.errors import ImageError, ImageExtraError, ImageHereError, ImageMemoryError
from arcage.images.isolated import decode_in_cell, replies
from arcage.images.limits import DecodeLimits
from arcage.process.cell import close_cells

LIMITS = DecodeLimits(memory=1 << 28, pixels=100)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_cells()


def decode(job: str, data: bytes = b"") -> Any:
    limits = replace(LIMITS, seconds=0.5) if job == "hang" else LIMITS
    return decode_in_cell(f"cell_jobs:{job}", data, limits)


def test_pixels_arrive_writable() -> None:
    image = decode("picture", bytes(range(60)))
    np.testing.assert_array_equal(image, np.arange(60, dtype=np.uint8).reshape(5, 4, 3))
    image[:] = 0


@pytest.mark.parametrize(
    ("job", "error", "text"),
    [
        ("crash", ImageHereError, "the decoder failed, probably because the image is damaged: .* crashed"),
        ("hang", ImageHereError, "decoding takes longer than 0.5 seconds: raise `max_seconds`"),
        ("gluttony", ImageMemoryError, "more than 268 MB of memory: .*raise `max_memory`"),
        ("leave", ImageHereError, "exit code 7"),
        ("flood", ImageHereError, "more than one"),
        ("echo", ImageHereError, "it returned no picture"),
    ],
)
def test_failures_become_errors_that_no_cache_keeps(job: str, error: type[ImageError], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        decode(job)
    assert isinstance(caught.value, ImageHereError)
    assert decode("picture", bytes(60)).shape == (5, 4, 3)


@pytest.mark.parametrize(
    "header",
    [
        {"height": 5, "width": 4.0},
        {"height": 5},
        {"height": "5", "width": 4},
        {"height": -5, "width": -4},
        {"height": 10, "width": 20},
        {"height": 4, "width": 4},
        {"height": 0, "width": 0},
        {"error": "SystemExit", "text": "0"},
        {"error": ["ImageError"], "text": "0"},
        {"error": "ImageError", "text": None},
    ],
)
def test_a_reply_that_is_no_picture_is_refused(
    header: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from arcage.process import cell

    body = memoryview(bytearray(600 if header.get("width") == 20 else 60))
    monkeypatch.setattr(cell, "run_once", lambda *_, **__: cell.Reply(header, body))
    with pytest.raises(ImageHereError, match="it returned no picture"):
        decode("picture")


@pytest.mark.parametrize("kind", [ImageError, ImageHereError, ImageMemoryError, ImageExtraError])
def test_errors_of_the_job_are_raised_again(kind: type[ImageError], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"^reason x*$") as caught:
        decode("refuse", kind.__name__.encode())
    assert type(caught.value) is kind
    assert len(str(caught.value)) == 1000


def test_replies() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)[:, ::-1]
    ((header, body),) = replies(lambda: image)
    assert header == {"height": 5, "width": 4}
    np.testing.assert_array_equal(body, image)

    def broken() -> Any:
        raise ValueError(os.sep)

    with pytest.raises(ValueError, match=os.sep):
        list(replies(broken))
