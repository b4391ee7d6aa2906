"""`arcage doctor`: each check finds what is wrong, and says it without names."""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import caches
import pytest

import arcage.doctor
from arcage.doctor import Finding, examine, is_healthy
from arcage.embedder.engines.compiled import CompiledFile
from arcage.embedder.engines.onnxruntime import PROBE
from arcage.errors import DeviceError

Run = Callable[..., Any]
CHECKS = dict(arcage.doctor._CHECKS)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path / "insightface"))


def check(name: str, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> Finding:
    """What one check finds; the others are left out."""
    kept = {key: value for key, value in CHECKS.items() if key == name}
    monkeypatch.setattr(arcage.doctor, "_CHECKS", kept)
    (finding,) = examine(**arguments)
    assert finding.check == name
    return finding


def test_all_is_well(bundled: None) -> None:
    findings = {finding.check: finding for finding in examine()}
    assert [f for f in findings.values() if f.level == "problem"] == []
    assert "OpenVINO sees FP32" in findings["processor"].text
    assert findings["openvino"].text.startswith("works: openvino 20")
    assert findings["lightgbm"].text.startswith("works: lightgbm ")
    assert findings["models"].text.count(".onnx ") == 5


def test_worker_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from arcage.process.cell import close_cells

    found = check("decoders", monkeypatch)
    assert found.level == "ok"
    assert re.fullmatch(r"worker processes .* work: [\d.]+ s to start, limited to 10 s .*", found.text)
    close_cells()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    found = check("decoders", monkeypatch)
    assert found.level == "problem"
    assert "a worker process cannot be started" in found.text


def installed(*names: str) -> Callable[[str], str]:
    return lambda name: "1.0" if name in names else ""


def test_doubled_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        arcage.doctor, "_version", installed("opencv-python-headless", "opencv-contrib-python", "numpy")
    )
    found = check("opencv", monkeypatch)
    assert found.level == "note"
    assert found.text.endswith(
        "pip uninstall -y opencv-python-headless opencv-contrib-python && pip install opencv-python-headless"
    )


def test_one_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arcage.doctor, "_version", installed("opencv-python-headless"))
    assert check("opencv", monkeypatch).level == "ok"


def test_an_openvino_that_computes_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same network with the weight 3.
    wrong = PROBE.replace(b"\x00\x00\x00@", b"\x00\x00@@")
    assert wrong != PROBE
    monkeypatch.setattr("arcage.embedder.engines.onnxruntime.PROBE", wrong)
    found = check("openvino", monkeypatch)
    assert found.level == "problem"
    assert "2 * 3 = 9" in found.text
    assert "pip install --force-reinstall openvino" in found.text


def test_an_openvino_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = check("openvino", monkeypatch)
    assert found.level == "problem"
    assert "openvino" in found.text


