"""The extraction stage on the bundled models: order, failures as rows, the same answer on every way."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from arcage.embedder import align, detect
from arcage.embedder import extractor as extract
from arcage.embedder.engines.openvino import OpenVinoEngine, cache_home
from arcage.embedder.packs.record import BUNDLED_FOLDER, Pack, bundled_pack
from arcage.errors import ImageError, ImageMemoryError, ModelError, UsageError
from arcage.images.decode import decode
from arcage.types import U8, Array, Face, ImageFaces

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

pytestmark = pytest.mark.skipif(not (BUNDLED_FOLDER / "pack.json").exists(), reason="the models are not built")


@pytest.fixture(scope="module")
def throughput(make_extractor: Callable[..., Extractor]) -> Extractor:
    return make_extractor(hint="throughput")


@pytest.fixture(autouse=True)
def _no_threads_are_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("arcage")] == []


def png(image: Array) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))
    assert done
    return data.tobytes()


def cosine(a: Array, b: Array) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def group(astronaut: U8, count: int) -> U8:
    """The face so many times, side by side, mirrored in turn, each a little darker."""
    head = astronaut[20:220, 120:320]
    heads = [(head[:, :: 1 - 2 * (i % 2)] * (1 - i / 20)).astype(np.uint8) for i in range(count)]
    return np.concatenate(heads, axis=1)


def give(data: bytes) -> Callable[[], bytes]:
    return lambda: data


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


# What comes out


def test_one_photo(extractor: Extractor, photo: bytes) -> None:
    image = extractor.extract(photo)
    check(image, extractor.dimension)
    assert (image.status, image.width, image.height) == ("ok", 512, 512)
    assert image.sha256 == hashlib.sha256(photo).hexdigest()
    assert extractor.dimension == sum(m.dimension or 0 for m in extractor.pack.embedders) <= 1024


def test_a_stream_keeps_the_order_and_every_failure_is_a_row(
    throughput: Extractor, photo: bytes, astronaut: U8
) -> None:
    kinds = {
        "ok": photo,
        "group": png(group(astronaut, 3)),
        "no_face": png(np.full((300, 400, 3), 120, np.uint8)),
        "pixel": png(np.zeros((1, 1, 3), np.uint8)),
        "empty": b"",
        "text": b"not an image",
        "truncated": photo[: len(photo) // 2],
    }
    statuses = dict.fromkeys(kinds, "unreadable") | {"ok": "ok", "group": "ok"}
    statuses |= {"no_face": "no_face", "pixel": "no_face"}
    # More than two chunks, and never the same neighbours: what is cheap must not overtake.
    names = [name for i in range(10) for name in np.random.default_rng(i).permutation(list(kinds)).tolist()]
    assert len(names) > 2 * extract.CHUNK
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


def test_hints_give_the_same(extractor: Extractor, throughput: Extractor, astronaut: U8) -> None:
    data = png(group(astronaut, 5))
    assert throughput.fingerprint == extractor.fingerprint
    assert len(extractor.extract(data).faces) == 5
    same(extractor.extract(data), throughput.extract(data))


def test_a_face_does_not_depend_on_its_neighbours_in_the_batch(throughput: Extractor, astronaut: U8) -> None:
    stage = throughput.networks
    faces = detect.find_faces(stage.detector, group(astronaut, 5), 0.5)
    crops = np.stack([align.align(group(astronaut, 5), face.landmarks) for face in faces])
    alone = [stage.embed_batch(crops[i : i + 1])[0] for i in range(len(crops))]
    for size in range(2, stage.batch + 1):
        for face, expected in zip(stage.embed_batch(crops[:size]), alone[:size], strict=True):
            assert cosine(face, expected) > 0.99999


def test_a_face_and_its_mirror_image_are_one(extractor: Extractor, astronaut: U8, photo: bytes) -> None:
    stage = extractor.networks
    crop = align.align(astronaut, extractor.extract(photo).faces[0].landmarks)
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    a, b = stage.embed_batch(crop[None])[0], stage.embed_batch(mirrored[None])[0]
    assert cosine(a, b) > 0.9999
    # Of the whole photo the landmarks are found anew, not quite at the same places.
    flipped = extractor.extract(png(astronaut[:, ::-1])).descriptors[0]
    assert cosine(a, flipped) > 0.9


def test_a_photo_that_was_turned_by_the_camera(extractor: Extractor, astronaut: U8) -> None:
    done, turned = cv2.imencode(".jpg", np.ascontiguousarray(np.rot90(astronaut)[:, :, ::-1]))
    assert done
    plain = turned.tobytes()
    tag = struct.pack("<HHII", 274, 3, 1, 6)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + tag + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    photo = extractor.extract(plain[:2] + segment + plain[2:])
    upright = extractor.extract(png(np.rot90(decode(plain), -1)))
    assert photo.status == "ok"
    same(dataclasses.replace(photo, sha256=upright.sha256), upright)


def test_known_images_are_not_decoded(extractor: Extractor, photo: bytes) -> None:
    sha256 = hashlib.sha256(photo).hexdigest()
    none = np.empty((0, extractor.dimension), np.float16)
    known = ImageFaces(sha256, 1, 2, "no_face", "", (), none, min_face=40)
    asked: list[str] = []

    def cache(key: str) -> ImageFaces | None:
        asked.append(key)
        return known if key == sha256 else None

    items = [("a", give(b"broken")), ("b", give(photo)), ("c", give(photo + b"\0"))]
    got = dict(extractor.stream(items, cache))
    assert got["b"] is known
    assert (got["a"].status, got["c"].status) == ("unreadable", "ok")
    assert sorted(asked) == sorted(hashlib.sha256(read()).hexdigest() for _, read in items)


def test_what_is_known_loads_no_networks(
    compiled: Path, monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    made: list[object] = []
    stage = extract._Stage
    monkeypatch.setattr(extract, "_Stage", lambda *arguments: made.append(arguments) or stage(*arguments))
    fresh = extract.Extractor(device="cpu")
    none = np.empty((0, fresh.dimension), np.float16)
    known = ImageFaces("", 1, 2, "no_face", "", (), none, min_face=40)
    assert fresh.engine.device == "cpu"
    images = [(i, give(bytes([i]))) for i in range(2 * extract.CHUNK + 1)]
    assert [i for i, image in fresh.stream(images, lambda _: known) if image is known] == [
        i for i, _ in images
    ]
    assert made == []
    # From the first image on that is not: among known ones, in the second chunk.
    new = hashlib.sha256(photo).hexdigest()
    images[extract.CHUNK + 3] = (-1, give(photo))
    got = list(fresh.stream(images, lambda sha256: None if sha256 == new else known))
    assert [i for i, _ in got] == [i for i, _ in images]
    assert [i for i, image in got if image is not known] == [-1]
    assert len(dict(got)[-1].faces) == 1
    assert len(made) == 1


# Failures


def test_memory_that_does_not_do_for_the_networks_is_no_fault_of_the_image(
    monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    def fail(*_: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(extract, "_Stage", fail)
    with pytest.raises(ModelError, match="not enough memory"):
        extract.Extractor(device="cpu").extract(photo)


def test_what_cannot_be_read_is_a_row_without_a_sha256(extractor: Extractor, photo: bytes) -> None:
    def refuse() -> bytes:
        raise ImageError("cannot read: Permission denied")

    got = list(extractor.stream([(1, give(photo)), (2, refuse), (3, give(photo))]))
    assert [(item, image.status) for item, image in got] == [(1, "ok"), (2, "unreadable"), (3, "ok")]
    check(got[1][1], extractor.dimension)
    assert (got[1][1].sha256, got[1][1].error) == ("", "cannot read: Permission denied")


@pytest.mark.parametrize("where", ["reader", "source", "known"])
def test_other_errors_end_the_stream(extractor: Extractor, photo: bytes, where: str) -> None:
    class Boom(Exception):  # noqa: N818
        pass

    def fail(*_: object) -> Any:
        raise Boom

    def images() -> Iterator[tuple[int, Callable[[], bytes]]]:
        for i in range(100):
            if where == "source" and i == 50:
                fail()
            yield i, fail if where == "reader" and i == 50 else give(b"")

    with pytest.raises(Boom):
        list(extractor.stream(images(), fail if where == "known" else None))
    # And the next one works.
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
    # What was queued and not begun is never read.
    assert read < 1.5 * extract.CHUNK
    assert not any(thread.name.startswith("arcage") for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("decode", ImageMemoryError("not enough memory for 9 x 9 pixels")),
        ("find_faces", MemoryError()),
        ("find_faces", "Insufficient memory"),
        ("align", "std::bad_alloc"),
    ],
)
def test_lack_of_memory_is_a_row_that_no_cache_keeps(
    where: str, error: Any, extractor: Extractor, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(error, str):
        words, error = error, cv2.error(error)
        error.code = cv2.Error.StsNoMem if words.startswith("Insufficient") else None

    def fail(*_: object) -> None:
        raise error

    target = extract if where == "decode" else getattr(extract, "detect" if where == "find_faces" else where)
    with monkeypatch.context() as patch:
        patch.setattr(target, where, fail)
        image = extractor.extract(photo)
    check(image, extractor.dimension)
    assert image.sha256 == ""
    assert image.error.startswith("not enough memory")
    assert extractor.extract(photo).status == "ok"


def test_an_error_in_opencv_is_not_hidden(
    extractor: Extractor, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        cv2.resize(np.empty((0, 0, 3), np.uint8), (1, 1))

    monkeypatch.setattr(detect, "find_faces", fail)
    with pytest.raises(cv2.error):
        extractor.extract(photo)


# Between processes and threads


def test_an_extractor_can_be_pickled(
    extractor: Extractor, photo: bytes, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    before = extractor.extract(photo)
    data = pickle.dumps(extractor)
    # Not the networks: they are made where it is used.
    assert len(data) < 10_000
    again: Extractor = pickle.loads(data)  # noqa: S301
    assert again._stage is None
    assert (again.fingerprint, again.device, again.hint) == (extractor.fingerprint, "cpu", "latency")
    same(again.extract(photo), before)


def test_a_relative_pack_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pack = dataclasses.replace(bundled_pack(), folder=Path("mine"))
    data = pickle.dumps(extract.Extractor(pack))
    monkeypatch.chdir("/")
    assert pickle.loads(data).pack == dataclasses.replace(pack, folder=tmp_path / "mine")  # noqa: S301


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_a_forked_process_makes_its_own_networks(
    hint: str, photo: bytes, compiled: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo)
    code = """
