"""Videos: frames, persons over frames, one prediction for each, and files that only look like videos."""

from __future__ import annotations

import base64
import csv
import io
import math
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from arcage.errors import DeviceError, ForeignFileError, ImageError, OutputError
from arcage.images.decode import decode
from arcage.predictor import Predictor
from arcage.process.interrupt import handle_signals, is_stopping
from arcage.sources.source import Source
from arcage.sources.walk import walk
from arcage.types import Face
from arcage.video import person as person_module
from arcage.video import read
from arcage.video.codec import codec
from arcage.video.person import Person
from arcage.video.predictions import Videos
from arcage.video.read import Frame, open_camera, open_video
from arcage.video.track import Tracker
from arcage.video.write import draw_video, write_frames

LFW = Path(__file__).parents[3] / "shared" / "data" / "lfw"
GREEN = np.full((360, 640, 3), (90, 140, 120), np.uint8)


def write_video(
    path: Path, frames: Iterator[np.ndarray] | list[np.ndarray], fps: float = 25, code: str = "mp4v"
) -> Path:
    """Write RGB frames."""
    writer = None
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), fps, size)
            assert writer.isOpened()
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    assert writer is not None
    writer.release()
    return path


def grey(count: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Frames whose number can be read from their brightness."""
    return [np.full((height, width, 3), 8 * n % 256, np.uint8) for n in range(count)]


def put(frame: np.ndarray, picture: np.ndarray, x: int, y: int) -> None:
    """Lay a picture on a frame; it may reach past the border."""
    left, right = max(0, x), min(frame.shape[1], x + picture.shape[1])
    if right > left:
        frame[y : y + picture.shape[0], left:right] = picture[:, left - x : right - x]


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def predictor(bundled_predictor: Predictor) -> Predictor:
    return bundled_predictor


@pytest.fixture(scope="module")
def bundled_predictor(compiled: Path) -> Predictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        made = Predictor(device="cpu")
        made.predict(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    return made


@pytest.fixture
def portrait(astronaut: np.ndarray) -> np.ndarray:
    return cv2.resize(astronaut[20:240, 110:330], (180, 180), interpolation=cv2.INTER_AREA)


# Frames


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


def test_a_video_of_a_telephone_that_was_turned_is_upright(tmp_path: Path) -> None:
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


def test_no_more_frames_are_in_memory_than_are_worked_on(predictor: Predictor) -> None:
    taken = given = 0

    def pictures() -> Iterator[tuple[int, np.ndarray]]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield number, GREEN

    for number, image, p in predictor.look(pictures(), chunk=4):
        assert number == given
        assert (image.faces, len(p.age)) == ((), 0)
        given += 1
        assert taken - given < 8
    assert given == 40


# What is not a video


@pytest.mark.parametrize("content", [b"", b"hello\n" * 50, b"\0" * 5000, b"\0\0\0\x18ftypisom" + bytes(300)])
def test_other_files_are_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(ImageError, match="damaged video, or not in a known format"):
        read_all(tmp_path / "a.mp4")


def read_all(path: object) -> list[Frame]:
    with open_video(str(path), 1000) as reader:
        return list(reader)


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
    # FFmpeg has words of its own about a damaged video.
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
    """A port, and what was sent to it."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(300))

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], asked


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
def test_playlists_lead_nowhere(tmp_path: Path, server: tuple[int, list[bytes]], suffix: str) -> None:
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
    # The same call opens nothing as soon as the list lacks the container: so it is the list that decides.
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