@pytest.fixture
def broken_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime that offers more than it has, as on a machine without a GPU."""

    def engine(device: str) -> None:
        if device != "cpu":
            raise DeviceError(f"the device {device!r} does not work: no libcudart. Check `nvidia-smi`")

    monkeypatch.setattr("arcage.embedder.engines.onnxruntime.OnnxRuntimeEngine", engine)


def test_every_provider_is_tried(broken_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "arcage.embedder.engines.onnxruntime"
    monkeypatch.setattr(f"{module}.installed_distributions", lambda: ("onnxruntime-gpu",))
    monkeypatch.setattr(f"{module}.installed_providers", lambda: ("cuda", "cpu"))
    found = check("onnxruntime", monkeypatch)
    assert found.level == "note"
    assert "cpu works" in found.text
    assert "no libcudart" in found.text


def test_tensorrt_may_fail(broken_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "arcage.embedder.engines.onnxruntime"
    monkeypatch.setattr(f"{module}.installed_distributions", lambda: ("onnxruntime-gpu",))
    monkeypatch.setattr(f"{module}.installed_providers", lambda: ("tensorrt", "cpu"))
    assert check("onnxruntime", monkeypatch).level == "ok"


def nvidia_smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_a_gpu_that_is_not_used(tmp_path: Path, broken_cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.engines.onnxruntime.installed_distributions", tuple)
    nvidia_smi(tmp_path / "bin", "echo 'NVIDIA X1, 100 MiB, 600.1'; echo", monkeypatch)
    assert check("gpu", monkeypatch).text == "NVIDIA X1, 100 MiB, 600.1"
    found = check("device", monkeypatch)
    assert found.level == "note"
    assert "takes cpu" in found.text
    assert "the GPU is not used: the device 'cuda' does not work: no libcudart" in found.text


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
@pytest.mark.parametrize("script", ["exit 9", "echo 'No devices were found'; exit 6", ":"])
def test_no_gpu(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path / "bin", script, monkeypatch)
    found = check("gpu", monkeypatch)
    assert found.level == "ok"
    assert found.text.startswith("none")


def test_no_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check("gpu", monkeypatch).text.startswith("none")


def test_a_damaged_pack(bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "insightface" / "models" / "buffalo_s"
    folder.mkdir(parents=True)
    (folder / "det_500m.onnx").write_bytes(b"other")
    (folder / "sha256.json").write_text('{"files": {"det_500m.onnx": "00"}}')
    found = check("models", monkeypatch)
    assert found.level == "problem"
    assert "buffalo_s: det_500m.onnx is damaged" in found.text
    assert "arcage models fetch buffalo_s" in found.text


def test_a_pack_without_a_record(bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "insightface" / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "det_500m.onnx").write_bytes(b"")
    found = check("models", monkeypatch)
    assert found.level == "ok"
    assert "mine: det_500m.onnx e3b0c44298fc (unrecorded)" in found.text


def test_the_size_of_compiled_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.engines.compiled.cache_home", lambda: tmp_path)
    assert "keeps 0, 0 MB" in check("compiled networks", monkeypatch).text
    for name in ("a", "b"):
        (tmp_path / "openvino" / f"{name}.blob").write_bytes(bytes(2_000_000))
    found = check("compiled networks", monkeypatch)
    assert found.level == "ok"
    assert "keeps 2, 4 MB" in found.text
    assert "always safe" in found.text
    monkeypatch.setattr(arcage.doctor, "_MANY_BYTES", 3_000_000)
    assert check("compiled networks", monkeypatch).level == "note"


def test_a_damaged_compiled_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcage.embedder.engines.compiled.cache_home", lambda: tmp_path)
    (tmp_path / "openvino").mkdir()
    kept = CompiledFile(tmp_path / "openvino", "a model")
    kept.write(bytes(1000))
    assert check("compiled networks", monkeypatch).level == "ok"
    data = bytearray(kept.path.read_bytes())
    data[500] = 1
    kept.path.write_bytes(data)
    found = check("compiled networks", monkeypatch)
    assert found.level == "note"
    assert f"compiled again when needed: 1 ({kept.path.name})" in found.text


def test_a_cache(bundled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    caches.write(folder, [(None, caches.image(str(number))) for number in range(3)], fingerprint="abc")
    found = check("cache", monkeypatch, cache=folder)
    assert found.level == "ok"
    assert "abc (of other models or another version): 3 images" in found.text
    assert "all checksums match" in found.text
    (shard,) = (folder / "abc").glob("**/*.parquet")
    orphan = folder / "abc" / "20200101T000000000000-0123456789ab.npy"
    orphan.write_bytes(bytes(3_000_000))
    found = check("cache", monkeypatch, cache=folder)
    assert found.level == "note"
    assert "all checksums match" in found.text
    assert f"; unfinished files: 1 (abc/{orphan.name}), 3 MB, of running or killed processes" in found.text
    orphan.unlink()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    found = check("cache", monkeypatch, cache=folder)
    assert found.level == "problem"
    assert shard.name.split(".")[0] in found.text


def test_what_is_no_cache(tmp_path: Path, arcage: Run) -> None:
    done = arcage("doctor", "--cache", tmp_path)
    assert done.exit_code == 3
    assert "is not a descriptor cache" in done.stdout


def test_names_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "homes" / "alice"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    text = f"({home}/bin/python) {home} {home}2/x /mnt/alice/data {home}\\y D:\\alice\\z alice's /x/alice2"
    monkeypatch.setattr(arcage.doctor, "_CHECKS", {"one": lambda: text})
    (found,) = examine()
    assert found.text == rf"(~/bin/python) ~ {home}2/x /mnt/USER/data ~\y D:\USER\z alice's /x/alice2"

    def unknown() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert next(iter(examine())).text.startswith("(~/bin/python)")


def test_errors_are_impersonal_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise ImportError(f"cannot open {Path.home() / 'lib.so'}")

    monkeypatch.setattr(arcage.doctor, "_CHECKS", {"one": fail})
    (found,) = examine()
    assert found == Finding("one", "problem", f"ImportError: cannot open ~{os.sep}lib.so")


def test_healthy() -> None:
    findings = [Finding("one", "ok", "x"), Finding("two", "note", "y")]
    assert is_healthy(findings)
    assert not is_healthy([*findings, Finding("three", "problem", "z")])
    assert str(findings[1]) == "note      two: y"