import os, sys, threading, time, warnings
from arcage.embedder.extractor import Extractor
warnings.simplefilter("ignore")  # of fork beside threads, which is what this is about
path, hint = sys.argv[1:]
photo = open(path, "rb").read()
extractor = Extractor(hint=hint)

def fork(what):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        print(what, extractor.extract(photo).status)
        sys.exit(0)  # not os._exit: destructors run
    until = time.monotonic() + 30
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, (what, status)
            return
        time.sleep(0.01)
    os.kill(child, 9)
    raise SystemExit(f"{what}: the child hangs")

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
    said = python(code, str(tmp_path / "a.jpg"), hint, XDG_CACHE_HOME=str(compiled))
    assert said == "used ok\nin use ok\n"


def test_threads_that_share_one_load_its_networks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    barrier = threading.Barrier(4)

    def make(*arguments: object) -> Any:
        made.append(arguments)
        threading.Event().wait(0.05)
        return SimpleNamespace()

    monkeypatch.setattr(extract, "make_engine", lambda device, hint, precision: None)
    monkeypatch.setattr(extract, "_Stage", make)
    shared = extract.Extractor()

    def use() -> None:
        barrier.wait()
        shared.networks

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


# The fingerprint


def test_the_fingerprint_names_the_pipeline_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = bundled_pack()
    expected = extract.Extractor().fingerprint
    assert len(expected) == 16
    assert int(expected, 16) >= 0
    for other in (
        extract.Extractor(device="cuda"),
        extract.Extractor(hint="latency"),
        extract.Extractor(pack),
        extract.Extractor(dataclasses.replace(pack, folder=tmp_path, name="other")),
    ):
        assert other.fingerprint == expected
        assert other._stage is None
    # It survives a process, whatever the seed of the hashes.
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
    found = {extract.Extractor(p).fingerprint for p in packs}
    monkeypatch.setattr(extract, "SCHEMA", extract.SCHEMA + 1)
    found.add(extract.Extractor().fingerprint)
    monkeypatch.setattr(align, "VISIBLE", (0, 0, 112, 112))
    found.add(extract.Extractor().fingerprint)
    assert len(found | {expected}) == len(packs) + 3
    # Plain values: it is written beside the descriptors.
    assert json.loads(json.dumps(extract.Extractor().pipeline))["alignment"]["side"] == 112


