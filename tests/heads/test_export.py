"""Heads as ONNX: what other runtimes answer is what arcage answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import DIMENSION, elsewhere, faces, with_labels
from projects import Run

from arcage.errors import ForeignFileError, HeadsError, UsageError
from arcage.heads.adapt import adapt_heads
from arcage.heads.export import AGES, FEMALE, export_heads, write_onnx
from arcage.heads.fit import fit_heads
from arcage.heads.layers import Trees
from arcage.heads.model import Heads
from arcage.heads.recalibrate import recalibrate_heads
from arcage.heads.settings import Settings
from arcage.types import F32, Labels

Outputs = dict[str, F32]
Runtime = Callable[[Path, F32], Outputs]


def by_onnxruntime(file: Path, x: F32) -> Outputs:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, {"descriptors": x}), strict=True))


def by_openvino(file: Path, x: F32) -> Outputs:
    import openvino

    model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {key.any_name: np.array(value) for key, value in model([x]).items()}


RUNTIMES = pytest.mark.parametrize("runtime", [by_onnxruntime, by_openvino])


@pytest.fixture(scope="module")
def boosted(fitted: Heads) -> Heads:
    return fitted


@pytest.fixture(scope="module")
def adapted(boosted: Heads) -> Heads:
    return adapt_heads(boosted, *with_labels(elsewhere(300, 3))).heads


@pytest.fixture(scope="module")
def recalibrated(boosted: Heads) -> Heads:
    return recalibrate_heads(boosted, *with_labels(elsewhere(200, 3))).heads


@pytest.fixture(scope="module")
def one_stage() -> dict[str, Heads]:
    """Heads without a kernel stage, by kind."""
    return {
        kind: fit_heads(*with_labels(faces(300, 0)), fingerprint="f", settings=Settings(kind=kind, folds=3))[
            0
        ]  # type: ignore[arg-type]
        for kind in ("linear", "lightgbm")
    }


@pytest.fixture(scope="module")
def at_thresholds(one_stage: dict[str, Heads]) -> tuple[F32, F32]:
    """Faces with values at and next to every threshold of the trees, and their ages."""
    heads = one_stage["lightgbm"]
    assert heads.age is not None
    trees = heads.age.stack.last[0]
    assert isinstance(trees, Trees)
    inner = np.flatnonzero(trees.left != np.arange(len(trees.left)))
    x = np.repeat(faces(1, 1)[0], 3 * len(inner), axis=0)
    at = trees.threshold[inner].astype(np.float32)
    for k, value in enumerate((at, np.nextafter(at, np.float32(-9e9)), np.nextafter(at, np.float32(9e9)))):
        x[np.arange(len(inner)) + k * len(inner), trees.feature[inner]] = value
    return x, heads.predict(x).age


def check(runtime: Runtime, heads: Heads, x: F32, file: Path) -> Outputs:
    """Rounding moves a few faces across a tree's threshold: nearly all answers are equal, and none is far."""
    write_onnx(heads, file)
    got, expected = runtime(file, x), heads.predict(x)
    for name, value in got.items():
        assert value.shape == (len(x),)
        assert value.dtype == np.float32
        off = np.abs(value - getattr(expected, name))
        near, far = (1e-3, 0.1) if name == FEMALE else (0.01, 2)
        assert (off <= near).mean() > 0.97, name
        assert off.max() < far, name
    return got


@RUNTIMES
def test_boosted_heads(runtime: Runtime, boosted: Heads, tmp_path: Path) -> None:
    x = np.concatenate([faces(500, 1)[0], elsewhere(100, 2)[0], np.zeros((1, DIMENSION), np.float32)])
    got = check(runtime, boosted, x, tmp_path / "heads.onnx")
    assert set(got) == {*AGES, FEMALE}
    assert (got["age_low"] <= got["age"]).all()
    assert (got["age"] <= got["age_high"]).all()
    # One face alone, and ages beyond the curves' ends.
    alone = runtime(tmp_path / "heads.onnx", x[:1])
    np.testing.assert_allclose(alone["age"], got["age"][:1], atol=0.01)
    check(runtime, boosted, 30 * x, tmp_path / "far.onnx")


@RUNTIMES
def test_calibrated_heads(runtime: Runtime, recalibrated: Heads, tmp_path: Path) -> None:
    assert recalibrated.age is not None
    assert recalibrated.age.shift is not None
    check(runtime, recalibrated, elsewhere(300, 5)[0], tmp_path / "heads.onnx")