def test_names_are_files_and_nothing_else(
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


def test_no_camera_is_an_error_that_says_so(arcage: Callable[..., Any]) -> None:
    with pytest.raises(DeviceError, match="cannot open the camera 97"), open_camera(97, 5):
        pass
    result = arcage("predict", "--webcam", 97, "--quiet")
    assert result.exit_code == 3
    assert result.stderr == "arcage: cannot open the camera 97: is it there, free, and may you use it?\n"
    assert arcage("predict", "--webcam", 0, "a.jpg").exit_code == 2


# Who is who


def boxes(*corners: tuple[float, float]) -> np.ndarray:
    return np.array([(x, y, x + 100, y + 100) for x, y in corners], np.float32)


def someone(seed: int, noise: float = 0.3, take: int = 0) -> np.ndarray:
    """A direction for each person, and some noise for each picture of them: cosine 0.92 at 0.3."""
    who = np.random.default_rng(seed).normal(size=64)
    return (who + noise * np.random.default_rng([seed, take + 1]).normal(size=64)).astype(np.float32)


def test_two_that_cross_keep_their_numbers() -> None:
    tracker = Tracker()
    for t in range(20):
        where = boxes((20 * t, 0), (380 - 20 * t, 5))
        faces = np.stack([someone(1, take=t), someone(2, take=t)])
        order = [1, 0] if t % 3 else [0, 1]  # the detector's order changes
        assert tracker.assign(where[order], faces[order]) == order
    assert len(tracker) == 2


def test_who_comes_back_elsewhere_is_known() -> None:
    tracker = Tracker()
    assert tracker.assign(boxes((0, 0)), someone(1)[None]) == [0]
    for t in range(30):
        assert tracker.assign(boxes((300, 0)), someone(2, take=t)[None]) == [1]
    assert tracker.assign(boxes(), np.empty((0, 64))) == []
    assert tracker.assign(boxes((500, 50), (300, 0)), np.stack([someone(1, take=40), someone(2)])) == [0, 1]


def test_a_blurred_face_is_known_by_its_place_and_only_there() -> None:
    poor = someone(1, noise=1.7, take=9)
    cosine = poor @ someone(1) / np.linalg.norm(poor) / np.linalg.norm(someone(1))
    assert 0.45 < cosine < 0.65
    tracker = Tracker()
    tracker.assign(boxes((0, 0)), someone(1)[None])
    assert tracker.assign(boxes((20, 0)), poor[None]) == [0]
    tracker = Tracker()
    tracker.assign(boxes((0, 0)), someone(1)[None])
    assert tracker.assign(boxes((400, 0)), poor[None]) == [1]


def test_another_at_the_same_place_is_another() -> None:
    tracker = Tracker()
    for t in range(5):
        tracker.assign(boxes((0, 0)), someone(1, take=t)[None])
    assert tracker.assign(boxes((0, 0)), someone(2)[None]) == [1]


def test_who_was_half_hidden_is_known_when_whole_again() -> None:
    tracker = Tracker()
    whole, half = someone(1), someone(1, noise=1.7, take=9)
    for t in range(5):
        assert tracker.assign(boxes((0, 0)), someone(1, take=t)[None]) == [0]
    tracker.assign(boxes(), np.empty((0, 64)))
    for x in (200, 220):  # elsewhere, and like nobody
        assert tracker.assign(boxes((x, 0)), half[None]) == [1]
    # It is more like the whole face, and is where the half one was.
    coming_out = 2 * whole / np.linalg.norm(whole) + half / np.linalg.norm(half)
    assert tracker.assign(boxes((225, 0)), coming_out[None]) == [0]
    assert len(tracker) == 2


def test_two_faces_of_a_frame_are_never_one_person() -> None:
    tracker = Tracker()
    twins = np.stack([someone(1), someone(1, take=1)])
    assert tracker.assign(boxes((0, 0), (300, 0)), twins) == [0, 1]
    assert sorted(tracker.assign(boxes((0, 0), (300, 0)), twins)) == [0, 1]


# Answers


@pytest.mark.parametrize(
    ("values", "mean", "between"),
    [
        ([3.0], 3, 0),
        ([1.0, 2.0], 1.5, 1),
        ([1.0, 2.0, 3.0, 90.0], 2.5, 2),
        ([5.0, 1.0, 7.0, 5.0, 90.0, 5.0, 6.0, -50.0], 5.25, 5),
        ([*range(100)], 49.5, 50),
    ],
)
def test_the_middle_half_counts(values: list[float], mean: float, between: float) -> None:
    from scipy.stats import trim_mean

    if len(values) % 4 == 0:
        assert mean == trim_mean(values, 0.25)
    assert person_module._middle(Counter(values)) == (pytest.approx(mean), between)
    assert all(math.isnan(value) for value in person_module._middle(Counter()))


def one_of(*said: tuple[float, float, float, float], each: float = 1, frames: int = 1) -> Person:
    """A person who was seen in many frames, ``each`` seconds apart."""
    made = Person()
    for n, row in enumerate(said * frames):
        made.add(Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9), row, n * each)
    return made


def test_one_frame_that_is_wrong_does_not_count() -> None:
    right = [(30.0, 20.0, 41.0, 0.9), (31.0, 22.0, 40.0, 0.8)] * 4
    age, low, high, p_female = one_of(*right, (90.0, 80.0, 99.0, 0.1)).estimate()
    assert 30.4 < age < 31
    assert 20.9 < low < 22
    assert 40 < high < 41
    assert 0.8 < p_female < 0.9


def test_the_interval_narrows_by_what_the_frames_differ_by_and_no_more() -> None:
    # A still picture, however long, says the same as one photo of it.
    still = one_of((30.0, 20.0, 50.0, 0.9), frames=500)
    assert still.estimate() == (30.0, 20.0, 50.0, 0.9)
    # So do frames within one second, however they differ.
    glance = [(age, age - 10, age + 20, 0.9) for age in (28.0, 29.0, 31.0, 32.0)]
    age, low, high, _ = one_of(*glance, each=0.2).estimate()
    assert (age, low, high) == (30, pytest.approx(20), pytest.approx(50))
    # Quartiles 28 and 31: v = (3 / 1.349)^2 is reduced to a quarter by four seconds, of u = (30 / 3.29)^2.
    share = (3 / 1.349) ** 2 / (30 / 3.29) ** 2
    age, low, high, _ = one_of(*glance).estimate()
    assert high - low == pytest.approx(30 * math.sqrt(1 - share * 3 / 4))
    assert (high - age) / (age - low) == pytest.approx(2)
    # Frames that contradict each other: the bound holds, and not for more frames either.
    wild = [(age, age - 10, age + 20, 0.9) for age in (10.0, 20.0, 40.0, 50.0)]
    for frames in (1, 1000):
        _, low, high, _ = one_of(*wild, frames=frames).estimate()
        assert high - low >= 30 * math.sqrt(1 - person_module.MAX_REDUCTION) - 1e-9


def test_heads_that_tell_no_age_tell_none_of_persons() -> None:
    nan = math.nan
    *age, p_female = one_of((nan, nan, nan, 0.7), (nan, nan, nan, 0.7)).estimate()
    assert all(math.isnan(value) for value in age)
    assert p_female == 0.7