# Damaged packs


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_damaged_model_is_told_before_a_runtime_opens_it(
    index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(BUNDLED_FOLDER, folder)
    pack = dataclasses.replace(bundled_pack(), folder=folder)
    record = pack.models[index]
    path = folder / record.file
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    opened: list[int] = []

    def load(self: object, model: bytes, shape: tuple[int, ...], **_: object) -> Any:
        opened.append(len(model))

    monkeypatch.setattr(OpenVinoEngine, "load", load)
    broken = extract.Extractor(pack, device="cpu")
    with pytest.raises(ModelError, match=r"is damaged .*put the pack's files there again") as caught:
        broken.extract(b"")
    assert str(path) in str(caught.value)
    assert path.stat().st_size not in opened

    path.unlink()
    with pytest.raises(ModelError, match=r"no such file; put the pack's files there again"):
        broken.extract(b"")
    path.mkdir()
    with pytest.raises(ModelError, match=r"cannot read .*put the pack's files there again"):
        broken.extract(b"")


def test_the_bundled_pack_says_how_to_get_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = bundled_pack()
    lost = dataclasses.replace(pack.detector, file="lost.onnx")
    with pytest.raises(ModelError, match="pip install --force-reinstall --no-deps arcage"):
        pack.read(lost)
    monkeypatch.setattr("arcage.embedder.packs.record.BUNDLED_FOLDER", tmp_path)
    for text in (None, "", "{", "{}", '{"models": [{"name": 1}]}', "\xff"):
        if text is not None:
            (tmp_path / "pack.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(ModelError, match="reinstall"):
            bundled_pack()


def test_what_a_runtime_refuses_is_a_model_error(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    with pytest.raises(ModelError, match=r"OpenVINO cannot load this model: \S"):
        OpenVinoEngine().load(b"\x08\x07not a graph", (1, 3, 320, 320))


# The engine's surroundings


def python(code: str, *arguments: str, **environment: str) -> str:
    """Run a script in a process of its own; gives its standard output."""
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


def test_it_works_without_a_folder_for_compiled_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = bundled_pack()
    model = pack.read(pack.detector)
    canvas = np.zeros((1, 3, 64, 64), np.float32)
    (tmp_path / "file").write_text("in the way")

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    def works() -> bool:
        return "cls_8" in OpenVinoEngine().load(model, (1, 3, 64, 64))(canvas)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert works()
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    assert works()
    with monkeypatch.context() as patch:
        patch.delenv("XDG_CACHE_HOME")
        patch.setattr(Path, "home", no_home)
        assert works()
    # A folder that is there and cannot be written: not tried at all (as root every folder can).
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert works()
    assert cache_home() == tmp_path / "cache" / "arcage"
    folder = tmp_path / "cache" / "arcage" / "openvino"
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
    # With one it is used, and what a crash left half written does no harm.
    assert works()
    (blob,) = folder.iterdir()
    whole = blob.stat().st_size
    for size in (whole - 1, whole // 2, 100, 0):
        os.truncate(blob, size)
        assert works()


def test_no_socket_is_opened_and_no_telemetry_imported(compiled: Path, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
calls = []
# Telemetry would come from a process of its own.
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
    # Nor an identifier left behind.
    assert list(tmp_path.iterdir()) == []


# Cached results of another search


def test_what_a_coarser_search_gave_holds_where_a_finer_one_sees_no_more(extractor: Extractor) -> None:
    def stored(width: int, height: int, min_face: int | None, score: float | None = 0.95) -> ImageFaces:
        none = np.empty((0, extractor.dimension), np.float16)
        face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), score or 0)
        faces = () if score is None else (face,)
        status = "ok" if faces else "no_face"
        return ImageFaces("", width, height, status, "", faces, none, min_face=min_face)  # type: ignore[arg-type]

    fine = extract.Extractor(device="cpu", min_face=12)
    coarse = extract.Extractor(device="cpu", min_face=200)
    assert extractor.min_face == 40
    assert fine.fingerprint == coarse.fingerprint == extractor.fingerprint
    for width, height, min_face, known in (
        (4000, 3000, None, (True, False, True)),
        (12000, 2000, None, (False, False, True)),
        (12000, 2000, 200, (False, False, True)),
        (12000, 2000, 40, (True, False, True)),
        (12000, 2000, 12, (True, True, True)),
        (640, 480, None, (True, True, True)),
    ):
        image = stored(width, height, min_face)
        assert tuple(e.holds(image) for e in (extractor, fine, coarse)) == known, (width, min_face)
    # From a version without other orientations: a face that may be rotated, and no face.
    assert not extractor.holds(stored(640, 480, None, 0.8))
    assert not extractor.holds(stored(640, 480, None, None))
    assert extractor.holds(stored(640, 480, 40, 0.8))
    assert extractor.holds(stored(640, 480, 40, None))


def test_a_result_that_does_not_hold_is_computed_again(extractor: Extractor, photo: bytes) -> None:
    fresh = extractor.extract(photo)
    assert fresh.min_face == 40
    old = dataclasses.replace(fresh, width=12_000, min_face=None)
    assert dict(extractor.stream([(1, give(photo))], lambda _: old))[1].width == 512
    assert dict(extractor.stream([(1, give(photo))], lambda _: fresh))[1] is fresh


def test_the_smallest_face_has_a_bound() -> None:
    with pytest.raises(UsageError, match="min_face is 8 pixels or more, not 7"):
        extract.Extractor(min_face=7)


@pytest.mark.parametrize("how", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE])
def test_a_photo_that_was_turned_without_a_word(how: int, extractor: Extractor, astronaut: U8) -> None:
    upright = extractor.extract(png(astronaut)).descriptors[0]
    turned = extractor.extract(png(cv2.rotate(astronaut, how)))
    assert turned.status == "ok"
    assert cosine(turned.descriptors[0], upright) > 0.97
