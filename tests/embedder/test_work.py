"""The work for 64 crops, counted instead of timed: calls of networks and of OpenCV, and decoded images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pytest

from arcage.embedder import extractor as module
from arcage.embedder import reading
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.rotated import UPRIGHT_SCORE
from arcage.types import Array, ImageFaces

if TYPE_CHECKING:
    from arcage.embedder.engines.base import Network

UTKFACE = Path(__file__).parents[3] / "shared" / "data" / "utkface"
COUNT = 64
FEW = 8
"""Enough crops for what does not depend on their number."""
EMBEDDERS = 2

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not UTKFACE.is_dir(), reason="needs ../shared/data"),
]


class CountingEngine(OpenVinoEngine):
    """OpenVINO with other batch sizes. Calls are counted by side of the input, and the bytes of inputs."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.detector_batches = self.embedder_batches = sizes
        self.calls: Counter[int] = Counter()
        self.rows: Counter[int] = Counter()
        self.bytes = 0

    def load(self, model: bytes, shape: tuple[int, ...], **more: Any) -> Network:
        network = super().load(model, shape, **more)

        def call(batch: Array, outputs: Sequence[str] = ()) -> Any:
            self.calls[shape[1]] += 1
            self.rows[shape[1]] += len(batch)
            self.bytes += batch.nbytes
            return network(batch, outputs)

        return call


@pytest.fixture(scope="module")
def extracted(extractor: Extractor) -> list[tuple[bytes, ImageFaces]]:
    """Crops of UTKFace with one upright face each, and their results."""
    found = []
    for path in sorted(UTKFACE.glob("*.jpg"))[::211]:
        data = path.read_bytes()
        image = extractor.extract(data)
        if len(image.faces) == 1 and image.faces[0].score >= UPRIGHT_SCORE:
            found.append((data, image))
        if len(found) == COUNT:
            break
    assert len(found) == COUNT
    return found


@pytest.fixture(scope="module")
def crops(extracted: list[tuple[bytes, ImageFaces]]) -> list[bytes]:
    return [data for data, _ in extracted]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, compiled: Path) -> Callable[[tuple[int, ...]], Any]:
    """Return a function that makes an engine, and an Extractor with it and one worker."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    monkeypatch.setattr(module, "cores", lambda: 0)  # one worker

    def make(sizes: tuple[int, ...]) -> tuple[CountingEngine, Extractor]:
        engine = CountingEngine(sizes)
        monkeypatch.setattr(module, "make_engine", lambda *args, **kwargs: engine)
        return engine, Extractor(device="cpu")

    return make


def stream(extractor: Extractor, crops: Sequence[bytes], lookup: Any = None) -> list[ImageFaces]:
    return [image for _, image in extractor.stream(((i, lambda d=d: d) for i, d in enumerate(crops)), lookup)]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Counter[str]]:
    """Return a function that starts to count the calls of functions of a module."""

    def start(owner: Any, *names: str) -> Counter[str]:
        calls: Counter[str] = Counter()

        def counted(name: str, function: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                calls[name] += 1
                return function(*args, **kwargs)

            return call

        for name in names:
            monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
        return calls

    return start


def test_without_batches_each_crop_takes_two_detections_and_one_call_of_each_embedder(
    make: Any, crops: list[bytes]
) -> None:
    engine, extractor = make((1,))
    assert [len(image.faces) for image in stream(extractor, crops[:FEW])] == [1] * FEW
    # One search, and one detection of the face together with its mirror image.
    assert engine.calls == engine.rows == {256: FEW, 224: FEW, 112: EMBEDDERS * FEW}


def test_in_batches_each_network_is_called_once_a_stage(make: Any, crops: list[bytes]) -> None:
    engine, extractor = make((8, 64))
    # The first image is alone, because its size is not known.
    stream(extractor, crops[:1])
    engine.calls.clear()
    engine.rows.clear()
    engine.bytes = 0
    assert [len(image.faces) for image in stream(extractor, [crops[0], *crops])] == [1] * (COUNT + 1)
    alone = {256: 1, 224: 1, 112: EMBEDDERS}
    assert engine.calls - Counter(alone) == alone
    # One crop is padded to a batch of 8; 64 are not padded.
    assert engine.rows == {256: 8 + COUNT, 224: 8 + COUNT, 112: EMBEDDERS * (8 + COUNT)}
    # One byte for each colour of a pixel: floats and mirror images are made inside the graphs.
    assert engine.bytes == 3 * sum(side**2 * rows for side, rows in engine.rows.items())


@pytest.mark.parametrize("sizes", [(1,), (8, 64)])
def test_each_crop_is_decoded_once_and_warped_twice(
    make: Any, crops: list[bytes], count: Any, sizes: tuple[int, ...]
) -> None:
    _, extractor = make(sizes)
    stream(extractor, crops[:1])
    calls = count(cv2, "imdecode", "cvtColor", "resize", "warpAffine")
    decoded = count(reading, "decode")
    stream(extractor, crops[:FEW])
    assert decoded["decode"] == calls["imdecode"] == FEW
    # One warp for the landmarks, one for the embedders.
    assert calls["warpAffine"] == 2 * FEW
    # UTKFace's crops have the size of their view. Faces more than twice as large as the embedders' input are
    # reduced before they are warped.
    assert calls["resize"] <= FEW
    assert calls["cvtColor"] <= FEW


def test_cached_crops_take_no_work(
    make: Any, extracted: list[tuple[bytes, ImageFaces]], crops: list[bytes], count: Any
) -> None:
    engine, extractor = make((8, 64))
    computed = {image.sha256: image for _, image in extracted}
    calls = count(cv2, "imdecode", "cvtColor", "resize", "warpAffine")
    decoded = count(reading, "decode")
    assert stream(extractor, crops, computed.get) == list(computed.values())
    assert not engine.calls
    assert not calls
    assert not decoded