@RUNTIMES
def test_adapted_heads(runtime: Runtime, boosted: Heads, adapted: Heads, tmp_path: Path) -> None:
    x = np.concatenate([faces(300, 1)[0], elsewhere(300, 2)[0]])
    got = check(runtime, adapted, x, tmp_path / "heads.onnx")
    assert np.abs(got["age"] - boosted.predict(x).age)[300:].mean() > 1  # the adaptation is in it


@RUNTIMES
@pytest.mark.parametrize("kind", ["linear", "lightgbm"])
def test_other_heads_without_a_kernel_are_equal(
    runtime: Runtime, kind: str, one_stage: dict[str, Heads], tmp_path: Path
) -> None:
    """Trees that see the descriptors themselves go the same way to the last leaf."""
    heads = one_stage[kind]
    write_onnx(heads, tmp_path / "heads.onnx")
    x = faces(500, 1)[0]
    got, expected = runtime(tmp_path / "heads.onnx", x), heads.predict(x)
    for name in AGES:
        np.testing.assert_allclose(got[name], getattr(expected, name), atol=1e-3)
    np.testing.assert_allclose(got[FEMALE], expected.p_female, atol=1e-5)


@RUNTIMES
def test_values_at_a_threshold_go_the_same_way(
    runtime: Runtime, one_stage: dict[str, Heads], at_thresholds: tuple[F32, F32], tmp_path: Path
) -> None:
    """Thresholds are double precision, and lie between two float32 or on one."""
    x, expected = at_thresholds
    write_onnx(one_stage["lightgbm"], tmp_path / "heads.onnx")
    np.testing.assert_allclose(runtime(tmp_path / "heads.onnx", x)["age"], expected, atol=1e-3)


def test_one_attribute_and_what_the_file_says(tmp_path: Path) -> None:
    import onnx

    x, age, gender = faces(300, 0)
    unknown = np.full(300, np.nan, np.float32)
    for labels, names in ((Labels(age, unknown), AGES), (Labels(unknown, gender), (FEMALE,))):
        heads = fit_heads(x, labels, fingerprint="f" * 16, settings=Settings(kind="linear"))[0]
        write_onnx(heads, tmp_path / "heads.onnx")
        model = onnx.load(tmp_path / "heads.onnx")
        assert tuple(one.name for one in model.graph.output) == names
        assert {prop.key: prop.value for prop in model.metadata_props} == {"fingerprint": "f" * 16}
        assert {one.domain for one in model.opset_import} == {""}


def test_numbers_too_large_for_the_file(boosted: Heads, tmp_path: Path) -> None:
    assert boosted.gender is not None
    huge = replace(boosted, gender=replace(boosted.gender, slope=1e300))
    with pytest.raises(HeadsError, match="too large for single precision"):
        write_onnx(huge, tmp_path / "heads.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnx(boosted: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(HeadsError, match=r"pip install 'arcage\[onnx\]'"):
        write_onnx(boosted, tmp_path / "heads.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command(ready: Path, run: Run, tmp_path: Path) -> None:
    done = run("heads", "export", "heads", "--format", "onnx", "--out", tmp_path / "heads.onnx")
    assert done.exit_code == 0, done.stderr
    assert "float32 [n, 2]" in done.stderr
    assert set(by_onnxruntime(tmp_path / "heads.onnx", np.ones((3, 2), np.float32))) == {*AGES, FEMALE}
    failed = run("heads", "export", "heads", "--out", tmp_path / "heads.pt")
    assert failed.exit_code == 2
    assert "in .onnx" in failed.stderr
    assert run("heads", "export", "nowhere", "--out", tmp_path / "a.onnx").exit_code == 2
    assert run("heads", "export", "heads", "--out", tmp_path / "no" / "a.onnx").exit_code == 3


def test_heads_by_name(tmp_path: Path, bundled: None) -> None:
    file = tmp_path / "heads.onnx"
    heads = export_heads("bundled", file)
    assert (heads.pipeline_name, file.stat().st_size > 0) == ("pack compact", True)
    with pytest.raises(UsageError, match=f"no such file or folder: {tmp_path / 'none'}; check the spelling"):
        export_heads(str(tmp_path / "none"), file)
    file.write_bytes(b"mine")
    with pytest.raises(ForeignFileError):
        export_heads("bundled", file)
    export_heads("bundled", file, overwrite=True)
    assert Heads("a" * 16, 2, None, None, {}).pipeline_name == "model pack that the heads do not record"
