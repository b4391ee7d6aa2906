"""InsightFace's packs on disk: found, their files identified, and read as by InsightFace."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
from packs import write_pack

from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine
from arcage.embedder.levels import find_levels
from arcage.embedder.networks import load_detector
from arcage.embedder.onnx_model import parse
from arcage.embedder.packs.insightface import (
    descriptor_model,
    descriptor_model_isolated,
    find_insightface,
    insightface_home,
    list_insightface,
)
from arcage.errors import ModelError


def test_home_is_that_of_insightface(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    assert insightface_home() == tmp_path / "models"
    monkeypatch.delenv("INSIGHTFACE_HOME")
    assert insightface_home() == Path.home() / ".insightface" / "models"


def test_a_pack_is_found_by_name_and_its_files_identified_by_their_graphs(home: Path) -> None:
    folder = write_pack(home / "buffalo_l")
    pack = find_insightface("buffalo_l")
    assert pack is not None
    assert (pack.name, pack.folder, pack.research_only) == ("buffalo_l", folder, True)
    assert (pack.detector.file, pack.detector.kind) == ("det_10g.onnx", "scrfd")
    (embedder,) = pack.embedders
    assert (embedder.file, embedder.kind, embedder.dimension) == ("w600k_r50.onnx", "arcface", None)
    for record in pack.models:
        data = (folder / record.file).read_bytes()
        assert record.sha256 == hashlib.sha256(data).hexdigest()
        assert pack.read(record) == data
        assert "non-commercial" in record.licence
    assert pickle.loads(pickle.dumps(pack)) == pack  # noqa: S301


def test_a_pack_is_found_by_folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_pack(tmp_path / "mine")
    for name in ("mine", "./mine", str(folder)):
        pack = find_insightface(name)
        assert pack is not None
        assert pack.name == "mine"
        assert pack.folder.resolve() == folder
    monkeypatch.chdir(folder)
    assert find_insightface(".").name == "mine"  # type: ignore[union-attr]


def test_a_bare_name_is_looked_up_among_the_packs_first(home: Path, tmp_path: Path) -> None:
    write_pack(tmp_path / "buffalo_s")
    write_pack(home / "buffalo_s")
    assert find_insightface("buffalo_s").folder == home / "buffalo_s"  # type: ignore[union-attr]
    assert find_insightface("./buffalo_s").folder.resolve() == tmp_path / "buffalo_s"  # type: ignore[union-attr]


def test_the_nested_folder_of_antelopev2_is_found(home: Path) -> None:
    write_pack(
        home / "antelopev2" / "antelopev2",
        {"scrfd_10g_bnkps.onnx": graphs.scrfd, "glintr100.onnx": graphs.iresnet},
    )
    pack = find_insightface("antelopev2")
    assert pack is not None
    assert pack.name == "antelopev2"
    assert pack.read(pack.detector)
    assert [p.name for p in list_insightface()] == ["antelopev2"]


def test_all_embedders_and_the_first_detector_with_landmarks_are_used(home: Path) -> None:
    write_pack(
        home / "both",
        {
            "a_det.onnx": lambda: graphs.scrfd(outputs=6),
            "b_det.onnx": lambda: graphs.scrfd(outputs=15),
            "c_det.onnx": graphs.scrfd,
            "mbf.onnx": graphs.mobilefacenet,
            "r50.onnx": graphs.iresnet,
        },
    )
    pack = find_insightface("both")
    assert pack is not None
    assert pack.detector.file == "b_det.onnx"
    assert [m.file for m in pack.embedders] == ["mbf.onnx", "r50.onnx"]


def test_listing_opens_no_file(home: Path) -> None:
    assert list_insightface() == ()
    (home / "buffalo_sc").mkdir(parents=True)
    (home / "buffalo_sc" / "det_500m.onnx").write_bytes(b"not opened")
    (home / "buffalo_sc.zip").write_bytes(b"")
    (home / "empty").mkdir()
    (found,) = list_insightface()
    assert (found.name, found.files) == ("buffalo_sc", ("det_500m.onnx",))


def test_a_missing_pack_is_none(home: Path) -> None:
    assert find_insightface("buffalo_l") is None
    assert find_insightface("") is None


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "Files: none"),
        ({"genderage.onnx": graphs.attribute, "w600k_r50.onnx": graphs.iresnet}, "no face detector"),
        ({"det_10g.onnx": graphs.scrfd, "genderage.onnx": graphs.attribute}, "no face embedder"),
        (
            {"det.onnx": lambda: graphs.scrfd(outputs=6), "w600k_r50.onnx": graphs.iresnet},
            "returns no landmarks",
        ),
    ],
    ids=["nothing", "no detector", "no embedder", "no landmarks"],
)
def test_an_incomplete_pack_says_what_is_missing(home: Path, files: dict[str, Any], words: str) -> None:
    write_pack(home / "broken", files)
    with pytest.raises(ModelError, match=words):
        find_insightface("broken")


def test_a_damaged_file_is_named(home: Path) -> None:
    folder = write_pack(home / "buffalo_l")
    data = (folder / "w600k_r50.onnx").read_bytes()
    (folder / "w600k_r50.onnx").write_bytes(data[:-100])
    with pytest.raises(ModelError, match=r"w600k_r50\.onnx.*get it again"):
        find_insightface("buffalo_l")


def test_a_file_that_changes_after_it_was_found_is_rejected(home: Path) -> None:
    folder = write_pack(home / "buffalo_l")
    pack = find_insightface("buffalo_l")
    assert pack is not None
    shutil.copy(folder / "genderage.onnx", folder / "w600k_r50.onnx")
    with pytest.raises(ModelError, match="damaged"):
        pack.read(pack.embedders[0])


def test_a_pack_runs_from_canvas_to_descriptor(home: Path) -> None:
    write_pack(home / "buffalo_l")
    pack = find_insightface("buffalo_l")
    assert pack is not None
    engine = OnnxRuntimeEngine("cpu")
    canvases = np.random.default_rng(0).integers(0, 256, (2, 320, 320, 3), dtype=np.uint8)
    found = load_detector(engine, pack).candidates(canvases, 0.1)
    assert found.boxes.shape[1] == 4
    data, dimension = descriptor_model(pack.read(pack.embedders[0]))
    faces = np.random.default_rng(1).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    out = engine.load(data, (-1, 112, 112, 3))(faces)["descriptors"]
    assert out.shape == (2, dimension)
    assert dimension == sum(level.columns for level in find_levels(parse(pack.read(pack.embedders[0]))))


def test_another_network_than_an_embedder_has_no_descriptor() -> None:
    with pytest.raises(ModelError, match="embedder"):
        descriptor_model(graphs.attribute().SerializeToString())


@pytest.fixture(scope="module")
def peer() -> Any:
    pytest.importorskip("insightface", exc_type=ImportError)
    from insightface.model_zoo import model_zoo

    return lambda path: model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore::DeprecationWarning:insightface")
def test_insightface_identifies_the_files_in_the_same_way(home: Path, peer: Any) -> None:
    folder = write_pack(home / "buffalo_l")
    tasks = {path.name: peer(path).taskname for path in sorted(folder.iterdir())}
    pack = find_insightface("buffalo_l")
    assert pack is not None
    assert [name for name, task in tasks.items() if task == "detection"] == [pack.detector.file]
    assert [name for name, task in tasks.items() if task == "recognition"] == [m.file for m in pack.embedders]


@pytest.mark.oracle
@pytest.mark.parametrize("normalises", [False, True])
def test_insightface_scales_the_pixels_in_the_same_way(normalises: bool, tmp_path: Path, peer: Any) -> None:
    # The last columns of the descriptor are the embedding, averaged over the face and its mirror image.
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(graphs.iresnet(normalises=normalises).SerializeToString())
    faces = np.random.default_rng(2).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    theirs = peer(path)
    assert theirs.input_mean == (0.0 if normalises else 127.5)

    data, _ = descriptor_model(path.read_bytes())
    ours = OnnxRuntimeEngine("cpu").load(data, (-1, 112, 112, 3))(faces)["descriptors"][:, -16:]
    bgr = faces[..., ::-1]
    mirrored = bgr[:, :, ::-1]
    want = (theirs.get_feat(list(bgr.copy())) + theirs.get_feat(list(mirrored.copy()))) / 2
    np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-4)


def test_an_activation_made_of_sub_and_mul_is_not_a_scaling() -> None:
    # Converters from TensorFlow Lite write a PReLU as relu(x) + c * (x - abs(x)).
    b = graphs.Builder()
    x = b.conv("input.1", 3, 4, stride=2)
    y = b.node("Mul", b.node("Sub", x, b.node("Abs", x)), b.normal(4, 1, 1))
    x = b.node("Relu", b.conv(b.node("Add", b.node("Relu", x), y), 4, 6, stride=4))
    b.dense(b.node("Flatten", x), 6 * 14 * 14, 8)
    b.nodes[-1].output[0] = "out"
    data, _ = descriptor_model(b.model({"out": ["n", 8]}).SerializeToString())
    white = np.full((1, 112, 112, 3), 255, np.uint8)
    engine = OnnxRuntimeEngine("cpu")
    got = engine.load(data, (-1, 112, 112, 3))(white)["descriptors"][:, -8:]
    plain = engine.load(b.model({"out": ["n", 8]}).SerializeToString(), (-1, 3, 112, 112))
    np.testing.assert_allclose(got, plain(np.ones((1, 3, 112, 112), np.float32))["out"], rtol=1e-4, atol=1e-4)


def test_a_graph_with_a_circle_is_judged(tmp_path: Path) -> None:
    model = graphs.iresnet()
    image = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["elsewhere" if name == image else name for name in node.input]
    model.graph.node.add(op_type="Identity", input=[image], output=[image])
    folder = write_pack(tmp_path / "circle", {"det.onnx": graphs.scrfd, "w.onnx": lambda: model})
    pack = find_insightface(str(folder))
    assert pack is not None
    assert [m.kind for m in pack.models] == ["scrfd", "arcface"]
    with pytest.raises(ModelError):
        descriptor_model_isolated(pack.read(pack.embedders[0]))


def test_a_model_is_converted_in_a_worker_process() -> None:
    data = graphs.mobilefacenet().SerializeToString()
    converted, dimension = descriptor_model_isolated(data)
    expected, columns = descriptor_model(data)
    assert dimension == columns
    assert parse(converted) == parse(expected)
    with pytest.raises(ModelError, match="this is not a face embedder"):
        descriptor_model_isolated(graphs.attribute().SerializeToString())
    with pytest.raises(ModelError, match="not an ONNX file"):
        descriptor_model_isolated(b"x" * 1000)


def test_a_pack_with_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "huge", {"det.onnx": graphs.scrfd})
    with (folder / "w.onnx").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match=r"w.onnx: too large: 1,099,511,627,776 bytes"):
        find_insightface(str(folder))
