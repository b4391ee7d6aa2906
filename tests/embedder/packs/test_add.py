"""Encoders of users become packs, which are used and removed; wrong files change nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest

from arcage.embedder.extractor import Extractor
from arcage.embedder.packs.add import add_pack, open_encoder, remove_pack
from arcage.embedder.packs.find import find_pack
from arcage.errors import ArcageError, ModelError, UsageError
from arcage.files import sha256_bytes

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def here(home: Path, bundled: None, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    Path("vit.onnx").write_bytes(graphs.vit().SerializeToString())


def test_an_encoder_becomes_a_pack(arcage: Run, home: Path, photo: bytes) -> None:
    done = arcage("models", "add", "vit.onnx", "--scale", "imagenet", "--license", "MIT")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "  block_3 class+mean 24\n  embedding none 12\n" in done.stderr
    assert "input: (n, 3, 32, 32) float32, RGB, (0 to 255 - (123.675" in done.stderr
    assert f"vit is in {home / 'vit'}. Predictions with it need heads of its own" in done.stderr
    assert [path.name for path in home.iterdir()] == ["vit"]

    pack = find_pack("vit")
    assert pack.embedders[0].source == f"vit.onnx, sha256 {sha256_bytes(Path('vit.onnx').read_bytes())}"
    assert (pack.embedders[0].licence, pack.research_only) == ("MIT", False)
    image = Extractor("vit", device="cpu").extract(photo)
    assert image.descriptors.shape == (1, pack.embedders[0].dimension or 0)
    assert np.ptp(image.descriptors) > 0

    listed = json.loads(arcage("models", "list", "--json").stdout)
    assert {(m["model"], m["dimension"]) for m in listed if m["pack"] == "vit"} == {
        ("yunet", None),
        ("vit", 156),
    }
    assert arcage("models", "verify", "vit").exit_code == 0

    again = arcage("models", "add", "vit.onnx", "--scale", "unit", "--license", "MIT")
    assert again.exit_code == 2
    assert "give this one another --name, or run `arcage models remove vit` first" in again.stderr
    assert arcage("models", "remove", "vit").stderr == f"removed {home / 'vit'}\n"
    assert not list(home.iterdir())


def test_the_fingerprint_does_not_depend_on_the_machine(home: Path) -> None:
    first = add_pack(open_encoder(Path("vit.onnx")), "arcface", "MIT").pack
    second = add_pack(open_encoder(Path("vit.onnx"), "other"), "arcface", "MIT").pack
    assert first.embedders[0].sha256 == second.embedders[0].sha256
    assert Extractor(first).fingerprint == Extractor(second).fingerprint
    third = add_pack(open_encoder(Path("vit.onnx"), "third"), "unit", "MIT").pack
    assert third.embedders[0].sha256 != first.embedders[0].sha256


def test_a_changed_file_is_not_opened(home: Path, photo: bytes) -> None:
    add_pack(open_encoder(Path("vit.onnx")), "arcface", "MIT")
    path = home / "vit" / "vit.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"vit\.onnx is damaged.*the files of the pack vit"):
        Extractor("vit", device="cpu").extract(photo)


def test_what_the_file_does_not_say_is_asked(arcage: Run) -> None:
    done = arcage("models", "add", "vit.onnx", stdin=b"unit\nCC BY-NC 4.0\n")
    assert done.exit_code == 0
    assert "Licence of the weights" in done.stdout + done.stderr
    assert find_pack("vit").research_only
    assert "(0 to 255) / 255" in find_pack("vit").embedders[0].input
    done = arcage("models", "add", "vit.onnx", "--name", "b", stdin=b"")
    assert (done.exit_code, "--scale answers without asking" in done.stderr) == (2, True)
    done = arcage("models", "add", "vit.onnx", "--name", "b", "--scale", "unit", stdin=b"")
    assert (done.exit_code, "--license answers without asking" in done.stderr) == (2, True)


def test_a_graph_that_scales_pixels_itself_is_given_them_as_they_are(arcage: Run) -> None:
    Path("mx.onnx").write_bytes(graphs.iresnet(normalises=True).SerializeToString())
    done = arcage("models", "add", "mx.onnx", "--license", "MIT", "--quiet")
    assert done.exit_code == 0
    assert find_pack("mx").embedders[0].input == "(n, 3, 112, 112) float32, RGB, 0 to 255"


WRONG = {
    "none.onnx": (None, "cannot read none.onnx: no such file"),
    "text.onnx": (b"not a network", "text.onnx: this is not an ONNX file"),
    "detector.onnx": (graphs.scrfd(size=640).SerializeToString(), "detector.onnx: the network is a detector"),
    "classes.onnx": (
        graphs.vit(ending="Softmax").SerializeToString(),
        "classes.onnx: the network is a classi",
    ),
    "compact.onnx": (graphs.vit().SerializeToString(), "compact is the name of another pack"),
    "buffalo_l.onnx": (graphs.vit().SerializeToString(), "buffalo_l is the name of another pack"),
    "....onnx": (graphs.vit().SerializeToString(), "cannot be the name of a pack: give a --name"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_change_nothing(name: str, arcage: Run, home: Path) -> None:
    data, words = WRONG[name]
    if data is not None:
        Path(name).write_bytes(data)
    done = arcage("models", "add", name, "--scale", "unit", "--license", "MIT")
    assert done.exit_code in (2, 3)
    assert done.stderr.startswith("arcage: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not home.exists() or not list(home.iterdir())


def test_a_network_that_sees_no_faces_gives_a_warning(arcage: Run) -> None:
    b = graphs.Builder()
    x = b.node("Relu", b.conv("image", 3, 4, stride=2))
    x = b.node("Relu", b.conv(x, 4, 8, stride=2))
    x = b.dense(b.node("Flatten", b.node("GlobalAveragePool", x)), 8, 16)
    b.node("Add", x, b.weight(np.full(16, 100, np.float32)), name="y")
    Path("blind.onnx").write_bytes(b.model({"y": ["n", 16]}, name="image").SerializeToString())
    done = arcage("models", "add", "blind.onnx", "--scale", "arcface", "--license", "MIT", "--quiet")
    assert done.exit_code == 0
    assert "look alike to blind" in done.stderr
    assert "check --scale" in done.stderr


def test_the_name_and_the_folder(home: Path) -> None:
    os.rename("vit.onnx", "my model (v2).onnx")
    encoder = open_encoder(Path("my model (v2).onnx"))
    assert encoder.name == "my-model-v2"
    for name in ("../x", "a/b", "-x", "x" * 65, "a\nb"):
        with pytest.raises(UsageError, match="`name`"):
            open_encoder(Path("my model (v2).onnx"), name)
    with pytest.raises(UsageError, match="the licence of the weights is missing"):
        add_pack(encoder, "unit", " \n")
    add_pack(encoder, "unit", "a\nb")
    assert find_pack("my-model-v2").embedders[0].licence == "a b"
    # Another process added it in the meantime.
    with pytest.raises(UsageError, match="already"):
        add_pack(encoder, "unit", "MIT")
    assert [path.name for path in home.iterdir()] == ["my-model-v2"]


def test_only_added_packs_are_removed(home: Path) -> None:
    add_pack(open_encoder(Path("vit.onnx")), "unit", "MIT")
    (home / "vit" / "notes.txt").write_text("mine")
    (home / "other").mkdir()
    for name in ("vit", "other", "none", "", "..", "compact", str(home / "vit")):
        with pytest.raises(UsageError):
            remove_pack(name)
    assert (home / "vit" / "vit.onnx").exists()
    (home / "vit" / "notes.txt").unlink()
    remove_pack("vit")
    assert not (home / "vit").exists()


def test_predictions_need_heads_for_the_pack(home: Path) -> None:
    from arcage.heads.store import load_heads

    pack = add_pack(open_encoder(Path("vit.onnx")), "unit", "MIT").pack
    with pytest.raises(
        ArcageError, match=r"fitted with the model pack compact, not with vit; .* `arcage fit`"
    ):
        load_heads().check(Extractor(dataclasses.replace(pack)).fingerprint, "vit")


def test_the_guide_shows_what_is_printed_and_its_commands_work(arcage: Run, home: Path, photo: bytes) -> None:
    text = (Path(__file__).parents[3] / "docs" / "guide" / "models.md").read_text("utf-8")
    section = text.partition("## An encoder of your own\n")[2].partition("\n## ")[0]
    shown = re.search(r"```text\n(.*?)```", section, re.DOTALL)
    command, *others = [line for line in section.splitlines() if line.startswith("arcage ")]
    assert shown is not None
    assert [line.split()[1] for line in others] == ["extract", "fit", "predict", "models"]
    os.rename("vit.onnx", "encoder.onnx")
    printed = arcage(*shlex.split(command)[1:]).stderr
    assert printed.replace(str(home), "~/.insightface/models") == shown[1]
