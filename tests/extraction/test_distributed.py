"""Extraction in Ray actors: the callable on its own, and real runs on this machine."""

from __future__ import annotations

import importlib.util
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
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FINGERPRINT, FakeExtractor, face, image
from folders import content, photos

from arcage.cache import Cache
from arcage.embedder.engines.base import cores
from arcage.errors import DeviceError
from arcage.extraction.distributed import CachedExtraction, _ActorPool, _plan_actors, as_columns
from arcage.extraction.run import extract_to_cache, open_cache
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
    assert _plan_actors([node(CPU=2.0)], gpu=False) == _ActorPool(1, {"num_cpus": 2})
    mixed = [node(CPU=64.0), node(CPU=10.0), node(memory=1.0), dead]
    assert _plan_actors(mixed, gpu=False) == _ActorPool(18, {"num_cpus": 4})
    gpus = [node(CPU=32.0, GPU=4.0), node(CPU=64.0), node(CPU=8.0, GPU=1.0)]
    assert _plan_actors(gpus, gpu=True) == _ActorPool(5, {"num_cpus": 8, "num_gpus": 1})
    for nodes, gpu in (([], False), ([dead], False), ([node(CPU=64.0)], True)):
        with pytest.raises(DeviceError, match="ray status"):
            _plan_actors(nodes, gpu=gpu)


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

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or sys.platform != "linux",
    reason="needs Ray and /proc",
)


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


@needs_ray
@pytest.mark.ray
def test_an_actor_is_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    made = photos(tmp_path / "in", 400)
    extractor: Any = FakeExtractor()
    extract_to_cache(walk([tmp_path / "in"]), open_cache(tmp_path / "whole", extractor), extractor)
    cache = tmp_path / "cache"
    command = ("extract", tmp_path / "in", "--cache", cache, "--engine", "ray")
    with running(*command, FAKE_DELAY=0.03) as process:
        wait_for_shards(process, cache, 2)
        actors = [pid for pid, line in family(process.pid).items() if "_Actor" in line]
        assert len(actors) == 2
        os.kill(actors[0], signal.SIGKILL)
        _, words = process.communicate(timeout=120)
    assert process.returncode == 0, words
    assert words.startswith("400 images in ")
    assert "Traceback" not in words
    assert len(Cache(cache, FINGERPRINT)) == len(made) == 400
    assert content(cache) == content(tmp_path / "whole")


@needs_ray
@pytest.mark.ray
def test_nothing_leaves_the_machine(tmp_path: Path) -> None:
    photos(tmp_path / "in", 400)
    command = ("extract", tmp_path / "in", "--cache", tmp_path / "cache", "--engine", "ray")
    home = tmp_path / "home"
    home.mkdir()
    with running(*command, FAKE_DELAY=0.03, RAY_USAGE_STATS_ENABLED=1, HOME=home) as process:
        wait_for_shards(process, tmp_path / "cache", 1)
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


def wait_for_shards(process: subprocess.Popen[str], cache: Path, count: int) -> None:
    deadline = time.monotonic() + 90
    while len(list(cache.glob("*/*.done"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@needs_ray
@pytest.mark.ray
@pytest.mark.usefixtures("bundled")
def test_the_real_networks(
    tmp_path: Path, photo: bytes, compiled: Path, make_extractor: Callable[..., Any]
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
    command = (
        "extract",
        tmp_path / "in",
        "--cache",
        tmp_path / "cache",
        "--engine",
        "ray",
        "--device",
        "cpu",
    )
    with running(*command, prepare=real, XDG_CACHE_HOME=compiled) as process:
        _, words = process.communicate(timeout=120)
    assert process.returncode == 0, words
    assert "12 images" in words
    whole = Cache(tmp_path / "whole", extractor.fingerprint).table()
    found = Cache(tmp_path / "cache", extractor.fingerprint).table()
    assert found.sha256(np.arange(len(found))) == whole.sha256(np.arange(len(whole)))
    assert (found.face >= 0).sum() >= 12
    assert np.array_equal(found.descriptors(), whole.descriptors())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a Ray cluster with two cores; yield the environment variables that lead to it."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = {
        **os.environ,
        **token,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "OMP_NUM_THREADS": "1",
    }
    command = [
        *(str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={port}"),
        *("--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false"),
        f"--object-store-memory={100 << 20}",
    ]
    with (
        open(tmp_path / "ray.log", "w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as head,
    ):
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in (tmp_path / "ray.log").read_text():
            assert head.poll() is None, (tmp_path / "ray.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # Without the last variable Ray replaces the loopback address by another one of this machine.
        yield {**token, "RAY_ADDRESS": f"127.0.0.1:{port}", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        for pid in family(head.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Other processes would use this file to find the cluster.
        known = Path("/tmp/ray/ray_current_cluster")
        if known.exists() and known.read_text() == f"127.0.0.1:{port}":
            known.unlink()


@needs_ray
@pytest.mark.ray
def test_a_cluster_is_joined_and_left(tmp_path: Path, cluster: dict[str, str]) -> None:
    photos(tmp_path / "in", 60)
    extractor: Any = FakeExtractor()
    extract_to_cache(walk([tmp_path / "in"]), open_cache(tmp_path / "whole", extractor), extractor)
    command = ("extract", tmp_path / "in", "--cache", tmp_path / "cache", "--engine", "ray")
    with running(*command, **cluster) as process:
        started = set()
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            started |= {line for line in family(process.pid).values() if "gcs_server" in line}
            time.sleep(0.1)
        _, words = process.communicate(timeout=120)
    assert process.returncode == 0, words
    assert started == set()
    assert content(tmp_path / "cache") == content(tmp_path / "whole")


@needs_ray
@pytest.mark.ray
def test_errors_of_an_actor_are_reported(tmp_path: Path) -> None:
    photos(tmp_path / "in", 60)
    (tmp_path / "failing.py").write_text(
        "from fakes import FakeExtractor\nfrom arcage.errors import CacheError\n"
        "class Failing(FakeExtractor):\n"
        "    def stream(self, images, lookup=None):\n"
        "        raise CacheError('the disk is full; free some space')\n"
    )
    failing = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import failing, fakes; "
        "fakes.FakeExtractor = failing.Failing; fakes._main()"
    )
    command = ("extract", tmp_path / "in", "--cache", tmp_path / "cache", "--engine", "ray")
    with running(*command, prepare=failing, PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}:{tmp_path}") as process:
        _, words = process.communicate(timeout=120)
    assert process.returncode == 3
    assert words == "arcage: the disk is full; free some space\n"
    with running(*command, RAY_ADDRESS="127.0.0.1:1") as process:
        _, words = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "cannot join Ray at 127.0.0.1:1" in words
    assert "Traceback" not in words
