"""The networks of the bundled pack: batches, mirror images, and damaged files."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
from detectors import align_one, cosine, find_in, side_by_side
from encoded import encode
from packs import write_pack

from arcage.embedder import align, detect
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.packs import record
from arcage.embedder.packs.record import BUNDLED_FOLDER, bundled_pack
from arcage.errors import DeviceMemoryError, ModelError
from arcage.types import U8

pytestmark = pytest.mark.usefixtures("bundled")


@pytest.fixture(scope="module")
def throughput(make_extractor: Callable[..., Extractor]) -> Extractor:
    return make_extractor(hint="throughput")


def test_a_face_does_not_depend_on_its_neighbours_in_the_batch(throughput: Extractor, astronaut: U8) -> None:
    networks = throughput.networks
    image = side_by_side(astronaut, 5)
    faces = detect.find_faces(networks.detector, [image], 0.5)
    crops = align.align([image], faces.pictures, faces.landmarks)
    alone = [networks.embed(crops[i : i + 1])[0] for i in range(len(crops))]
    assert throughput.engine.embedder_batches[-1] < len(crops) == 5
    # Whole batches, and some that are padded.
    for size in range(2, len(crops) + 1):
        for face, expected in zip(networks.embed(crops[:size]), alone[:size], strict=True):
            assert cosine(face, expected) > 0.99999


def test_a_face_and_its_mirror_image_are_one(extractor: Extractor, astronaut: U8, photo: bytes) -> None:
    networks = extractor.networks
    crop = align_one(astronaut, extractor.extract(photo).faces[0].landmarks)
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    a, b = networks.embed(crop[None])[0], networks.embed(mirrored[None])[0]
    assert cosine(a, b) > 0.9999
    # In the whole photo the landmarks are detected again, at slightly different places.
    flipped = extractor.extract(encode(astronaut[:, ::-1], ".png")).descriptors[0]
    assert cosine(a, flipped) > 0.9


def test_any_number_of_faces_is_embedded(throughput: Extractor, astronaut: U8) -> None:
    networks = throughput.networks
    crop = align_one(astronaut, find_in(networks.detector, astronaut, 0.5)[0].landmarks)
    for count in (0, 1, throughput.engine.embedder_batches[-1] + 1):
        descriptors = networks.embed(np.repeat(crop[None], count, axis=0))
        assert descriptors.shape == (count, networks.dimension)
        assert descriptors.dtype == np.float16


def test_padding_of_a_batch_has_no_descriptors(extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = extractor.networks
    seen: list[int] = []

    def network(crops: U8) -> dict[str, Any]:
        seen.append(len(crops))
        level = crops[:, 0, 0, :1].astype(np.float32)
        return {"descriptors": np.where(level > 0, level, np.nan if len(crops) == 1 else -1)}

    first = dataclasses.replace(networks._embedders[0], network=network, dimension=1)
    monkeypatch.setattr(networks, "_embedders", [first])
    monkeypatch.setattr(networks, "dimension", 1)
    monkeypatch.setattr(networks, "_batches", (1, 8))
    crops = np.zeros((23, 112, 112, 3), np.uint8)
    crops[:] = np.arange(1, 24)[:, None, None, None]
    assert networks.embed(crops)[:, 0].tolist() == list(range(1, 24))
    assert seen == [8, 8, 8]


def test_a_batch_that_does_not_fit_into_memory_is_divided(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = extractor.networks
    seen: list[int] = []

    def network(crops: U8) -> dict[str, Any]:
        seen.append(len(crops))
        if len(crops) > 8:
            raise DeviceMemoryError("full")
        return {"descriptors": crops[:, 0, 0, :1].astype(np.float32)}

    first = dataclasses.replace(networks._embedders[0], network=network, dimension=1)
    monkeypatch.setattr(networks, "_embedders", [first])
    monkeypatch.setattr(networks, "dimension", 1)
    monkeypatch.setattr(networks, "_batches", (8, 64))
    crops = np.zeros((70, 112, 112, 3), np.uint8)
    crops[:] = np.arange(70)[:, None, None, None]
    assert networks.embed(crops)[:, 0].tolist() == list(range(70))
    assert seen == [64, *[8] * 8, 8]


GRAPHS = [file for file, _ in bundled_pack().detector.graphs]


@pytest.mark.parametrize("file_name", [*GRAPHS, *(model.file for model in bundled_pack().models)])
def test_a_damaged_model_is_reported_before_a_runtime_opens_it(
    file_name: str, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(BUNDLED_FOLDER, folder)
    remedy = "put the files of the pack compact there again"
    if file_name in GRAPHS:  # of other packs, they are not read
        monkeypatch.setattr(record, "BUNDLED_FOLDER", folder)
        remedy = "reinstall arcage"
    pack = dataclasses.replace(bundled_pack(), folder=folder)
    path = folder / file_name
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    opened: list[int] = []

    def load(self: object, model: bytes, shape: tuple[int, ...], **_: object) -> Any:
        opened.append(len(model))

    monkeypatch.setattr(OpenVinoEngine, "load", load)
    with pytest.raises(ModelError, match=rf"is damaged.*{remedy}") as caught:
        Extractor(pack, device="cpu").extract(photo)
    assert str(path) in str(caught.value)
    assert path.stat().st_size not in opened

    path.unlink()
    with pytest.raises(ModelError, match=rf"no such file; {remedy}"):
        Extractor(pack, device="cpu").extract(photo)
    path.mkdir()
    with pytest.raises(ModelError, match=rf"cannot read .*{remedy}"):
        Extractor(pack, device="cpu").extract(photo)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "descriptors of none"),
        ({"descriptors": np.zeros((1, 3), np.float32)}, r"of the shape \(1, 3\) instead of \(1, 512\)"),
        ({"descriptors": np.zeros((2, 512), np.float32)}, r"of the shape \(2, 512\)"),
        ({"descriptors": np.full((1, 512), np.nan, np.float32)}, "NaN or infinity"),
        ({"descriptors": np.full((1, 512), np.inf, np.float32)}, "NaN or infinity"),
    ],
)
def test_wrong_descriptors_are_a_model_error(
    outputs: dict[str, Any], message: str, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = extractor.networks
    wrong = [dataclasses.replace(e, network=lambda batch: outputs) for e in networks._embedders]
    monkeypatch.setattr(networks, "_embedders", wrong)
    with pytest.raises(ModelError, match=f"the model mobilefacenet returns .*{message}"):
        networks.embed(np.zeros((1, 112, 112, 3), np.uint8))


def test_a_detector_that_sees_faces_everywhere_is_refused(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    # Its weights are random.
    files = {"det.onnx": graphs.scrfd, "w.onnx": graphs.mobilefacenet}
    broken = Extractor(str(write_pack(tmp_path / "random", files)), device="cpu")
    with pytest.raises(ModelError, match=r"finds \d+ faces in noise: it is damaged"):
        broken.extract(b"")
