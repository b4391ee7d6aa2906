"""Videos that crash, stall or overfill the process that decodes them."""

from __future__ import annotations

import base64
import io
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from videos import ListCamera, grey, read_all, write_video

from arcage.errors import ImageError, ImageHereError, ImageMemoryError
from arcage.images.limits import DecodeLimits
from arcage.video import decode, read
from arcage.video.read import Reader, VideoReader, open_video

SEEKS_BEFORE_THE_START = zlib.decompress(
    base64.b85decode(
        "".join(
            [
                "c-k{i+f>?@c3yDVO@>trN#}CzGcteyD-bg>Exfb3$9?5_!M-"
                "O92Y3>KQ!^N_gIr%02;=|%tM@j}Wn_bjA5fUU1ZGHY2U9XU5OF4mT80J?{{lP1R_6WjdIn&p>_>LWX$A%ZiX8}6iLAn4Q2Uv"
                "ICVoZ&xJ+ljG~Hk{b&R;wfyYx2j}epu0O0-lz5"
            ]
        )
    )
)
"""A damaged WMV."""
FRAME = ({"number": 0, "seconds": 0.0, "height": 2, "width": 3}, bytes(18))

Replies = Iterator[tuple[dict[str, Any], Any]]


def crash(args: dict[str, Any], _: bytes) -> Replies:
    yield {"fps": 25, "count": 9}, b""
    yield FRAME
    os.abort()


def stall(args: dict[str, Any], _: bytes) -> Replies:
    yield {"fps": 25, "count": 9}, b""
    yield FRAME
    time.sleep(60)


def fill(args: dict[str, Any], _: bytes) -> Replies:
    yield {"fps": 25, "count": 9}, b""
    yield FRAME
    np.ones(500_000_000, np.uint8)


def stop(args: dict[str, Any], _: bytes) -> Replies:
    yield {"fps": 25, "count": 9}, b""
    yield FRAME


@pytest.mark.parametrize(
    ("job", "kind", "text"),
    [
        ("crash", ImageHereError, r"the decoder failed.*SIGABRT"),
        ("stall", ImageHereError, "takes longer than 1 seconds: raise `max_seconds`"),
        ("fill", ImageMemoryError, "more than 100 MB of memory.*`max_memory`"),
        ("stop", ImageHereError, "returned no picture"),
    ],
)
def test_the_frames_before_a_failure_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, kind: type[ImageError], text: str
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(read, "_JOB", f"test_decode:{job}")
    (tmp_path / "a.mp4").touch()
    limits = DecodeLimits(memory=100_000_000, seconds=1)
    with open_video(str(tmp_path / "a.mp4"), 5, limits) as reader:
        frames = iter(reader)
        assert next(frames).image.shape == (2, 3, 3)
        with pytest.raises(kind, match=text) as caught:
            next(frames)
    assert type(caught.value) is kind
    monkeypatch.undo()
    assert len(read_all(write_video(tmp_path / "b.mp4", grey(3)))) == 3


@pytest.mark.parametrize(
    "header",
    [
        {"number": 0, "seconds": 0.0, "height": 2, "width": 4},
        {"number": 0, "seconds": 0.0, "height": -2, "width": -3},
        {"number": 0, "seconds": 0.0, "height": 2.0, "width": 3},
        {"number": 0, "seconds": 0.0},
        {"number": "0", "seconds": 0.0, "height": 2, "width": 3},
        {"number": 0, "seconds": None, "height": 2, "width": 3},
        {"number": 0, "seconds": 1e400, "height": 2, "width": 3},
        {"number": 0, "seconds": 10**400, "height": 2, "width": 3},
    ],
)
def test_a_broken_worker_is_not_believed(header: dict[str, Any]) -> None:
    replies = [read.Reply({"fps": 25, "count": 9}, memoryview(b"")), read.Reply(header, memoryview(FRAME[1]))]
    reader = VideoReader(iter(replies), 5, DecodeLimits())
    with pytest.raises(ImageHereError, match="returned no picture"):
        next(iter(reader))


@pytest.mark.parametrize(
    "header", [{}, {"fps": 0, "count": 1}, {"fps": 1e400, "count": 1}, {"fps": "5", "count": 1}, {"fps": 5}]
)
def test_a_broken_start_is_not_believed(header: dict[str, Any]) -> None:
    with pytest.raises(ImageHereError, match="returned no picture"):
        VideoReader(iter([read.Reply(header, memoryview(b""))]), 5, DecodeLimits())


def test_a_video_that_seeks_before_its_start(tmp_path: Path) -> None:
    (tmp_path / "a.wmv").write_bytes(SEEKS_BEFORE_THE_START)
    # Without the stream's own seek, the worker process crashes.
    with pytest.raises(ImageError, match=r"^(?!the decoder failed)"):
        read_all(tmp_path / "a.wmv")


def test_a_stream_never_raises(tmp_path: Path) -> None:
    file = io.BytesIO(b"abc")
    stream = decode._Stream(file)
    assert (stream.seek(1), stream.read(5)) == (1, b"bc")
    assert [stream.seek(-1), stream.seek(1 << 70), stream.seek(0, 9)] == [-1, -1, -1]
    file.close()
    assert (stream.seek(0), stream.read(5)) == (-1, b"")


def test_signs_of_life_between_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_SIGN_SECONDS", -1)
    camera = ListCamera(*((number / 30, 96) for number in range(60)))
    replies = list(decode._replies(Reader(camera, 1)))
    assert [header.get("number") for header, _ in replies] == [0, *[None] * 29, 30, *[None] * 29]


def test_memory_that_a_frame_lacks_is_an_error() -> None:
    class Full(ListCamera):
        def retrieve(self) -> Any:
            error = cv2.error("Failed to allocate")
            error.code = -4
            raise error

    with pytest.raises(MemoryError):
        list(Reader(Full((0, 96)), 5))


def test_a_large_frame_is_not_skipped_if_memory_is_short(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", grey(2, 3000, 4000), code="MJPG")
    limits = DecodeLimits(memory=200_000_000)
    with pytest.raises(ImageMemoryError, match="`max_memory`"), open_video(str(path), 5, limits) as reader:
        list(reader)


def test_a_video_of_which_no_picture_can_be_decoded_is_an_error() -> None:
    class Damaged(ListCamera):
        def retrieve(self) -> Any:
            return False, None

    with pytest.raises(ImageError, match="without pictures, or a damaged one"):
        list(Reader(Damaged((0, 96), (0.1, 96)), 5))


def test_the_worker_is_kept_for_the_next_video(tmp_path: Path) -> None:
    from arcage.process import cell

    video = write_video(tmp_path / "a.mp4", grey(9))
    (tmp_path / "b.mp4").write_bytes(b"")
    read_all(video)
    before = set(cell._state.cells)
    read_all(video)
    with pytest.raises(ImageError, match="damaged"):
        read_all(tmp_path / "b.mp4")
    assert set(cell._state.cells) == before


def test_bytes_of_a_name_that_are_not_utf_8(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", grey(3))
    target = os.fsencode(tmp_path) + b"/\xff.mp4"
    os.rename(video, target)
    assert len(read_all(os.fsdecode(target))) == 3
