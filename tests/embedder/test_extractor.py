"""The Extractor with the bundled models: order, failures, caching, processes and the fingerprint."""

from __future__ import annotations

import copy
import dataclasses
import gc
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from detectors import cosine, side_by_side
from encoded import encode

from arcage.embedder import align, detect, pipeline, reading
from arcage.embedder import extractor as module
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.record import Pack, bundled_pack
from arcage.errors import ImageError, ImageMemoryError, ModelError, UsageError
from arcage.images.decoder import decode
from arcage.images.limits import DecodeLimits
from arcage.images.pixels import pixels_sha256
from arcage.types import U8, Face, ImageFaces

pytestmark = pytest.mark.usefixtures("bundled")


@pytest.fixture(scope="module")
def throughput(make_extractor: Callable[..., Extractor]) -> Extractor:
    return make_extractor(hint="throughput")


@pytest.fixture(autouse=True)
def _no_threads_are_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("arcage")] == []


def give(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def wait_until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def check(image: ImageFaces, dimension: int) -> None:
    assert image.descriptors.dtype == np.float16
    assert image.descriptors.shape == (len(image.faces), dimension)
    assert np.isfinite(image.descriptors).all()
    assert (image.status == "ok") == bool(image.faces)
    assert bool(image.error) == (image.status == "unreadable") == (image.width == 0)


def same(a: ImageFaces, b: ImageFaces, least: float = 0.99999) -> None:
    facts = [(i.sha256, i.width, i.height, i.status, i.error, len(i.faces)) for i in (a, b)]
    assert facts[0] == facts[1]
    for x, y in zip(a.faces, b.faces, strict=True):
        np.testing.assert_allclose(x.box, y.box, atol=0.01)
        np.testing.assert_allclose(x.landmarks, y.landmarks, atol=0.01)
        assert x.score == pytest.approx(y.score, abs=1e-4)
    for x, y in zip(a.descriptors, b.descriptors, strict=True):
        assert cosine(x, y) > least


# Results


def test_one_photo(extractor: Extractor, photo: bytes) -> None:
    image = extractor.extract(photo)
    check(image, extractor.dimension)
    assert (image.status, image.width, image.height) == ("ok", 512, 512)
    assert image.sha256 == hashlib.sha256(photo).hexdigest()
    assert extractor.dimension == sum(m.dimension or 0 for m in extractor.pack.embedders) <= 1024


def test_a_stream_keeps_the_order_and_every_failure_is_a_result(
    throughput: Extractor, photo: bytes, astronaut: U8
) -> None:
    kinds = {
        "ok": photo,
        "group": encode(side_by_side(astronaut, 3), ".png"),
        "no_face": encode(np.full((300, 400, 3), 120, np.uint8), ".png"),
        "pixel": encode(np.zeros((1, 1, 3), np.uint8), ".png"),
        "empty": b"",
        "text": b"not an image",
        "truncated": photo[: len(photo) // 2],
    }
    statuses = dict.fromkeys(kinds, "unreadable") | {"ok": "ok", "group": "ok"}
    statuses |= {"no_face": "no_face", "pixel": "no_face"}
    # More than two chunks, with changing neighbours: fast images must not overtake slow ones.
    names = [name for i in range(10) for name in np.random.default_rng(i).permutation(list(kinds)).tolist()]
    assert len(names) > 2 * module.CHUNK
    items = [(i, name) for i, name in enumerate(names)]
    alone = {name: throughput.extract(data) for name, data in kinds.items()}
    got = list(throughput.stream((item, give(kinds[item[1]])) for item in items))
    assert [item for item, _ in got] == items
    for (_, name), image in got:
        check(image, throughput.dimension)
        assert image.status == statuses[name]
        same(image, alone[name])
    assert len(alone["group"].faces) == 3
    assert alone["empty"].error == "empty file"


def test_both_hints_give_the_same_result(extractor: Extractor, throughput: Extractor, astronaut: U8) -> None:
    data = encode(side_by_side(astronaut, 5), ".png")
    assert throughput.fingerprint == extractor.fingerprint
    assert len(extractor.extract(data).faces) == 5
    same(extractor.extract(data), throughput.extract(data))


def test_exif_orientation_is_applied(extractor: Extractor, astronaut: U8) -> None:
    done, turned = cv2.imencode(".jpg", np.ascontiguousarray(np.rot90(astronaut)[:, :, ::-1]))
    assert done
    plain = turned.tobytes()
    tag = struct.pack("<HHII", 274, 3, 1, 6)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + tag + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    photo = extractor.extract(plain[:2] + segment + plain[2:])
    upright = extractor.extract(encode(np.rot90(decode(plain), -1), ".png"))
    assert photo.status == "ok"
    same(dataclasses.replace(photo, sha256=upright.sha256), upright)


def test_cached_images_are_not_decoded(extractor: Extractor, photo: bytes) -> None:
    sha256 = hashlib.sha256(photo).hexdigest()
    none = np.empty((0, extractor.dimension), np.float16)
    cached = ImageFaces(sha256, 1, 2, "no_face", "", (), none, min_face=40)
    requested: list[str] = []

    def lookup(key: str) -> ImageFaces | None:
        requested.append(key)
        return cached if key == sha256 else None

    items = [("a", give(b"broken")), ("b", give(photo)), ("c", give(photo + b"\0"))]
    got = dict(extractor.stream(items, lookup))
    assert got["b"] is cached
    assert (got["a"].status, got["c"].status) == ("unreadable", "ok")
    assert sorted(requested) == sorted(hashlib.sha256(read()).hexdigest() for _, read in items)


def test_decoded_pictures_are_known_by_their_pixels(extractor: Extractor, astronaut: U8) -> None:
    stored: dict[str, ImageFaces] = {}

    def extract(*images: U8) -> list[ImageFaces]:
        return [
            got for _, got in extractor.stream(((0, partial(np.copy, one)) for one in images), stored.get)
        ]

    (first,) = extract(astronaut)
    assert (first.status, first.sha256) == ("ok", pixels_sha256(astronaut))
    stored[first.sha256] = first
    turned = np.rot90(astronaut)
    again, other = extract(astronaut, turned)
    assert again is first
    assert other.sha256 == pixels_sha256(turned)
    # Without a cache, nothing is hashed.
    assert dict(extractor.stream([(0, lambda: astronaut)]))[0].sha256 == ""
    with pytest.raises(AssertionError):
        same(first, extractor.extract(encode(astronaut, ".png")))  # as pixels, not as a file


def test_decoded_pictures_are_degraded_by_their_pixels(
    make_extractor: Callable[..., Extractor], astronaut: U8
) -> None:
    variant = make_extractor(variant=1)
    (a, b, c) = (got for _, got in variant.stream((i, lambda: astronaut) for i in range(3)))
    same(a, b)
    same(a, c)


def test_cached_images_load_no_networks(
    compiled: Path, monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    made: list[object] = []
    networks = module.PackNetworks
    monkeypatch.setattr(
        module, "PackNetworks", lambda *arguments: made.append(arguments) or networks(*arguments)
    )
    fresh = module.Extractor(device="cpu")
    none = np.empty((0, fresh.dimension), np.float16)
    cached = ImageFaces("", 1, 2, "no_face", "", (), none, min_face=40)
    assert fresh.engine.device == "cpu"
    images = [(i, give(bytes([i]))) for i in range(2 * module.CHUNK + 1)]
    got = list(fresh.stream(images, lambda _: cached))
    assert [i for i, image in got if image is cached] == [i for i, _ in images]
    assert made == []
    # One image in the second chunk is not cached.
    new = hashlib.sha256(photo).hexdigest()
    images[module.CHUNK + 3] = (-1, give(photo))
    got = list(fresh.stream(images, lambda sha256: None if sha256 == new else cached))
    assert [i for i, _ in got] == [i for i, _ in images]
    assert [i for i, image in got if image is not cached] == [-1]
    assert len(dict(got)[-1].faces) == 1
    assert len(made) == 1


# Failures


def test_too_little_memory_for_the_networks_is_not_an_error_of_the_image(
    monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    def fail(*_: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(module, "PackNetworks", fail)
    with pytest.raises(ModelError, match="not enough memory"):
        module.Extractor(device="cpu").extract(photo)


def test_models_that_fail_are_tried_once(monkeypatch: pytest.MonkeyPatch, photo: bytes) -> None:
    """A try can take seconds, and each image that is read ahead would try again."""
    tries: list[object] = []

    def fail(*arguments: object) -> Any:
        tries.append(arguments)
        raise ModelError("the model takes longer than 4 seconds")

    monkeypatch.setattr(module, "PackNetworks", fail)
    extractor = module.Extractor(device="cpu")
    for _ in range(3):
        with pytest.raises(ModelError, match="the model takes longer than 4 seconds"):
            extractor.extract(photo)
    assert len(tries) == 1


def test_an_image_that_cannot_be_read_is_a_result_without_a_sha256(
    extractor: Extractor, photo: bytes
) -> None:
    def refuse() -> bytes:
        raise ImageError("cannot read: Permission denied")

    got = list(extractor.stream([(1, give(photo)), (2, refuse), (3, give(photo))]))
    assert [(item, image.status) for item, image in got] == [(1, "ok"), (2, "unreadable"), (3, "ok")]
    check(got[1][1], extractor.dimension)
    assert (got[1][1].sha256, got[1][1].error) == ("", "cannot read: Permission denied")


@pytest.mark.parametrize("where", ["reader", "source", "lookup"])
def test_other_errors_end_the_stream(extractor: Extractor, photo: bytes, where: str) -> None:
    class CustomError(Exception):
        pass

    def fail(*_: object) -> Any:
        raise CustomError

    def images() -> Iterator[tuple[int, Callable[[], bytes]]]:
        for i in range(100):
            if where == "source" and i == 50:
                fail()
            yield i, fail if where == "reader" and i == 50 else give(b"")

    with pytest.raises(CustomError):
        list(extractor.stream(images(), fail if where == "lookup" else None))
    # The next stream works.
    assert extractor.extract(photo).status == "ok"


def test_no_thread_is_left_after_stopping_early(extractor: Extractor) -> None:
    read = 0

    def count() -> bytes:
        nonlocal read
        read += 1
        time.sleep(0.005)
        return b""

    stream = extractor.stream((i, count) for i in range(10_000))
    assert next(stream)[0] == 0
    assert any(thread.name.startswith("arcage") for thread in threading.enumerate())
    stream.close()
    # Images that were submitted and not started are never read.
    assert read < 1.5 * module.CHUNK
    assert not any(thread.name.startswith("arcage") for thread in threading.enumerate())


@pytest.mark.parametrize(("size", "most"), [(100 << 20, 3), (1 << 30, 1), (0, 20)])
def test_few_large_pictures_are_in_memory_at_once(extractor: Extractor, size: int, most: int) -> None:
    ahead, seen = 0, []

    def images() -> Iterator[tuple[int, Callable[[], U8]]]:
        nonlocal ahead
        for number in range(20):
            ahead += 1
            seen.append(ahead)
            yield number, lambda: np.zeros((20, 30, 3), np.uint8)

    results = []
    for number, _ in extractor.stream(images(), chunk=10, size_of=lambda _: size):
        ahead -= 1
        results.append(number)
    assert results == list(range(20))
    assert max(seen) <= most


def test_closing_frees_the_networks_until_they_are_needed(
    make_extractor: Callable[..., Extractor], photo: bytes
) -> None:
    extractor = make_extractor()
    before = extractor.extract(photo)
    networks = weakref.ref(extractor.networks)
    extractor.close()
    gc.collect()
    assert networks() is None
    same(extractor.extract(photo), before)


def test_a_stopped_stream_reads_no_other_image_of_a_task(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHUTDOWN_SECONDS", 0)
    monkeypatch.setattr(module, "cores", lambda: 1)
    release = threading.Event()
    read: list[int] = []

    def stuck(number: int) -> bytes:
        if number > 1:
            read.append(number)
            assert release.wait(30)
        return b""

    stream = extractor.stream((number, partial(stuck, number)) for number in range(100))
    assert [next(stream)[0], next(stream)[0]] == [0, 1]
    wait_until(lambda: len(read) == 2)  # one of each worker
    stream.close()
    release.set()
    wait_until(lambda: not any(t.name.startswith("arcage") for t in threading.enumerate()))
    assert len(read) == 2


def test_a_result_does_not_wait_for_the_next_picture_of_a_camera(extractor: Extractor) -> None:
    taken = 0

    def pictures() -> Iterator[tuple[int, Callable[[], bytes]]]:
        nonlocal taken
        for number in range(5):
            taken += 1
            yield number, give(b"")

    stream = extractor.stream(pictures(), chunk=1)
    for number in range(4):
        assert next(stream)[0] == number
        assert taken == number + 2
    assert [number for number, _ in stream] == [4]


def test_small_pictures_of_a_video_keep_all_processors_busy(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "cores", lambda: 8)
    release = threading.Event()
    reading: list[int] = []

    def picture(number: int) -> bytes:
        if number >= 8:  # the first are taken one at a time, until their size is known
            reading.append(number)
            assert release.wait(30)
        return b""

    stream = extractor.stream(((n, partial(picture, n)) for n in range(30)), chunk=4)
    assert [next(stream)[0] for _ in range(8)] == list(range(8))
    wait_until(lambda: len(reading) == 7)  # of twice four, the last one is still here
    release.set()
    assert [number for number, _ in stream] == list(range(8, 30))


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("decode", ImageMemoryError("not enough memory for 9 x 9 pixels")),
        ("find_faces", MemoryError()),
        ("find_faces", "Insufficient memory"),
        ("align", "std::bad_alloc"),
    ],
)
def test_lack_of_memory_is_a_result_that_no_cache_keeps(
    where: str, error: Any, extractor: Extractor, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(error, str):
        message, error = error, cv2.error(error)
        error.code = cv2.Error.StsNoMem if message.startswith("Insufficient") else None

    def fail(*_: object, **__: object) -> None:
        raise error

    target = reading if where == "decode" else getattr(module, "detect" if where == "find_faces" else where)
    with monkeypatch.context() as patch:
        patch.setattr(target, where, fail)
        image = extractor.extract(photo)
    check(image, extractor.dimension)
    assert image.sha256 == ""
    assert image.error.startswith("not enough memory")
    assert extractor.extract(photo).status == "ok"


def test_lack_of_memory_for_several_images_is_that_of_one(
    extractor: Extractor, photo: bytes, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose images need too much memory together is done again, one image at a time."""
    find_faces, together = detect.find_faces, []
    group = encode(side_by_side(astronaut, 3), ".png")
    large = encode(np.zeros((300, 700, 3), np.uint8), ".png")

    def find(detector: Any, images: list[U8], *arguments: Any) -> Any:
        together.append(len(images))
        if any(image.shape[1] == 700 for image in images):
            raise MemoryError
        return find_faces(detector, images, *arguments)

    expected = {name: extractor.extract(data) for name, data in (("photo", photo), ("group", group))}
    monkeypatch.setattr(detect, "find_faces", find)
    kinds = {"photo": photo, "group": group, "large": large}
    task = [(name, give(data)) for name, data in kinds.items()]
    results = dict(extractor._extract_all(task, None, threading.Event()).results)
    assert together == [3, 1, 1, 1]
    assert list(results) == list(kinds)
    for name in ("photo", "group"):
        same(results[name], expected[name])
    assert (results["large"].status, results["large"].sha256) == ("unreadable", "")
    assert results["large"].error.startswith("not enough memory")


@pytest.mark.parametrize("held", [0, 1 << 40])
def test_images_of_a_task_are_in_its_order_and_have_their_own_faces(
    held: int, extractor: Extractor, photo: bytes, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One after the other, as large images are, and all together.
    monkeypatch.setattr(module, "_MAX_HELD", held)
    kinds = {
        "sideways": encode(np.rot90(astronaut), ".png"),
        "broken": b"",
        "group": encode(side_by_side(astronaut, 3), ".png"),
        "none": encode(np.full((300, 400, 3), 120, np.uint8), ".png"),
        "photo": photo,
        "upside down": encode(np.rot90(astronaut, 2), ".png"),
    }
    alone = {name: extractor.extract(data) for name, data in kinds.items()}
    task = [(name, give(data)) for name, data in kinds.items()]
    done = extractor._extract_all(task, None, threading.Event())
    assert [name for name, _ in done.results] == list(kinds)
    for name, image in done.results:
        check(image, extractor.dimension)
        same(image, alone[name])
    assert [len(image.faces) for _, image in done.results] == [1, 0, 3, 0, 1, 1]
    assert done.size == 3 * 512 * 512 * 3 + 600 * 200 * 3 + 300 * 400 * 3


def test_a_large_image_is_not_kept_while_the_next_is_read(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_HELD", 0)
    images: list[weakref.ref[U8]] = []

    def picture() -> U8:
        assert all(image() is None for image in images)
        image = np.zeros((20, 30, 3), np.uint8)
        images.append(weakref.ref(image))
        return image

    assert (
        len(
            extractor._extract_all(
                [(number, picture) for number in range(3)], None, threading.Event()
            ).results
        )
        == 3
    )


def test_an_error_in_opencv_is_not_hidden(
    extractor: Extractor, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        cv2.resize(np.empty((0, 0, 3), np.uint8), (1, 1))

    monkeypatch.setattr(detect, "find_faces", fail)
    with pytest.raises(cv2.error):
        extractor.extract(photo)


# Processes and threads


def test_an_extractor_can_be_pickled(
    extractor: Extractor, photo: bytes, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    before = extractor.extract(photo)
    data = pickle.dumps(extractor)
    # Without the networks, which are loaded where it is used.
    assert len(data) < 10_000
    again: Extractor = pickle.loads(data)  # noqa: S301
    assert again._networks is None
    assert (again.fingerprint, again.device, again.hint) == (extractor.fingerprint, "cpu", "latency")
    same(again.extract(photo), before)


def test_a_relative_pack_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pack = dataclasses.replace(bundled_pack(), folder=Path("mine"))
    data = pickle.dumps(module.Extractor(pack))
    monkeypatch.chdir("/")
    assert pickle.loads(data).pack == dataclasses.replace(pack, folder=tmp_path / "mine")  # noqa: S301


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_a_forked_process_loads_its_own_networks(
    hint: str, photo: bytes, compiled: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo)
    code = """
import os, sys, threading, time, warnings
from arcage.embedder.extractor import Extractor
warnings.simplefilter("ignore")  # about a fork with threads, which is what is tested
path, hint = sys.argv[1:]
photo = open(path, "rb").read()
extractor = Extractor(hint=hint)

def fork(state):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        print(state, extractor.extract(photo).status)
        sys.exit(0)  # not os._exit: destructors run
    until = time.monotonic() + 30
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, (state, status)
            return
        time.sleep(0.01)
    os.kill(child, 9)
    raise SystemExit(f"{state}: the child hangs")

def work():
    while not stop.is_set():
        extractor.extract(photo)

extractor.extract(photo)
fork("used")
stop = threading.Event()
thread = threading.Thread(target=work)
thread.start()
time.sleep(0.1)
fork("in use")
stop.set()
thread.join()
"""
    printed = python(code, str(tmp_path / "a.jpg"), hint, XDG_CACHE_HOME=str(compiled))
    assert printed == "used ok\nin use ok\n"


def test_threads_that_share_an_extractor_load_its_networks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    barrier = threading.Barrier(4)

    def make(*arguments: object) -> Any:
        made.append(arguments)
        threading.Event().wait(0.05)
        return SimpleNamespace()

    monkeypatch.setattr(module, "make_engine", lambda device, hint, precision: None)
    monkeypatch.setattr(module, "PackNetworks", make)
    shared = module.Extractor()

    def use() -> None:
        barrier.wait()
        assert shared.networks is not None

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


# The fingerprint


def test_the_fingerprint_depends_on_the_pipeline_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = bundled_pack()
    expected = module.Extractor().fingerprint
    assert len(expected) == 16
    assert int(expected, 16) >= 0
    for other in (
        module.Extractor(device="cuda"),
        module.Extractor(hint="latency"),
        module.Extractor(pack),
        module.Extractor(dataclasses.replace(pack, folder=tmp_path, name="other")),
    ):
        assert other.fingerprint == expected
        assert other._networks is None
    # The same in another process, with another hash seed.
    code = "from arcage.embedder.extractor import Extractor; print(Extractor().fingerprint)"
    assert python(code, PYTHONHASHSEED="7").strip() == expected

    detector, first, second = pack.models
    changed = dataclasses.replace(first, sha256="0" * 64)
    packs = [
        Pack("x", tmp_path, detector, (changed, second), False),
        Pack("x", tmp_path, detector, (second, first), False),
        Pack("x", tmp_path, detector, (first,), False),
        Pack("x", tmp_path, dataclasses.replace(detector, sha256="0" * 64), (first, second), False),
    ]
    found = {module.Extractor(p).fingerprint for p in packs}
    monkeypatch.setattr(pipeline, "PIPELINE_SCHEMA", pipeline.PIPELINE_SCHEMA + 1)
    found.add(module.Extractor().fingerprint)
    monkeypatch.setattr(align, "VISIBLE", (0, 0, 112, 112))
    found.add(module.Extractor().fingerprint)
    assert len(found | {expected}) == len(packs) + 3
    # It can be written as JSON.
    assert json.loads(json.dumps(module.Extractor().pipeline))["alignment"]["side"] == 112


def python(code: str, *arguments: str, **environment: str) -> str:
    """Run a script in another process, and return its standard output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_no_socket_is_opened_and_no_telemetry_imported(compiled: Path, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
calls = []
# Telemetry would come from another process.
watched = ("socket.", "os.fork", "os.posix_spawn", "os.exec", "os.system", "subprocess.")
sys.addaudithook(lambda event, arguments: event.startswith(watched) and calls.append((event, arguments)))
from arcage.embedder.extractor import Extractor
extractor = Extractor(device="cpu", hint="latency")
image = extractor.extract(Path(sys.argv[1]).read_bytes())
assert image.status == "ok", image
assert not calls, calls
unwanted = {"openvino.tools.ovc", "openvino_telemetry", "urllib.request", "multiprocessing.process"}
slow = {"onnxruntime", "onnx", "sklearn", "lightgbm", "pandas", "scipy"}
found = (unwanted | slow) & set(sys.modules)
assert not found, found
print(extractor.engine.name)
"""
    photo = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
    home = {name: str(tmp_path) for name in ("HOME", "USERPROFILE", "LOCALAPPDATA")}
    assert python(code, str(photo), **home, XDG_CACHE_HOME=str(compiled)).startswith("openvino 20")
    # No identifier is left behind.
    assert list(tmp_path.iterdir()) == []


# Cached results of another search


def test_results_of_a_coarser_search_are_accepted_if_a_finer_one_would_find_no_more(
    extractor: Extractor,
) -> None:
    def stored(width: int, height: int, min_face: int | None, score: float | None = 0.95) -> ImageFaces:
        none = np.empty((0, extractor.dimension), np.float16)
        face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), score or 0)
        faces = () if score is None else (face,)
        status = "ok" if faces else "no_face"
        return ImageFaces("", width, height, status, "", faces, none, min_face=min_face)  # type: ignore[arg-type]

    fine = module.Extractor(device="cpu", min_face=12)
    coarse = module.Extractor(device="cpu", min_face=200)
    assert extractor.min_face == 40
    assert fine.fingerprint == coarse.fingerprint == extractor.fingerprint
    for width, height, min_face, accepted in (
        (4000, 3000, None, (True, False, True)),
        (12000, 2000, None, (False, False, True)),
        (12000, 2000, 200, (False, False, True)),
        (12000, 2000, 40, (True, False, True)),
        (12000, 2000, 12, (True, True, True)),
        (640, 480, None, (True, True, True)),
    ):
        image = stored(width, height, min_face)
        assert tuple(e.accepts(image) for e in (extractor, fine, coarse)) == accepted, (width, min_face)
    # Versions without min_face did not search for rotated faces.
    assert not extractor.accepts(stored(640, 480, None, 0.8))
    assert not extractor.accepts(stored(640, 480, None, None))
    assert extractor.accepts(stored(640, 480, 40, 0.8))
    assert extractor.accepts(stored(640, 480, 40, None))


def test_a_result_that_is_not_accepted_is_computed_again(extractor: Extractor, photo: bytes) -> None:
    fresh = extractor.extract(photo)
    assert fresh.min_face == 40
    old = dataclasses.replace(fresh, width=12_000, min_face=None)
    assert dict(extractor.stream([(1, give(photo))], lambda _: old))[1].width == 512
    assert dict(extractor.stream([(1, give(photo))], lambda _: fresh))[1] is fresh


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory need Linux")
def test_limits_of_decoding_are_kept_by_copies_and_change_no_fingerprint() -> None:
    limited = Extractor(limits=DecodeLimits(memory=60_000_000))
    data = encode(np.zeros((4000, 8000, 3), np.uint8), ".tiff")
    for extractor in (limited, copy.deepcopy(limited)):
        image = extractor.extract(data)
        assert (image.status, image.sha256) == ("unreadable", "")
        assert "than 60 MB of memory" in image.error
    assert limited.fingerprint == Extractor().fingerprint


def test_min_face_has_a_lower_bound() -> None:
    with pytest.raises(UsageError, match="min_face must be 8 pixels or more, not 7"):
        module.Extractor(min_face=7)


@pytest.mark.parametrize(
    "rotation", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE]
)
def test_a_rotated_photo_without_exif(rotation: int, extractor: Extractor, astronaut: U8) -> None:
    upright = extractor.extract(encode(astronaut, ".png")).descriptors[0]
    rotated = extractor.extract(encode(cv2.rotate(astronaut, rotation), ".png"))
    assert rotated.status == "ok"
    assert cosine(rotated.descriptors[0], upright) > 0.97
