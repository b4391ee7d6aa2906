"""ONNX files are read with weights in other files of the same folder, and no other files are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import graphs
import onnx
import pytest
from onnx.external_data_helper import set_external_data

from arcage.embedder.encoders import read_model
from arcage.embedder.encoders.read_model import read_model_file
from arcage.errors import ArcageError, ModelError, UsageError
from arcage.files import sha256_bytes


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    """A network with its weights in another file."""
    path = tmp_path / "mine.onnx"
    onnx.save_model(
        graphs.iresnet(opset=13), path, save_as_external_data=True, location="mine.data", size_threshold=0
    )
    return path


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(graphs.vit().SerializeToString())
    found = read_model_file(path)
    assert (found.data, found.sha256) == (path.read_bytes(), sha256_bytes(path.read_bytes()))


def test_weights_in_another_file(divided: Path) -> None:
    found = read_model_file(divided)
    weights = {
        w.name: onnx.numpy_helper.to_array(w).tolist() for w in graphs.iresnet(opset=13).graph.initializer
    }
    read = onnx.load_from_string(found.data).graph.initializer
    assert {w.name: onnx.numpy_helper.to_array(w).tolist() for w in read} == weights


def point_to(location: str, **entries: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        model = onnx.load_model(path, load_external_data=False)
        for weight in model.graph.initializer:
            weight.raw_data = b""
            set_external_data(weight, location, **entries)
            weight.ClearField("raw_data")
        path.write_bytes(model.SerializeToString())

    return change


def link(path: Path) -> None:
    (path.parent / "mine.data").rename(path.parent / "other")
    (path.parent / "mine.data").symlink_to("other")


def cut(path: Path) -> None:
    data = (path.parent / "mine.data").read_bytes()
    (path.parent / "mine.data").write_bytes(data[:-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (point_to("/etc/passwd"), "'/etc/passwd', which is not the name of a file in the same folder"),
        (point_to("../mine.data"), "is not the name of a file in the same folder"),
        (point_to("sub/mine.data"), "is not the name of a file in the same folder"),
        (point_to("..\\mine.data"), "is not the name of a file in the same folder"),
        (point_to(".."), "is not the name of a file in the same folder"),
        (point_to(""), "is not the name of a file in the same folder"),
        (point_to("none.data"), "'none.data', which is not in its folder: put both there"),
        (point_to("mine.data", offset=-4), "shorter than the network says"),
        (point_to("mine.data", offset=1 << 62), "shorter than the network says"),
        (point_to("mine.data", offset=0, length=3), "has other data"),
        (link, "behind a link"),
        (cut, "shorter than the network says"),
    ],
)
def test_hostile_or_damaged_weights(divided: Path, change: Callable[[Path], None], words: str) -> None:
    change(divided)
    with pytest.raises(ModelError, match=words) as caught:
        read_model_file(divided)
    assert str(caught.value).startswith(f"{divided}: ")


def test_the_size_has_a_limit(divided: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_model, "MAX_MODEL_BYTES", divided.stat().st_size + 1000)
    with pytest.raises(ModelError, match=r"larger than .* with its weights|too large"):
        read_model_file(divided)
    monkeypatch.setattr(read_model, "MAX_MODEL_BYTES", 1000)
    with pytest.raises(UsageError, match="too large"):
        read_model_file(divided)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an ONNX file"),
        (b"PK\x03\x04 a checkpoint of torch", "this is not an ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (graphs.vit().SerializeToString()[:-100], "damaged"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=words):
        read_model_file(path)


def test_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(ArcageError, match=path.name):
            read_model_file(path)
