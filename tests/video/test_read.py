"""Frames of videos and cameras, and files that only look like videos."""

from __future__ import annotations

import math
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from videos import ListCamera, grey, read_all, rows, write_video

from arcage.errors import DeviceError, ImageError
from arcage.sources.source import Source
from arcage.sources.walk import walk
from arcage.video import read
from arcage.video.read import open_camera, open_video


@pytest.mark.parametrize(
    ("suffix", "code"), [("mp4", "mp4v"), ("avi", "MJPG"), ("webm", "VP80"), ("mkv", "mp4v")]
)
def test_every_frame_comes_in_order(tmp_path: Path, suffix: str, code: str) -> None:
    with open_video(str(write_video(tmp_path / f"a.{suffix}", grey(30), code=code)), 1000) as reader:
        frames = list(reader)
        assert reader.rate == 25
        assert not reader.truncated
    assert [frame.number for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(30) / 25, atol=0.02)
    for frame in frames:
        assert frame.image.shape == (64, 96, 3)
        assert abs(frame.image.mean() - 8 * frame.number) < 4


def test_frames_are_rgb(tmp_path: Path) -> None:
    red = np.full((64, 64, 3), (200, 30, 30), np.uint8)
    with open_video(str(write_video(tmp_path / "a.mp4", [red] * 3)), 5) as reader:
        (frame,) = reader
    assert np.abs(frame.image.reshape(-1, 3).mean(0) - (200, 30, 30)).max() < 6


@pytest.mark.parametrize(("rate", "numbers"), [(5, [0, 5, 10, 15, 20, 25]), (1, [0, 25]), (0.5, [0])])
def test_the_rate_is_in_seconds_of_the_video(tmp_path: Path, rate: float, numbers: list[int]) -> None:
    with open_video(str(write_video(tmp_path / "a.mp4", grey(30))), rate) as reader:
        assert [frame.number for frame in reader] == numbers
        assert reader.rate == rate