def test_one_who_leaves_and_comes_back_is_one_row(
    tmp_path: Path, predictor: Predictor, portrait: np.ndarray
) -> None:
    frames = []
    for t in range(75):
        frames.append(GREEN.copy())
        x = 240 - 22 * t if t < 30 else -180 + 12 * (t - 40)
        put(frames[-1], portrait, x, 40 if t < 30 else 120)
    path = write_video(tmp_path / "a.mp4", frames)
    table = tmp_path / "frames.csv"
    with write_frames(table) as write:
        videos = Videos(predictor, 5, frames=write)
        ((source, (person,)),) = videos.stream(walk([str(path)]))
    assert (source.path, person.path, person.face, person.faces) == (*[str(path)] * 2, 0, 1)
    # A whole frame: a picture as small as the portrait is taken for a crop, and gets a margin.
    (photo,) = predictor.predict(cv2.imencode(".png", frames[5][:, :, ::-1])[1].tobytes())
    assert person.status == "ok"
    assert person.gender == photo.gender == "female"
    assert person.age == pytest.approx(photo.age, abs=4)
    seen = rows(table)
    numbers = {int(row["frame"]) for row in seen}
    assert numbers <= set(range(0, 75, 5))
    assert {0, 5, 55, 60, 65, 70} <= numbers
    assert not numbers & {20, 25, 30, 35, 40}
    assert {row["person"] for row in seen} == {"0"}
    for row in seen:
        assert float(row["seconds"]) == pytest.approx(int(row["frame"]) / 25, abs=0.01)
    # What the answer is made of is in the frames' table.
    for name in ("age", "p_female"):
        counted = person_module._middle(Counter(float(row[name]) for row in seen))[0]
        assert getattr(person, name) == pytest.approx(counted, abs=0.001)
    widths = [float(row["age_high"]) - float(row["age_low"]) for row in seen]
    assert person.age_low < person.age < person.age_high
    assert 0.8 * np.median(widths) < person.age_high - person.age_low <= max(widths)
    # The box is that of the surest frame.
    best = max(seen, key=lambda row: float(row["det_score"]))
    assert person.det_score == pytest.approx(float(best["det_score"]), abs=0.001)


@pytest.mark.shared
def test_two_who_cross_and_one_who_comes_back(
    tmp_path: Path, predictor: Predictor, portrait: np.ndarray
) -> None:
    if not LFW.is_dir():
        pytest.skip("../shared/data is absent")
    photo = decode((LFW / "Abbas_Kiarostami" / "Abbas_Kiarostami_0001.jpg").read_bytes())
    other = cv2.resize(photo[60:200, 55:195], (180, 180))
    frames = []
    for t in range(120):
        frames.append(GREEN.copy())
        put(frames[-1], other, 10 + 4 * t, 170)
        put(frames[-1], portrait, 460 - 9 * t if t < 80 else -180 + 9 * (t - 80), 10)
    path = write_video(tmp_path / "a.mp4", frames)
    table = tmp_path / "frames.csv"
    with write_frames(table) as write:
        ((_, persons),) = Videos(predictor, 5, frames=write).stream(walk([str(path)]))
    assert [(person.face, person.faces) for person in persons] == [(0, 2), (1, 2)]
    by_gender = {person.gender: person for person in persons}
    assert by_gender.keys() == {"male", "female"}
    assert by_gender["female"].age == pytest.approx(34, abs=5)
    assert by_gender["male"].age == pytest.approx(56, abs=6)
    for person in persons:
        seen = [row for row in rows(table) if int(row["person"]) == person.face]
        assert {row["gender"] for row in seen} == {person.gender}
    frames_of = {
        gender: {int(row["frame"]) for row in rows(table) if row["gender"] == gender} for gender in by_gender
    }
    assert frames_of["male"] == set(range(0, 120, 5))
    assert {0, 40, 105, 115} <= frames_of["female"]
    assert not frames_of["female"] & {75, 80, 85}


