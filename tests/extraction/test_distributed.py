"""Extraction in Ray actors: the callable on its own, and real runs on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray_jobs
from fakes import FINGERPRINT, FakeExtractor, face, image
from folders import content, photos

from arcage.cache import Cache
from arcage.embedder.engines.base import cores
from arcage.errors import DeviceError
from arcage.extraction.distributed import (
    CachedExtraction,
    _ActorPool,
    _choose_device,
    _plan_actors,
    _ray,
    as_columns,
    extract_on_ray,
)
from arcage.extraction.run import extract_to_cache, open_cache
from arcage.sources.own_faces import own_faces
from arcage.sources.walk import walk

ROOT = Path(__file__).parents[2]


def batch(*paths: str | Path) -> dict[str, Any]:
    return {name: np.array(values, object) for name, values in as_columns(walk(paths)).items()}


# The callable on its own


def test_a_batch_in_a_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = photos(Path("in"), 30)
    extractor: Any = FakeExtractor()
    stage = CachedExtraction(extractor, "cache")
    columns = batch("in", "in/nowhere.jpg")
    monkeypatch.chdir("/")
    done = pickle.loads(pickle.dumps(stage))(columns)  # noqa: S301
    assert {name: (len(column), column.dtype) for name, column in done.items()} == {
        "sha256": (31, object),
        "status": (31, object),
        "faces": (31, np.int32),
        "known": (31, bool),
        "error": (31, object),
    }
    assert [sha256 for sha256 in done["sha256"] if sha256] == list(made)
    assert done["status"].tolist().count("unreadable") == 2
    assert done["error"][-1] == "no such file"
    assert not done["known"].any()
    monkeypatch.chdir(tmp_path)
    extract_to_cache(walk(["in"]), open_cache(Path("whole"), extractor), extractor)
    # Results are in the cache when the call returns, and are not computed again.
    assert content(Path("cache")) == content(Path("whole"))
    assert stage(columns)["known"].sum() == 30
    assert content(Path("cache")) == content(Path("whole"))


def test_path_is_the_only_required_column(tmp_path: Path) -> None:
    photos(tmp_path, 3)
    extractor: Any = FakeExtractor()
    paths = [f"{tmp_path}/000{n}.jpg" for n in range(3)]
    done = CachedExtraction(extractor, tmp_path / "cache")({"path": np.array(paths)})
    assert done["faces"].tolist() == [0, 1, 2]
    assert Cache(tmp_path / "cache", FINGERPRINT).names().names.tolist() == [f"000{n}.jpg" for n in range(3)]


def test_own_boxes_go_to_the_actors(tmp_path: Path) -> None:
    photos(tmp_path, 3)
    sources = [replace(source, faces=own_faces([[0, 0, 5, 7], [1, 1, 3, 4]])) for source in walk([tmp_path])]
    columns = {name: np.array(values, object) for name, values in as_columns(sources).items()}
    extractor: Any = FakeExtractor()
    stage = CachedExtraction(extractor, tmp_path / "cache", faces_from="boxes")
    done = pickle.loads(pickle.dumps(stage))(columns)  # noqa: S301
    assert done["faces"].tolist() == [2, 2, 2]
    assert Cache.fingerprints(tmp_path / "cache") == [f"{FINGERPRINT}-boxes"]
    # Faces of another origin are refused.
    with pytest.raises(ValueError, match="a cache is for detected faces, own boxes or aligned crops"):
        CachedExtraction(extractor, tmp_path / "cache")(columns)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_file_names_that_are_not_utf_8_and_rows_of_a_parquet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(os.fsdecode(b"caf\xe9.jpg")).write_bytes(image(face(1)))
    rows = [image(face(n)) for n in range(2, 40)]
    pq.write_table(pa.table({"image": rows}), "x.parquet", row_group_size=20)
    extractor: Any = FakeExtractor()
    stage = CachedExtraction(extractor, tmp_path / "cache", names=False)
    columns = batch(".", "x.parquet")
    monkeypatch.chdir("/")
    assert set(stage(columns)["status"]) == {"ok"}
    assert len(Cache(tmp_path / "cache", FINGERPRINT)) == 39


def test_cores_of_one_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    every = cores()
    monkeypatch.setenv("PYTHON_CPU_COUNT", str(every + 3))
    assert cores() == every + 3
    for text in ("", "default", "0", "-1"):
        monkeypatch.setenv("PYTHON_CPU_COUNT", text)
        assert cores() == every


def test_a_cluster_is_divided_into_actors() -> None:
    def node(**resources: float) -> dict[str, Any]:
        return {"Alive": True, "Resources": resources}

    dead = {"Alive": False, "Resources": {"CPU": 64.0}}
    assert _plan_actors([node(CPU=2.0)], "cpu") == _ActorPool(1, {"num_cpus": 2})
    mixed = [node(CPU=64.0), node(CPU=10.0), node(memory=1.0), dead]
    assert _plan_actors(mixed, "cpu") == _ActorPool(18, {"num_cpus": 4})
    gpus = [node(CPU=32.0, GPU=4.0), node(CPU=64.0), node(CPU=8.0, GPU=1.0)]
    assert _plan_actors(gpus, "cuda") == _ActorPool(5, {"num_cpus": 8, "num_gpus": 1})
    assert _plan_actors([node(CPU=2.0, GPU=4.0)], "cuda") == _ActorPool(2, {"num_cpus": 1, "num_gpus": 1})
    for nodes, device in (([], "cpu"), ([dead], "cpu"), ([node(CPU=64.0)], "cuda")):
        with pytest.raises(DeviceError, match="ray status"):
            _plan_actors(nodes, device)


def test_without_ray(arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    for name in (
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN",
        "RAY_BACKEND_LOG_LEVEL",
    ):
        monkeypatch.setenv(name, os.environ.get(name, "0"))  # restored afterwards
    done = arcage("extract", tmp_path, "--cache", tmp_path / "cache", "--engine", "ray")
    assert done.exit_code == 3
    assert "pip install 'arcage[ray]'" in done.stderr
    assert arcage("extract", "-", "--cache", tmp_path / "cache", "--engine", "ray", stdin=b"x").exit_code == 2


# Real runs


def real_ray(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that starts Ray. Warnings from its own code do not fail it."""
    skip = importlib.util.find_spec("ray") is None or sys.platform != "linux"
    for mark in (
        pytest.mark.skipif(skip, reason="needs Ray and /proc"),
        pytest.mark.ray,
        pytest.mark.filterwarnings(r"ignore:::ray\b"),
    ):
        test = mark(test)
    return test