def test_a_rotated_phone_video_is_upright(tmp_path: Path) -> None:
    lying = np.zeros((64, 96, 3), np.uint8)
    lying[:, :48] = 255  # the left half is bright; turned to the right, the upper
    data = bytearray(write_video(tmp_path / "a.mp4", [lying] * 3).read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 16
    assert struct.unpack_from(">i", data, matrix) == (1 << 16,)
    struct.pack_into(">9i", data, matrix, 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "b.mp4").write_bytes(data)
    with open_video(str(tmp_path / "b.mp4"), 1) as reader:
        (frame,) = reader
    assert frame.image.shape == (96, 64, 3)
    assert frame.image[:40].mean() > 240
    assert frame.image[56:].mean() < 15


@pytest.mark.parametrize("content", [b"", b"hello\n" * 50, b"\0" * 5000, b"\0\0\0\x18ftypisom" + bytes(300)])
def test_other_files_are_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(ImageError, match="damaged video, or not in a known format"):
        read_all(tmp_path / "a.mp4")


def test_truncated_videos_are_unreadable(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    whole = write_video(tmp_path / "whole.mp4", grey(60)).read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])
    whole = write_video(tmp_path / "whole.avi", grey(60), code="MJPG").read_bytes()
    (tmp_path / "b.avi").write_bytes(whole[: len(whole) // 3])
    names = [tmp_path / name for name in ("a.mp4", "b.avi", "whole.mp4")]
    process = start("predict", *names, "--out", tmp_path / "out.csv", "--quiet")
    _, words = process.communicate(timeout=60)
    found = rows(tmp_path / "out.csv")
    assert [row["status"] for row in found] == ["unreadable", "unreadable", "ok"]
    assert "damaged video" in found[0]["error"]
    assert found[1]["error"] == "truncated video: it ends before its header says"
    # FFmpeg prints no messages of its own.
    assert [line for line in words.splitlines() if not line.startswith("arcage: ")] == []


def test_damaged_videos_never_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix, code in (("mp4", "mp4v"), ("avi", "MJPG"), ("webm", "VP80")):
        sound = write_video(tmp_path / f"a.{suffix}", grey(12), code=code).read_bytes()
        decoded = 0
        for _ in range(60):
            data = np.frombuffer(sound, np.uint8).copy()
            data[rng.integers(0, len(data), rng.choice([1, 5, 50]))] = rng.integers(0, 256)
            (tmp_path / "b.mp4").write_bytes(data.tobytes())
            with suppress(ImageError):
                decoded += all(frame.image.ndim == 3 for frame in read_all(tmp_path / "b.mp4"))
        assert decoded > 0


def test_the_pixel_limit_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", grey(3))
    monkeypatch.setattr(read, "MAX_PIXELS", 64 * 96 - 1)
    with pytest.raises(ImageError, match="too large: 6,144 pixels a frame"):
        read_all(path)


@pytest.fixture
def server() -> Iterator[tuple[int, list[bytes]]]:
    """Yield a port, and the data that it receives."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(300))

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], asked


def playlists(port: int, video: Path) -> dict[str, str]:
    hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    url = f"http://127.0.0.1:{port}/a.mp4"
    return {
        "hls": hls.format(url),
        "hls of a file": hls.format(video),
        "concat": f"ffconcat version 1.0\nfile '{video}'\n",
        "concat of a host": f"ffconcat version 1.0\nfile '{url}'\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
        f'bandwidth="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
    }


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_playlists_are_refused(tmp_path: Path, server: tuple[int, list[bytes]], suffix: str) -> None:
    port, asked = server
    target = write_video(tmp_path / "target.mp4", grey(5))
    for kind, text in playlists(port, target).items():
        path = tmp_path / f"{kind}.{suffix}"
        path.write_text(text)
        with pytest.raises(ImageError, match="damaged video"):
            read_all(path)
    time.sleep(0.1)
    assert asked == []


def test_only_the_listed_containers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the container in the list, the same call fails: the list decides.
    path = write_video(tmp_path / "a.avi", grey(5), code="MJPG")
    assert len(read_all(path)) == 5
    options = dict(read._OPTIONS)
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;udp")
    monkeypatch.setattr(
        read, "_OPTIONS", {name: value.replace("avi,", "") for name, value in options.items()}
    )
    with pytest.raises(ImageError, match="damaged video"):
        read_all(path)
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "rtsp_transport;udp"


def test_names_are_file_names_only(
    tmp_path: Path,
    server: tuple[int, list[bytes]],
    arcage: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, asked = server
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", grey(5))
    for name in (
        f"tcp:127.0.0.1:{port}.mp4",
        "concat:a.mp4|a.mp4",
        "file:a.mp4",
        "subfile,,start,0,end,0,,:a.mp4",
    ):
        result = arcage("predict", name)
        assert result.exit_code == 2
        assert f"no such file or folder: {name}" in result.stderr
    for scheme in ("http", "tcp", "rtsp"):
        result = arcage("predict", f"{scheme}://127.0.0.1:{port}/a.mp4")
        assert result.exit_code == 1
        assert "videos are read from local files only: download it first" in result.stdout
    os.mkfifo("pipe.mp4")
    assert "not a regular file" in arcage("predict", "pipe.mp4").stdout
    time.sleep(0.1)
    assert asked == []


def test_a_missing_camera(arcage: Callable[..., Any]) -> None:
    with pytest.raises(DeviceError, match="cannot open the camera 97"), open_camera(97, 5):
        pass
    result = arcage("predict", "--webcam", 97, "--quiet")
    assert result.exit_code == 3
    assert result.stderr == "arcage: cannot open the camera 97: is it there, free, and may you use it?\n"
    assert arcage("predict", "--webcam", 0, "a.jpg").exit_code == 2


def test_times_of_damaged_videos() -> None:
    nan, inf = math.nan, math.inf
    times = (nan, 0, 0, 0.5, 0.4, inf, nan, 3.0)
    frames = list(read.Reader(ListCamera(*((time, 96) for time in times)), 1000))
    # If the time stands still, goes back or is missing, it advances by the frame rate of the video, 30.
    expected = np.array([1, 2, 3, 15, 16, 17, 18, 90]) / 30
    np.testing.assert_allclose([frame.seconds for frame in frames], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("seconds", "count", "cut"),
    [
        (np.arange(100) / 30, 100, False),
        (np.arange(40) / 30, 100, True),
        (np.arange(100) / 60, 100, False),  # all frames, in less time than at the stated rate
        (np.arange(40) / 12, 100, False),  # fewer frames, in all the time
        (np.arange(40) / 30, 0, False),
    ],
)
def test_a_video_is_truncated_if_frames_and_time_are_missing(
    seconds: np.ndarray, count: int, cut: bool
) -> None:
    reader = read.Reader(ListCamera(*((time, 96) for time in seconds), count=count), 5)
    for _ in reader:
        pass
    assert reader.truncated == cut


def test_a_camera_without_pictures() -> None:
    with pytest.raises(DeviceError, match="the camera gives no pictures"):
        list(read.Reader(ListCamera(), 5, live=True))


def test_sources_that_are_videos(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.MOV", "c.jpg"):
        (tmp_path / name).touch()
    found = walk([str(tmp_path / name) for name in ("a.mp4", "b.MOV", "c.jpg")])
    assert [source.video for source in found] == [True, True, False]
    assert list(walk([str(tmp_path)])) == [Source(str(tmp_path / "c.jpg"), "c.jpg")]