def test_limits_of_sureness_hold_for_persons(tmp_path: Path, compiled: Path, portrait: np.ndarray) -> None:
    frame = GREEN.copy()
    put(frame, portrait, 200, 90)
    path = write_video(tmp_path / "a.mp4", [frame] * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        strict = Predictor(device="cpu", max_width=5, min_sure=0.99)
        ((_, (person,)),) = Videos(strict, 5).stream(walk([str(path)]))
        assert (person.age, person.gender, person.status) == (None, None, "ok")
        assert person.age_low is not None
        strict = Predictor(device="cpu", min_score=0.99)
        ((_, (person,)),) = Videos(strict, 5).stream(walk([str(path)]))
        assert person.status == "no_face"


# What is written


def test_a_drawn_video_has_the_frames_that_were_looked_at(
    tmp_path: Path, predictor: Predictor, portrait: np.ndarray
) -> None:
    from arcage.output.annotate import Annotator

    frames = [GREEN.copy() for _ in range(50)]
    for t, frame in enumerate(frames):
        put(frame, portrait, 100 + 4 * t, 90)
    path = write_video(tmp_path / "a.mov", frames)
    videos = Videos(predictor, 10, annotator=Annotator(tmp_path / "out", [str(path)]))
    ((_, (person,)),) = videos.stream(walk([str(path)]))
    assert videos.drawn == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.mov.mp4"]
    with open_video(str(tmp_path / "out" / "a.mov.mp4"), 1000) as reader:
        assert reader.rate == 10
        drawn = list(reader)
    assert len(drawn) == 20
    assert drawn[0].image.shape == GREEN.shape
    # Boxes and labels change what is near the face, and nothing else.
    with open_video(str(path), 10) as reader:
        plain = list(reader)
    for before, after in zip(plain, drawn, strict=True):
        changed = np.abs(before.image.astype(int) - after.image).max(axis=2) > 60
        _, x = np.nonzero(changed)
        left = 100 + 4 * before.number
        assert len(x) > 300
        assert left - 60 < x.min() < x.max() < left + 240
    # Again: a video that was drawn here may be replaced, another may not.
    list(videos.stream(walk([str(path)])))
    for others in (path.read_bytes(), b"short"):
        (tmp_path / "out" / "a.mov.mp4").write_bytes(others)
        with pytest.raises(ForeignFileError, match=r"a\.mov\.mp4 was not written by arcage"):
            list(videos.stream(walk([str(path)])))
    assert person.status == "ok"


def test_a_drawn_video_keeps_the_time_and_odd_sizes(tmp_path: Path) -> None:
    target = tmp_path / "a:b" / "a.mp4"
    with draw_video(target, 10) as draw:
        for seconds in (0, 0.1, 0.5):
            draw(Frame(0, seconds, np.full((481, 601, 3), int(400 * seconds), np.uint8)), [])
    with open_video(str(target), 1000) as reader:
        shades = [int(frame.image.mean()) for frame in reader]
    np.testing.assert_allclose(shades, [0, 40, 40, 40, 40, 200], atol=4)
    with draw_video(tmp_path / "none.mp4", 10):
        pass
    with suppress(ZeroDivisionError), draw_video(tmp_path / "none.mp4", 10) as draw:
        draw(Frame(0, 0, GREEN), [])
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["a:b"]
    assert len(list(target.parent.iterdir())) == 1


def test_videos_and_images_come_in_one_order(arcage: Callable[..., Any], tmp_path: Path) -> None:
    import fakes

    for name in ("a.jpg", "c.jpg", "e.jpg"):
        (tmp_path / name).write_bytes(fakes.image(fakes.face(), fakes.face(age=50)))
    for name in ("b.mp4", "d.mp4"):
        write_video(tmp_path / name, grey(10))
    (tmp_path / "list").write_text("\n".join(str(tmp_path / name) for name in ("d.mp4", "c.jpg")))
    result = arcage(
        "predict",
        tmp_path / "e.jpg",
        tmp_path / "b.mp4",
        tmp_path / "a.jpg",
        "--from-file",
        tmp_path / "list",
    )
    assert result.exit_code == 0
    found = [row.split(",")[0] for row in result.stdout.splitlines()[1:]]
    assert [Path(path).name for path in found] == [
        *["a.jpg"] * 2,
        "b.mp4",
        *["c.jpg"] * 2,
        "d.mp4",
        *["e.jpg"] * 2,
    ]
    # A folder is not searched for videos, and descriptors are not made of them.
    assert ".mp4" not in arcage("predict", tmp_path).stdout
    refused = arcage("extract", tmp_path / "b.mp4", "--cache", tmp_path / "cache")
    assert refused.exit_code == 1
    with pytest.raises(ImageError, match="a video, not an image"):
        next(walk([str(tmp_path / "b.mp4")])).read()


def test_the_frames_are_csv(arcage: Callable[..., Any], tmp_path: Path) -> None:
    path = write_video(tmp_path / "ä, b.mp4", grey(10))
    table = tmp_path / "frames.csv"
    result = arcage("predict", path, "--rate", 1000, "--frames", table, "--out", tmp_path / "rows.csv")
    assert result.exit_code == 0
    seen = rows(table)
    assert [row["frame"] for row in seen] == [str(n) for n in range(10)]
    assert seen[3] == {
        "path": str(path),
        "frame": "3",
        "seconds": "0.120",
        "person": "0",
        "x1": "10.0",
        "y1": "20.0",
        "x2": "60.0",
        "y2": "90.0",
        "det_score": "0.950",
        "age": "30.0",
        "age_low": "25.0",
        "age_high": "37.5",
        "gender": "female",
        "p_female": "0.8999",
    }
    result = arcage("predict", path, "--frames", tmp_path / "frames.txt")
    assert result.exit_code == 2
    assert "must end in .csv" in result.stderr


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    short = write_video(tmp_path / "a.mp4", grey(5))
    long = write_video(tmp_path / "b.mp4", grey(600))
    out, table, log = tmp_path / "out.csv", tmp_path / "frames.csv", tmp_path / "log"
    process = start(
        *(
            "predict",
            short,
            long,
            "--out",
            out,
            "--frames",
            table,
            "--rate",
            25,
            "--annotate",
            tmp_path / "drawn",
        ),
        FAKE_DELAY=0.02,
        FAKE_LOG=log,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and (not log.exists() or log.read_text().count("\n") < 60):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in words
    assert [row["path"] for row in rows(out)] == [str(short)]
    seen = rows(table)
    assert [row["path"] for row in seen[:6]] == [str(short)] * 5 + [str(long)]
    assert 40 < len(seen) < 600
    assert None not in seen[-1].values()
    assert [p.name for p in (tmp_path / "drawn").iterdir()] == ["a.mp4"]


class FakeCamera:
    """Gives pictures, and Ctrl-C after some."""

    def __init__(self, *_: object) -> None:
        self.left = 20

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FRAME_WIDTH: 96, cv2.CAP_PROP_FRAME_HEIGHT: 64}.get(
            what, -1
        )

    def grab(self) -> bool:
        time.sleep(0.01)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((64, 96, 3), 90, np.uint8)

    def release(self) -> None:
        pass


def test_a_webcam_is_ended_by_ctrl_c(
    arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read.cv2, "VideoCapture", FakeCamera)
    result = arcage("predict", "--webcam", 0, "--rate", 1000, "--frames", tmp_path / "frames.csv")
    assert result.exit_code == 0
    assert result.stderr.startswith("camera 0: Ctrl-C ends it, and the answers follow\n")
    (row,) = csv.DictReader(result.stdout.splitlines())
    assert (row["path"], row["face"], row["faces"], row["age"], row["status"]) == (
        "webcam-0",
        "0",
        "1",
        "30.0",
        "ok",
    )
    seen = rows(tmp_path / "frames.csv")
    assert 5 < len(seen) < 20
    times = [float(row["seconds"]) for row in seen]
    assert times == sorted(times)
    assert times[-1] > 0.05


class Told(FakeCamera):
    """Gives no pictures but those of the list: time in seconds, width."""

    def __init__(self, *pictures: tuple[float, int], count: int = 0) -> None:
        self.pictures = list(pictures)
        self.count = count
        self.now = (0.0, 96)

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return 1000 * self.now[0]
        return self.count if what == cv2.CAP_PROP_FRAME_COUNT else super().get(what)

    def grab(self) -> bool:
        if not self.pictures:
            return False
        self.now = self.pictures.pop(0)
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((64, self.now[1], 3), 90, np.uint8)


def test_times_of_damaged_videos() -> None:
    nan, inf = math.nan, math.inf
    told = (nan, 0, 0, 0.5, 0.4, inf, nan, 3.0)
    frames = list(read.Reader(Told(*((time, 96) for time in told)), 1000))
    # Where the time stands still, goes back or is none, it goes on by the rate that the video tells: 30.
    expected = np.array([1, 2, 3, 15, 16, 17, 18, 90]) / 30
    np.testing.assert_allclose([frame.seconds for frame in frames], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("seconds", "count", "cut"),
    [
        (np.arange(100) / 30, 100, False),
        (np.arange(40) / 30, 100, True),
        (np.arange(100) / 60, 100, False),  # all frames, in less time than at the rate told
        (np.arange(40) / 12, 100, False),  # fewer frames, in all the time
        (np.arange(40) / 30, 0, False),
    ],
)
def test_videos_are_cut_where_frames_and_time_are_missing(seconds: np.ndarray, count: int, cut: bool) -> None:
    reader = read.Reader(Told(*((time, 96) for time in seconds), count=count), 5)
    for _ in reader:
        pass
    assert reader.truncated == cut


def test_the_size_may_change_and_not_pass_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.mp4"
    with draw_video(target, 30) as draw:
        for frame in read.Reader(Told((0, 640), (0.04, 320), (0.07, 900)), 30):
            draw(frame, [])
    with open_video(str(target), 1000) as reader:
        assert {frame.image.shape for frame in reader} == {(64, 640, 3)}
        assert reader.count == 3
    monkeypatch.setattr(read, "MAX_PIXELS", 64 * 300)
    with pytest.raises(ImageError, match="too large: 20,480 pixels a frame"):
        list(read.Reader(Told((0, 96), (0.1, 320)), 30))


def test_a_video_that_claims_years_does_not_fill_the_disk(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    with draw_video(target, 5) as draw:
        for seconds in (0, 1e9, 1e9 + 0.4):
            draw(Frame(0, seconds, GREEN), [])
    with open_video(str(target), 1000) as reader:
        assert reader.count == 1 + 10 * 5 + 1 + 2


def test_a_camera_without_pictures_says_so() -> None:
    with pytest.raises(DeviceError, match="the camera gives no pictures"):
        list(read.Reader(Told(), 5, live=True))


def test_a_full_disk_leaves_the_old_video(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    with draw_video(target, 25) as draw:
        draw(Frame(0, 0, GREEN), [])
    old = target.read_bytes()
    rng = np.random.default_rng(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def draw_noise() -> None:
        with draw_video(target, 25) as draw:
            for n in range(20):
                draw(Frame(n, n / 25, rng.integers(0, 255, GREEN.shape, np.uint8)), [])

    try:
        # No file of this process gets larger, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        with pytest.raises(OutputError, match="cannot write"):
            draw_noise()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert target.read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_ctrl_c_in_the_middle_of_a_frame_of_a_camera(
    tmp_path: Path, predictor: Predictor, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = GREEN.copy()
    put(picture, portrait, 200, 90)

    class Camera(Told):
        def retrieve(self) -> tuple[bool, np.ndarray]:
            return True, picture[:, :, ::-1].copy()

    monkeypatch.setattr(read.cv2, "VideoCapture", lambda *_: Camera(*[(0, 640)] * 5))
    seen: list[int] = []

    def write(frame: Frame, found: Any) -> None:
        seen.append(frame.number)
        signal.raise_signal(signal.SIGINT)
        seen.append(len(found))

    with handle_signals():
        ((source, (row,)),) = Videos(predictor, 1000, frames=write).camera(0)
        assert not is_stopping()  # so that the next one counts as the first
    assert seen == [0, 1]
    assert (source.path, row.status, row.gender) == ("webcam-0", "ok", "female")


def test_sources_that_are_videos(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.MOV", "c.jpg"):
        (tmp_path / name).touch()
    found = walk([str(tmp_path / name) for name in ("a.mp4", "b.MOV", "c.jpg")])
    assert [source.video for source in found] == [True, True, False]
    assert list(walk([str(tmp_path)])) == [Source(str(tmp_path / "c.jpg"), "c.jpg")]


# Codecs


def box(name: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return struct.pack(">I4s", 8 + len(body), name) + body


def handler(kind: bytes, of: bytes = b"mhlr") -> bytes:
    return box(b"hdlr", bytes(4), of, kind, bytes(12))


def track(medium: bytes, code: bytes) -> bytes:
    samples = box(b"stbl", box(b"stsd", bytes(4), struct.pack(">I", 1), box(code, bytes(78))))
    inside = box(b"minf", handler(b"url ", b"dhlr"), samples)
    return box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", handler(medium), inside))


def ogg(*packets: bytes) -> bytes:
    return b"".join(b"OggS\0\2" + bytes(20) + bytes((1, len(packet))) + packet for packet in packets)


# A box with a size of 64 bits.
LARGE = box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"moov", 16 + len(track(b"vide", b"hvc1")))
LARGE += track(b"vide", b"hvc1")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (box(b"ftyp", b"isom") + box(b"moov", track(b"soun", b"mp4a"), track(b"vide", b"av01")), "AV1"),
        (box(b"wide") + box(b"mdat", bytes(99)) + box(b"moov", track(b"vide", b"vvc1")), "VVC (H.266)"),
        (box(b"ftyp", b"qt  ") + box(b"moov", track(b"vide", b"apch")), "ProRes"),
        (box(b"ftyp", b"isom") + box(b"moov", track(b"vide", b"zzzz")), "zzzz"),
        (box(b"ftyp", b"isom") + box(b"moov", track(b"soun", b"mp4a")), ""),
        (LARGE, "HEVC (H.265)"),
        (b"\x1a\x45\xdf\xa3" + bytes(30) + b"\x86\x85V_AV1" + bytes(9), "AV1"),
        (b"\x1a\x45\xdf\xa3" + bytes(30) + b"\x86\x86A_OPUS\x86\x90V_MPEGH/ISO/HEVC", "HEVC (H.265)"),
        (ogg(b"\x01vorbis", b"\x80theora"), "Theora"),
        (ogg(b"\x01vorbis"), ""),
        (b"RIFF\0\1\0\0AVI LIST\0\0\0\0hdrlstrh\x38\0\0\0vidsAV01" + bytes(40), "AV1"),
        (b"G" + bytes(200) + b"\x05\x04AV01" + bytes(100), "AV1"),
        (b"FLV\1\1\0\0\0\x09\0\0\0\0\x90av01" + bytes(40), "AV1"),
        (b"hello\n" * 50, ""),
        (box(b"ftyp", b"isom") + struct.pack(">I4s", 3, b"moov"), ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_the_codec_as_the_container_names_it(data: bytes, name: str) -> None:
    assert codec(io.BytesIO(data)) == name
    for end in range(0, len(data), 7):
        codec(io.BytesIO(data[:end]))  # a cut file is no error


# FFmpeg 9, a grey picture of 32x32 by libaom-av1, and one that libtheora repeats; both packed by zlib.
UNDECODED = {
    "AV1": (
        "eNqNUjFPQjEQvvdYCJJIIoMmDI+ERBYSIDqamLgwOLjo5FJoX3ih5b20pYnGATd/hKubP4LB2Z/g7K8Qr+WRV0CNl17vrvfd"
        "Xa9XAIhifZclKhUAIVhJTLeHsi+ykx4AlGPJGMqmoERXKqiFx1/iYR7192qwQGuO/I78IdLUoJsLM6awQaVP3NoQgF0FBZuo"
        "bfsc/qQQV0dLMkH9Vk9czdIP2do7kf+pG+UM0GJUK5QNxpX2ItpFbPAiaEJshKDbvffdVa/fnNEZUy7XHpNQ5iNv0E4HZEo5"
        "s5jgSiTTGJW6ES6pf80WXfkaVLLYu1R1Jnm00oOa0kOO+qvSinqYZzvhX57CNh3BAOVgjdi/JGYU8WRIUtEhprcTcbhc2h1d"
        "F49QBf+PoFaJE8ZdmVpGVJbXtFwfapk/6MHTOpfS7rGhwIVWb2APo83zIg/67nPfUXE2Sj18F/lsRrUd0qlgTlpq+gPBIUqS"
        "Zdxvrpzg1L8B8YZh8A=="
    ),
    "Theora": (
        "eNqll3s8lNsaxw22uxjXSmhQcimJkMtmxAxCM+NSI2IwmGoYd0ruw4SITJLKdknu28j9OmhoJrmUkFQzuVUKIUpqzqtxPmef"
        "88fZf+zfZ63n+z5rPc9613rXev9YJ319Hbi4uf5HmhiHbyD12BA/bEAQhocbBEQAMXt/FUC7gAraLjyiZlzUk1uj/JeAPq5r"
        "Cy3iO7TYfxEpjjMkH9Dr44MnYH234mSAivX3CvDGBpnYYsK89l7AeXLi4jnIvy7CKAdUSiIl+QDytuDo3y8D46sdfLMebTpL"
        "bEYcO3NhVv2LX4XjAUk1FRfxn5HH8q76OAhG1DqpXb+iEr9LIMpYPp2vCBrb5qwuJcjrCQEa9ogkcXeZkQykZSZm9CI1M2gY"
        "rb4EcsOA55/OKfXmcUeyLAvE5q7nNo1iD+ek7kPlGmRZQa4l93SNM8/p7hSmeRaYXYMpiQMN1EcemlICCXFmNUv/VFTqZwgU"
        "ihgaYoEhSKQZkwm4SCSCBQJrA0SCwFsWiYRoc8ix/xEXlQKCZlKoQD4E2dVVwxwG3K4uKgukjaEMD3eBtQGPxRqGxlG6hgEC"
        "FgDwMPyLw1w1BaD4BJ0hKpWlXVTUQwDy4xOyHWJZYMyzo6E8LIinQzFsNGQ4XifkN5lk6R4p3pmw8JwkRyJtTZUPFqb9TwWB"
        "IDMLAEGgmC0UIDG/3AKO/XuBIZhlc3NzKAQar7RFTLyE+RaXt7y/FxQMiV/T09PThiCL928xrigJgN6R1S3v76WN/IeCAB8g"
        "MC6Tso2ubQxvY3gbw9tgbYO1DRYYDIYGFnSDOOCGcKCE5ACF5ACF5ACVyUFW4TYKQCAQNK6bO46DhG3wboMXxAEviAM+bg4E"
        "tiHAFXXWNeTy2cmPplrVNbt9VKOIcl3PJS8F9Vu2pOtTo2ckLNq7KFkbz1G6/dW08UTBR12f5G1zBjD1FaJp5ai27+FidCMS"
        "LtctlcKrlQlPqkBc8G6LDlrwPAWvi1QVXHeygqbMlgGo7o3XyX6aMGE83wyhMka9Am6bpiy1Saw0bqrKlygMz6Eserk/jPo4"
        "IM537DoIga/FXZT6TOlvVTZbQFyC3wnKw4fXnPpNPU2gQ4WdalkZJNZkYZTnvgDByYnQyH/o29tMI9YDDLO+OJIFVgzsyZXj"
        "h/RTwG5xxXH0t8mtoW/Y3r3L42r8D6h180bpms5eYrGMdNhVi6f0evbIveYXe05HKaryPqXXRRxk6nx4J+PM6+JFJ291CVYp"
        "tH3kG7Fk84x/uyzYnPhx44xHFWH/DbsQGmjWftHJKlZlbH6y3X5/zjnRgQcYiRF9YQ1RU5oCPJpQnpX92/Ad74dF7kRyKp1+"
        "bwJ+pylYPDlw4YLie7zlAYFqAm0ebUnOUHF/GQ7RG7l8M62nwHTDu2F3CkI5EY1uWflkPRs9kWjRXPPOxXvdXvjm18zBUGmU"
        "ZqX7gcuLsRNX2GMlETCla9geqcmJQ0bPIjyE59GlsR8U5KJaCuw1ztwNCiOtki2ewr+VwCRnZQeqqckr9wPxKXNDQudwfoSZ"
        "nXYaEyorrmn6/bubk9auk8d7mcov1/kDuX3rTqjecbyvozp0ENMkZqQntH8NrXRe9NOcBs3HY2bkoncTOyOlzKWba2PtsOT0"
        "5PmJQ7e7NauCQSwNzyvtWSbC6E6Wk1LOwwCjzTu9fprSk69iz9ni4bV0SftU9LHE3g2iY1qz4YDkpv8OcCJNtH7NzYjiViyX"
        "MyARKaMooI6CLQofX1MzrvK60neo8HgwoX834qW7T47GT6mm255PClW8E59+qurTv/OdufGcHE8isANzEI7qxUZ+gvcm7Pxm"
        "Wbf1qb/XbX7Z43baOTLxUz+FiVJCiJbkoHWJMXD+5oi6ng74qIa2r+K04EIAAu1mEy64oMz7pD7H+gixK6ZjB3EXa+JNuq3n"
        "T5CTqpLtTa9pvgUxz7rQZdlgEgPU8AB3KLz6B9az3Mq5PT+IX6xI4dAPrK/lctg0hqSLr3zBKDpAdGwE5cEmZtIaLwvyJBM/"
        "Stl9TaHhjAxd1kKiSOoo5kVtuXP0khBMTJhcgXO9yUO/FoUTe/PYzfxiR1+ZzKqq2JUm8YWmqjllBh+/j9GtvaQ4N+6iKP6t"
        "R66/0dQI/qdOqoar33vx/Tk4kyLuW2nMOpcOnjnFxtuiUhISDXnuUd1MuGzUDBprc/pBqEDUYyEnxZYkULCC3CgaFyFRgq+8"
        "Bc9XTR82KSRsfHDaUyu61XS39+dS2BVYtDym+6UQ099L5C3/4DcHRL3I1IMJPi/rvPOauYYdtbTXe3YyU0x6p9nVM79Z7vXW"
        "e65jO1OQLt+SUvvQVEHZJGtd5upQlWzpLt3+l66n7Uz9pMcdEKlTZccUs76HBBhIoww7E2d3Lv9eBynqHBIZ5psotjuUOfMe"
        "i33trza5QuwEySBegRhL1+w08CEDxoqtXlCs9+LFUtRXTyu95xrWDxikM02h76IxuzU2T3nkkytaoYjX9w7zny9kNt5/TTpB"
        "F3lSb/P0wk0WO1ltBFZLabdBLIFXVc52pUIaym75av2kHrNviX9TEUGR9WI4Gaho2VDxZdlPdHqn10jIYK4vyxmjzrDFqj6y"
        "mswP5Xwr8crKNNnrR3B5PPjA1p+F8vdPwOVIA+bvU/t3eeLy8H6NL6TNUIYLNJw1+yvxod2mVAZGt6hUcJwQk9NzKQ29gvaw"
        "sLKZwHstPh4dUS9uetzJfXhrYdd1Hd2XoufHRLShzfiUR5G3naxgVjY4HXxw4bomAbLCDGNofVL40vv2UuUpLiHtztVNaknB"
        "uUXQ3v6nPhOPb4CVF7rrtC4afA9sHnpI1y7B15Nhglpwxi2S2O+VNfmNjTJLMVLKgcb5x644qQicjKmrpbxBNgnx4NG6gzKS"
        "WjcW+aZW5+OAtMMFN/SfqPjtOIndkCi3OHmwCvPGVUDCIJtIH/ux4GSN9TYPZjWU7zzb9Fgm97vOYy/+s59t7o/Gx27tRPGA"
        "cSSkY1rsVQ1WPP+x9IJaGU8yIkNyuZrqLv/mIMLDah9Ou6F5Js3udeumA2JxzplqopxKJt/1N99sV+ZTxmP34+6ekhymotGy"
        "iLJS5aimtiO5JUFX6/sE91QV8jx5nTG3GHuVAX+2UZ7ZeU08OxxMS+merujNbRjp9jnNDoC2nY0fY4f3EcnxTj2aLj74ch/Z"
        "Qbia4V64ULkNMq/1gxI3XEa6eZ9wCSZmCm9LweUzZAZZH49Ko2LT0KenoumuV7Lt8RXspNN1/S2jsl/eS9Ih4sb1dlDRgRjV"
        "wyqSwPFFB/W1Cq0LKVvGDMhf3NFpbyVavzVFSvf3cgeuz4PdpKpJSl/5wFSiA1LsXttXM1gB5ABwKGz3Y6+u+yuu01LoP0PF"
        "YaAbB3WAn0R4IWeVHVRbf1QgKvaVhKVMO2Ge8p5u/uxbwq/Jz8oOvn6nrhbxtvuof9YmUSohgg4hxRIMRQi+mRfmF2y/jsG/"
        "BxV1ntCIVC+Hfc46DuZihuxkDiq9GJvM/VydsTYDj77hvOzkeHVKJUkJRH2n3XXX8sGfzTpTboqfGOk/NKumy8ukUYT8UpDE"
        "ku0zHTyWATM4/pZBa+tYdXshr7gg7JV0T8u18w+0K38ekS6yM60El9tQ+8aUP0bpndjcHMNJs1IRKVvFMiNYnc0GFmmd60V8"
        "VXRmCI1mjD37CmOp4n/sNQ+Jzj6ce0PjiQ6+asSipPD6o7jV1bCpfPNW5Vj/g6a7PJ8d8ZHNOx/Sbi1qLnXS+ZRNMU+kAmgZ"
        "u25fd77oRxrBN7utlVBU+ki8SEXQcrSmLddi7rLpBs3j5SljINfkx/I+R/L/2T3OncbsL3earWsSOmf6DojPlJ+vwozrVwSv"
        "+V8ieIC6DyeNBSL/Bd+6JNM="
    ),
}


@pytest.mark.parametrize("name", UNDECODED)
def test_a_codec_that_cannot_be_decoded_is_named(
    name: str, arcage: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(zlib.decompress(base64.b64decode(UNDECODED[name])))
    (row,) = csv.DictReader(io.StringIO(arcage("predict", path).stdout))
    capture = cv2.VideoCapture(str(path))
    if capture.read()[0]:  # wheels differ: 4.12 decodes this Theora, 4.14 AV1, and 5.0 neither
        assert (row["status"], row["error"]) == ("no_face", "")
        return
    assert row["status"] == "unreadable"
    assert row["error"] == (
        f"OpenCV cannot decode the codec of this video, {name}: convert it, as in "
        "ffmpeg -i video.mp4 -c:v libx264 converted.mp4"
    )


def test_progress_of_the_frames_of_a_video(predictor: Predictor, tmp_path: Path) -> None:
    calls: list[object] = []

    @contextmanager
    def progress(frames: int) -> Iterator[Callable[[], object]]:
        calls.append(frames)
        yield lambda: calls.append("frame")

    path = write_video(tmp_path / "a.mp4", grey(30))
    videos = Videos(predictor, 5, progress=progress)
    assert [rows[0].status for _, rows in videos.stream(walk([path]))] == ["no_face"]
    assert calls == [6, *["frame"] * 6]