@contextmanager
def running(*arguments: object, prepare: str = "", **environment: object) -> Iterator[subprocess.Popen[str]]:
    """Run ``arcage`` with two actors of one core each, by default on the fake pipeline."""
    code = (
        f"import arcage.extraction.distributed as d; d._CPUS = 1; {prepare or 'import fakes; fakes._main()'}"
    )
    variables = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "PYTHON_CPU_COUNT": "2",
        "OMP_NUM_THREADS": "1",
        **{name: str(value) for name, value in environment.items()},
    }
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=variables,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def family(pid: int) -> dict[int, str]:
    """Return the command lines of a process and all its descendants, by process id."""
    parents, lines = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parents[int(folder.name)] = int(
                    re.search(r"PPid:\s+(\d+)", (folder / "status").read_text())[1]
                )  # type: ignore[index]
                lines[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: lines.get(pid, "") for pid in found}


def sockets(pids: Any) -> list[tuple[str, str, str]]:
    """Return the network sockets of processes: local address, remote address, state."""
    inodes = set()
    for pid in pids:
        try:
            for link in Path(f"/proc/{pid}/fd").iterdir():
                inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[9] in inodes:
                found.append((address(cells[1]), address(cells[2]), cells[3]))
    return found


def usage_stats(pid: int) -> str:
    """Return a process's ``RAY_USAGE_STATS_ENABLED``; empty if its title has overwritten the environment."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if line.startswith(b"RAY_USAGE_STATS_ENABLED="):
                return line.decode().partition("=")[2]
    return ""


def address(text: str) -> str:
    raw = bytes.fromhex(text.split(":")[0])
    swapped = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if len(swapped) == 16 and swapped.startswith(b"\0" * 10 + b"\xff\xff"):
        swapped = swapped[12:]
    return socket.inet_ntop(socket.AF_INET if len(swapped) == 4 else socket.AF_INET6, swapped)


def wait_for_shards(process: subprocess.Popen[str], cache: Path, count: int) -> None:
    deadline = time.monotonic() + 90
    while len(list(cache.glob("*/*.done"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@real_ray
def test_nothing_leaves_the_machine_and_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    photos(tmp_path / "in", 400)
    cache = tmp_path / "cache"
    command = ("extract", tmp_path / "in", "--cache", cache, "--engine", "ray")
    home = tmp_path / "home"
    home.mkdir()
    with running(*command, FAKE_DELAY=0.03, RAY_USAGE_STATS_ENABLED=1, HOME=home) as process:
        wait_for_shards(process, cache, 1)
        relatives = family(process.pid)
        assert sum("_Actor" in line for line in relatives.values()) == 2
        found = sockets(relatives)
        reported = {pid: usage_stats(pid) for pid in relatives if pid != process.pid}
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    assert "Traceback" not in words
    assert {"0"} <= set(reported.values()) <= {"0", ""}
    listening = [local for local, _, state in found if state == "0A"]
    assert len(listening) > 4
    for local, remote, _ in found:
        assert {local, remote} <= {"127.0.0.1", "::1", "0.0.0.0", "::"}, found
    assert set(listening) <= {"127.0.0.1", "::1"}
    assert list(home.iterdir()) == []
    # All processes of Ray end with it.
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in relatives) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [line for pid, line in relatives.items() if Path(f"/proc/{pid}").exists()]
    # Finished batches are kept, and the same command without Ray computes the others.
    extractor: Any = FakeExtractor()
    kept = Cache(cache, FINGERPRINT)
    assert kept.verify() == ()
    finished = len(kept)
    assert 50 <= finished < 400
    continued = extract_to_cache(walk([tmp_path / "in"]), kept, extractor)
    assert (continued.images, continued.from_cache) == (400, finished)
    extract_to_cache(walk([tmp_path / "in"]), open_cache(tmp_path / "whole", extractor), extractor)
    assert content(cache) == content(tmp_path / "whole")


@pytest.fixture(scope="module")
def cluster(compiled: Path) -> Iterator[Any]:
    """Start a Ray cluster with two cores. This process and its children find it by environment variables."""
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Otherwise Ray replaces the loopback address by another one of this machine.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # For the actors.
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(compiled),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.delenv("PYTHON_CPU_COUNT", raising=False)
        from ray.cluster_utils import Cluster

        running = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 << 20}
        )
        patch.setenv("RAY_ADDRESS", running.address)
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def gpu_machine(cluster: Any) -> str:
    """Add a machine with four cores and two GPUs, which do not exist, to the cluster; return its id.

    It stays until the last test of this module.
    """
    return str(cluster.add_node(num_cpus=4, num_gpus=2, object_store_memory=100 << 20).node_id)


@real_ray
@pytest.mark.usefixtures("bundled", "cluster")
def test_a_cluster_is_joined_and_left_by_the_real_networks(
    tmp_path: Path, photo: bytes, make_extractor: Callable[..., Any]
) -> None:
    import cv2

    (tmp_path / "in").mkdir()
    pixels = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    for number in range(12):
        shift = np.roll(pixels, 3 * number, axis=1)
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), shift)
    extractor = make_extractor(hint="throughput")
    extract_to_cache(walk([tmp_path / "in"]), open_cache(tmp_path / "whole", extractor), extractor)
    real = "from arcage.cli import main; main()"
    cache = tmp_path / "cache"
    with running("extract", tmp_path / "in", "--cache", cache, "--engine", "ray", prepare=real) as process:
        started = set()
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            started |= {line for line in family(process.pid).values() if "gcs_server" in line}
            time.sleep(0.1)
        _, words = process.communicate(timeout=120)
    assert process.returncode == 0, words
    assert words.startswith("12 images in ")
    assert started == set()
    whole = Cache(tmp_path / "whole", extractor.fingerprint).table()
    found = Cache(cache, extractor.fingerprint).table()
    assert found.sha256(np.arange(len(found))) == whole.sha256(np.arange(len(whole)))
    assert (found.face >= 0).sum() >= 12
    assert np.array_equal(found.descriptors(), whole.descriptors())


@real_ray
@pytest.mark.usefixtures("cluster")
def test_errors_are_reported(
    arcage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "in", 60)
    command = ("extract", tmp_path / "in", "--cache", tmp_path / "cache", "--engine", "ray")
    monkeypatch.setattr("arcage.embedder.extractor.Extractor", ray_jobs.Full)
    done = arcage(*command)
    assert done.exit_code == 3
    assert done.stderr == "arcage: the disk is full; free some space\n"
    done = arcage(*command, "--device", "cuda")
    assert done.exit_code == 3
    assert "the device 'cuda' is not available: no machine of the Ray cluster has a GPU" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    done = arcage(*command)
    assert done.exit_code == 3
    assert "cannot join Ray at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


@real_ray
@pytest.mark.usefixtures("cluster")
def test_an_image_on_which_all_actors_die_ends_the_run(tmp_path: Path) -> None:
    photos(tmp_path / "in", 20)
    (tmp_path / "in" / "zz.jpg").write_bytes(ray_jobs.DEADLY)
    extractor: Any = ray_jobs.Deadly("compact", "cpu")
    cache = open_cache(tmp_path / "cache", extractor)
    with pytest.raises(DeviceError, match=r"^4 actors of Ray died in the same batch of images"):
        extract_on_ray(walk([tmp_path / "in"]), cache, extractor)


# GPUs. These tests are the last: before them, the cluster has none.


@real_ray
def test_each_gpu_gets_an_actor_and_one_that_is_killed_is_replaced(tmp_path: Path, gpu_machine: str) -> None:
    made = photos(tmp_path / "in", 200)
    fake: Any = FakeExtractor()
    extract_to_cache(walk([tmp_path / "in"]), open_cache(tmp_path / "whole", fake), fake)
    extractor: Any = ray_jobs.Reporting("auto", tmp_path)
    extractor.delay = 0.05
    killed: list[int] = []

    def kill() -> None:
        if not killed and len(list(tmp_path.glob("*.json"))) == 2:
            killed.extend(pid for pid, line in family(os.getpid()).items() if "_Actor" in line)
            assert len(killed) == 2
            os.kill(killed[0], signal.SIGKILL)

    warned: list[str] = []
    cache = open_cache(tmp_path / "cache", extractor)
    summary = extract_on_ray(walk([tmp_path / "in"]), cache, extractor, warn=warned.append, progress=kill)
    assert killed
    assert warned == []
    assert (summary.images, len(made)) == (200, 200)
    assert len(Cache(tmp_path / "cache", FINGERPRINT)) == 200
    assert content(tmp_path / "cache") == content(tmp_path / "whole")
    assert extractor.device == "auto"
    given = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(given) == 3  # with the replacement
    assert {one["gpu"] for one in given} == {"0", "1"}
    assert all((one["device"], one["cores"]) == ("cuda", 2) for one in given)
    assert {one["machine"] for one in given} == {gpu_machine}


@real_ray
@pytest.mark.usefixtures("gpu_machine")
def test_auto_uses_all_cpus_if_the_gpus_do_not_work(tmp_path: Path) -> None:
    warned: list[str] = []
    extractor: Any = ray_jobs.Reporting("auto", tmp_path, note="using the CPU")
    with _ray() as ray:
        assert _choose_device(ray, extractor, warned.append) == "cpu"
        assert warned == ["using the CPU"]
        assert _plan_actors(ray.nodes(), "cpu") == _ActorPool(3, {"num_cpus": 2})
        assert _plan_actors(ray.nodes(), "cuda") == _ActorPool(2, {"num_cpus": 2, "num_gpus": 1})
