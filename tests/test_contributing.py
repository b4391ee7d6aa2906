"""The recipes of CONTRIBUTING.md are executed as they are written, and the results used end to end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import caches
import graphs
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import arcage.data.labels
from arcage.cli import app
from arcage.console import options
from arcage.heads import stages
from arcage.heads.settings import Kind, Settings
from arcage.types import Labels

ROOT = Path(__file__).parents[1]
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))


def recipe(name: str) -> dict[str, Any]:
    """Execute the code block after a mark, and return the names that it defined."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    found = re.search(rf"<!-- recipe: {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found, f"CONTRIBUTING.md has no code block after <!-- recipe: {name} -->"
    defined: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(found[1], f"CONTRIBUTING.md: {name}", "exec"), defined)
    return defined


def run(*arguments: object) -> Any:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, f"arcage {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
    return done


def faces(count: int, dimension: int) -> tuple[Any, Any, Any]:
    """Return descriptors that depend on age and gender, ages, and genders."""
    rng = np.random.default_rng(0)
    age, gender = rng.integers(5, 80, count), rng.integers(0, 2, count)
    x = rng.normal(size=(count, dimension))
    x[:, 0] += age / 10
    x[:, 1] += 3 * gender
    return x, age, gender


def network(dimension: int) -> bytes:
    """Return an ONNX model of the kind ``descriptor``, with scaling in the graph."""
    b = graphs.Builder(5)
    faces = b.node("Transpose", b.node("Cast", "faces", to=onnx.TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = b.node("Div", faces, b.weight(np.float32(255)))
    x = b.node("Relu", b.conv(x, 3, 8, kernel=7, stride=4))
    x = b.node("Flatten", b.node("AveragePool", x, kernel_shape=[7, 7], strides=[7, 7]), axis=1)
    b.node("MatMul", x, b.normal(8 * 16, dimension), name="descriptors")
    value, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    graph = onnx.helper.make_graph(
        b.nodes,
        "mine",
        [value("faces", kinds.UINT8, ["n", 112, 112, 3])],
        [value("descriptors", kinds.FLOAT, ["n", dimension])],
        b.weights,
    )
    opsets = [onnx.helper.make_opsetid("", 13)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def test_an_embedder(bundled: None, tmp_path: Path, photo: bytes) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.onnx").write_bytes(network(48))
    recipe("embedder")
    assert set(run("models", "verify", "mine/").stdout.split()) >= {"right", "mine.onnx"}

    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.jpg").write_bytes(photo)
    run("extract", photos, "--cache", "cache", "--pack", "mine/", "--quiet")
    from arcage.cache import Cache
    from arcage.embedder.extractor import Extractor

    extractor = Extractor("mine/")
    seen = Cache("cache", extractor.fingerprint).table()
    assert seen.descriptors([0]).shape == (1, 48)
    assert np.ptp(seen.descriptors([0])) > 0

    # The other faces are synthetic: fitting heads needs more faces than the repository has.
    x, age, gender = faces(80, 48)
    caches.write(
        tmp_path / "cache",
        [(f"{i}.jpg", caches.image(f"face {i}", [x[i]])) for i in range(80)],
        dimension=48,
        fingerprint=extractor.fingerprint,
    )
    lines = [f"{i}.jpg,{age[i]},{gender[i]}" for i in range(80)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,age,gender", *lines]))
    fit = ("fit", "--cache", "cache", "--labels", "labels.csv", "--kind", "linear", "--out", "heads")
    run(*fit, "--pack", "mine/", "--quiet")
    answer = run(
        "predict", photos / "one.jpg", "--pack", "mine/", "--heads", "heads", "--format", "jsonl"
    ).stdout
    row = json.loads(answer)
    assert row["status"] == "ok"
    assert row["age_low"] <= row["age"] <= row["age_high"]
    refused = CliRunner().invoke(app, ["predict", str(photos / "one.jpg"), "--pack", "mine/"])
    assert refused.exit_code == 3
    assert "fitted with the model pack compact, not with mine" in refused.stderr


def test_an_embedder_among_the_packs_of_insightface(
    bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "mine" / "mine.onnx").write_bytes(network(48))
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "models")
    recipe("embedder")
    monkeypatch.chdir(tmp_path)
    listed = [m for m in json.loads(run("models", "list", "--json").stdout) if m["pack"] == "mine"]
    assert [model["licence"] for model in listed] == ["MIT", "MIT"]
    assert not any(model["research_only"] for model in listed)
    assert "damaged" not in run("models", "verify").stdout


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("file", "../evil.onnx", "not the name of a file"),
        ("kind", "yolo", "a pack is a detector"),
        ("dimension", None, "no dimension"),
        ("surprise", 1, "surprise"),
    ],
)
def test_invalid_records_are_refused(
    bundled: None, tmp_path: Path, field: str, value: object, words: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.onnx").write_bytes(b"not opened")
    recipe("embedder")
    path = tmp_path / "mine" / "pack.json"
    record = json.loads(path.read_text())
    record["models"][1][field] = value
    path.write_text(json.dumps(record))
    done = CliRunner().invoke(app, ["models", "verify", "mine/"])
    assert done.exit_code == 3
    assert words in done.stderr


def test_a_changed_model_is_not_opened(bundled: None, tmp_path: Path, photo: bytes) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.onnx").write_bytes(network(48))
    recipe("embedder")
    (tmp_path / "mine" / "mine.onnx").write_bytes(b"other")
    (tmp_path / "one.jpg").write_bytes(photo)
    assert CliRunner().invoke(app, ["models", "verify", "mine"]).exit_code == 3
    done = CliRunner().invoke(app, ["extract", "one.jpg", "--cache", "cache", "--pack", "mine/"])
    assert done.exit_code == 3
    assert "mine.onnx" in done.stderr


def test_a_data_set(bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arcage.embedder.extractor import Extractor

    monkeypatch.setitem(arcage.data.labels.FROM_NAMES, "fgnet", None)  # removed after the test
    recipe("data set")
    x, age, _ = faces(80, 8)
    images = [
        (f"images/{i % 20:03d}A{age[i]:02d}{chr(97 + i // 20)}.JPG", caches.image(f"face {i}", [x[i]]))
        for i in range(80)
    ]
    images.append(("images/notes.jpg", caches.image("another", [x[0]])))
    caches.write(tmp_path / "cache", images, dimension=8, fingerprint=Extractor().fingerprint)
    described = json.loads(
        run("data", "describe", "--cache", "cache", "--labels", "fgnet", "--format", "json").stdout
    )
    assert described["faces"]["age"] == 80
    run("fit", "--cache", "cache", "--labels", "fgnet", "--kind", "linear", "--out", "heads")
    training = json.loads((tmp_path / "heads" / "manifest.json").read_text())["training"]
    assert training["labels"] == "fgnet"
    assert training["faces"] == 80
    assert training["ages"] == [age.min(), age.max()]
    figures = run("evaluate", "--cache", "cache", "--labels", "fgnet", "--heads", "heads", "--json").stdout
    assert json.loads(figures)["overall"]["n_age"] == 80


def test_a_head(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from arcage.heads.export import write_onnx
    from arcage.heads.fit import fit_heads
    from arcage.heads.store import load_heads, save_heads

    monkeypatch.setattr(stages, "SINGLE_STAGE", dict(stages.SINGLE_STAGE))
    recipe("head")
    x, age, gender = faces(200, 8)
    labels = Labels(age.astype(np.float32), gender.astype(np.float32))
    settings = Settings(kind="huber")  # type: ignore[arg-type]
    heads, seen = fit_heads(x.astype(np.float32), labels, fingerprint=caches.FINGERPRINT, settings=settings)
    assert np.abs(seen.age - age).mean() < 0.6 * np.abs(age - age.mean()).mean()
    assert ((seen.p_female > 0.5) == gender).mean() > 0.85
    inside = ((seen.age_low <= age) & (age <= seen.age_high)).mean()
    assert 0.85 < inside < 0.97
    save_heads(heads, tmp_path / "heads", "card")
    again = load_heads(tmp_path / "heads").predict(x)
    np.testing.assert_array_equal(again.age, heads.predict(x).age)
    write_onnx(heads, tmp_path / "heads.onnx")


def test_the_command_line_knows_every_kind_of_head() -> None:
    assert set(get_args(options.Kind)) == set(get_args(Kind)) == {"boosted", *stages.SINGLE_STAGE}
