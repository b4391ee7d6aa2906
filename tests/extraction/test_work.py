"""The work per image, counted instead of timed, so that a busy machine cannot fail these tests.

Code and networks are real. The tests count calls: files opened, images decoded, canvases searched, faces
embedded, and predictions by the heads.
"""

from __future__ import annotations

import builtins
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import fakes
import numpy as np
import pytest

from arcage import predictor
from arcage.embedder import extractor as module
from arcage.embedder import reading as reading_module
from arcage.embedder.detector import GraphDetector
from arcage.embedder.engines.base import cores
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.packs.record import BUNDLED_FOLDER
from arcage.extraction.run import extract_images, extract_to_cache, open_cache
from arcage.images.limits import DecodeLimits
from arcage.sources.source import Source
from arcage.sources.walk import walk
from arcage.types import U8, Array

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

needs_models = pytest.mark.skipif(
    not (BUNDLED_FOLDER / "pack.json").exists(), reason="the models are not built"
)

EMBEDDERS = 2
FACES_AT_ONCE = 4
"""Minimum faces per call for an embedder on a CPU to be efficient."""


class Work:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.opened: Counter[str] = Counter()
        """Number of times each file was opened."""
        self.read: list[int] = []
        """Size in bytes of each image that was read."""
        self.decoded: list[int] = []
        """Size in bytes of each image that was decoded."""
        self.looks: Counter[int] = Counter()
        """Number of canvases and mirror images searched, by side length in pixels."""
        self.embedded: list[Array] = []
        """The batches that the embedders were called with."""

    @property
    def rows(self) -> int:
        """Total faces that the embedders computed, including padding."""
        return sum(len(batch) for batch in self.embedded)

    def counted(self, load: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap an engine's ``load`` so that calls of embedders are counted."""

        def counting(engine: Any, model: bytes, shape: tuple[int, ...], **more: Any) -> Any:
            network = load(engine, model, shape, **more)
            if shape[-3:] != (112, 112, 3):
                return network

            def call(batch: Array, outputs: Sequence[str] = ()) -> Any:
                self.embedded.append(batch)
                return network(batch, outputs)

            return call

        return counting


@pytest.fixture(scope="module")
def counter() -> Iterator[Work]:
    work = Work()
    decode, candidates, read, open_ = (
        reading_module.decode,
        GraphDetector.candidates,
        Source.read,
        builtins.open,
    )

    def decoding(data: bytes, *, limits: DecodeLimits) -> U8:
        work.decoded.append(len(data))
        return decode(data, limits=limits)

    def searching(self: GraphDetector, canvases: U8, threshold: float, *, mirrored: bool = False) -> Any:
        work.looks[max(canvases.shape[1:3])] += len(canvases) * (1 + mirrored)
        return candidates(self, canvases, threshold, mirrored=mirrored)

    def reading(self: Source) -> bytes:
        data = read(self)
        work.read.append(len(data))
        return data

    def opening(file: Any, *args: Any, **kwargs: Any) -> Any:
        work.opened[str(file)] += 1
        return open_(file, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading_module, "decode", decoding)
        patch.setattr(GraphDetector, "candidates", searching)
        patch.setattr(Source, "read", reading)
        patch.setattr(builtins, "open", opening)
        patch.setattr(OpenVinoEngine, "load", work.counted(OpenVinoEngine.load))
        yield work


@pytest.fixture(scope="module")
def throughput(counter: Work, make_extractor: Callable[..., Extractor]) -> Extractor:
    return make_extractor(hint="throughput")


@pytest.fixture(scope="module")
def latency(counter: Work, make_extractor: Callable[..., Extractor]) -> Extractor:
    return make_extractor(hint="latency")


@pytest.fixture
def work(counter: Work) -> Work:
    counter.clear()
    return counter


def jpeg(image: Array, quality: int = 90) -> bytes:
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def crop(astronaut: U8, quality: int = 90) -> bytes:
    return jpeg(astronaut[20:220, 120:320], quality)


def crowd(astronaut: U8, count: int) -> bytes:
    """Return an image with ``count`` copies of the face inside a wide border."""
    head = astronaut[20:220, 120:320]
    heads = np.concatenate([head[:, :: 1 - 2 * (i % 2)] for i in range(count)], axis=1)
    return jpeg(np.pad(heads, ((60, 60), (60, 60), (0, 0))))


@needs_models
def test_a_crop_is_looked_at_three_times(throughput: Extractor, work: Work, astronaut: U8) -> None:
    data = crop(astronaut)
    assert len(throughput.extract(data).faces) == 1
    assert work.decoded == [len(data)]
    # One search for the face, and one each for the landmarks of the face and of its mirror image.
    assert work.looks == {256: 1, 224: 2}


@needs_models
def test_a_photo_is_searched_once_at_each_size(throughput: Extractor, work: Work, photo: bytes) -> None:
    assert len(throughput.extract(photo).faces) == 1
    assert work.decoded == [len(photo)]
    assert work.looks.pop(640) == 1
    assert work.looks == {224: 2}


@needs_models
def test_a_large_photo_is_searched_at_two_sizes(throughput: Extractor, work: Work, astronaut: U8) -> None:
    large = jpeg(cv2.resize(astronaut, (1400, 1400), interpolation=cv2.INTER_CUBIC))
    assert len(throughput.extract(large).faces) == 1
    assert work.decoded == [len(large)]
    assert (work.looks.pop(640), work.looks.pop(1280)) == (1, 1)
    assert work.looks == {224: 2}


@needs_models
def test_every_further_face_costs_two_looks(throughput: Extractor, work: Work, astronaut: U8) -> None:
    data = crowd(astronaut, 4)
    assert len(throughput.extract(data).faces) == 4
    assert work.decoded == [len(data)]
    assert work.looks.pop(640) == 1
    assert set(work.looks) == {224}
    assert work.looks[224] <= 2 * 4


@needs_models
def test_an_image_without_a_face_is_searched_in_all_orientations_and_never_embedded(
    throughput: Extractor, work: Work
) -> None:
    grey = np.full((300, 400, 3), 120, np.uint8)
    assert throughput.extract(jpeg(grey)).status == "no_face"
    assert throughput.extract(jpeg(grey[:100, :100])).status == "no_face"
    assert throughput.extract(b"text").status == "unreadable"
    assert len(work.decoded) == 3
    # The photo is searched again with a margin, as if it were a tight crop; the crop has that margin from the
    # start. Both are searched in the three other orientations as well.
    assert work.looks == {480: 1, 256: 2, 320: 6}
    assert not work.embedded


@needs_models
def test_faces_of_many_images_are_embedded_together(throughput: Extractor, work: Work, astronaut: U8) -> None:
    count = 2 * module.CHUNK
    data = crop(astronaut)
    results = list(throughput.stream((i, lambda: data) for i in range(count)))
    assert [len(image.faces) for _, image in results] == [1] * count
    assert len(work.decoded) == count
    # Each face once per embedder: the graph makes the mirror image itself. No batch was padded.
    assert work.rows == EMBEDDERS * count
    # The first image of each worker is alone, because its size is not known, and the last batch is a rest.
    assert len(work.embedded) <= EMBEDDERS * (count / FACES_AT_ONCE + cores() + FACES_AT_ONCE - 1)
    assert {batch.dtype for batch in work.embedded} == {np.dtype(np.uint8)}
    assert {batch.shape[1:] for batch in work.embedded} == {(112, 112, 3)}


@needs_models
def test_the_faces_of_one_photo_are_embedded_together(
    throughput: Extractor, work: Work, astronaut: U8
) -> None:
    faces = len(throughput.extract(crowd(astronaut, 5)).faces)
    assert faces == 5
    assert len(work.embedded) <= EMBEDDERS * math.ceil(faces / FACES_AT_ONCE)
    assert work.rows < EMBEDDERS * (faces + FACES_AT_ONCE)


@needs_models
def test_one_photo_computes_no_more_than_its_face(latency: Extractor, work: Work, photo: bytes) -> None:
    latency.extract(photo)
    assert [len(batch) for batch in work.embedded] == [1] * EMBEDDERS


@needs_models
def test_every_file_is_read_once_and_what_the_cache_has_is_not_computed_again(
    throughput: Extractor, work: Work, astronaut: U8, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sizes: dict[str, int] = {}
    for number in range(6):
        path = folder / f"{number}.jpg"
        path.write_bytes(crop(astronaut, 80 + number) if number < 5 else jpeg(np.zeros((50, 50, 3))))
        sizes[str(path)] = path.stat().st_size
    work.clear()

    def run() -> Any:
        return extract_to_cache(walk([folder]), open_cache(tmp_path / "cache", throughput), throughput)

    cold = run()
    assert (cold.images, cold.faces, cold.from_cache) == (6, 5, 0)
    assert {path: work.opened[path] for path in sizes} == dict.fromkeys(sizes, 1)
    assert sorted(work.read) == sorted(work.decoded) == sorted(sizes.values())
    assert len(work.embedded) >= EMBEDDERS

    # One more image: only this one is computed.
    new = folder / "new.jpg"
    new.write_bytes(crop(astronaut, 70))
    sizes[str(new)] = new.stat().st_size
    work.clear()
    warm = run()
    assert (warm.images, warm.faces, warm.from_cache) == (7, 6, 6)
    assert {path: work.opened[path] for path in sizes} == dict.fromkeys(sizes, 1)
    assert sorted(work.read) == sorted(sizes.values())
    assert work.decoded == [sizes[str(new)]]
    assert work.looks.total() <= 3
    assert work.rows < EMBEDDERS * (1 + FACES_AT_ONCE)

    work.clear()
    again = run()
    assert (again.images, again.faces, again.from_cache) == (7, 6, 7)
    assert sorted(work.read) == sorted(sizes.values())
    assert not work.decoded
    assert not work.looks
    assert not work.embedded


@needs_models
def test_copies_in_a_folder_are_computed_once_they_are_in_the_cache(
    throughput: Extractor, work: Work, astronaut: U8, tmp_path: Path
) -> None:
    data = crop(astronaut)
    cache = open_cache(tmp_path / "cache", throughput)
    extract_to_cache([Source("a", "a", data=data)], cache, throughput)
    work.clear()
    results = list(extract_images([Source(f"{i}", f"{i}", data=data) for i in range(9)], throughput, cache))
    assert [len(result.image.faces) for result in results] == [1] * 9
    assert all(result.from_cache for result in results)
    assert not work.decoded
    assert not work.embedded


def test_heads_are_asked_once_for_many_images(
    fake: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(predictor, "_BATCH_SECONDS", math.inf)
    images, faces = 150, 0
    for number in range(images):
        (tmp_path / f"{number}.jpg").write_bytes(
            fakes.image(*[fakes.face()] * (number % 4), width=number + 1)
        )
        faces += number % 4
    answers = list(predictor.Predictor().stream(walk([tmp_path])))
    assert len(answers) == images
    assert sum(fakes.FakeHeads.calls) == faces
    assert len(fakes.FakeHeads.calls) <= math.ceil(images / 64)
