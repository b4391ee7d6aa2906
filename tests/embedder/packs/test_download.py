"""`arcage models fetch`: downloads are recorded, agreed to, exclusive and installed as a whole."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import pytest
from packs import PARTIAL, Handler, PackServer, list_names, make_zip

from arcage.embedder.packs.download import fetch_pack, plan_download
from arcage.embedder.packs.find import find_pack
from arcage.embedder.packs.inventory import verify_models
from arcage.embedder.packs.record import DIGESTS_FILE
from arcage.embedder.packs.registry import PUBLISHED, RELEASE
from arcage.errors import ModelError, UsageError

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("home")


def test_a_pack_is_downloaded_recorded_and_used(
    server: PackServer, home: Path, members: dict[str, bytes], arcage: Run
) -> None:
    done = arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url)
    assert done.exit_code == 0, done.stderr
    assert server.paths == ["/mirror/buffalo_s.zip"]
    assert list_names(home) == ["buffalo_s"]
    folder = home / "buffalo_s"
    assert list_names(folder) == sorted([*members, DIGESTS_FILE])
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    archive = hashlib.sha256(server.data).hexdigest()
    assert json.loads((folder / DIGESTS_FILE).read_text("utf-8")) == {
        "archive": {"url": f"{server.url}/buffalo_s.zip", "sha256": archive},
        "files": digests,
    }
    for name, digest in {"buffalo_s.zip": archive, **digests}.items():
        assert f"{digest}  {name}" in done.stderr
    pack = find_pack("buffalo_s")
    assert [model.file for model in pack.models] == ["det_500m.onnx", "w600k_mbf.onnx"]
    states = {found.file: found.state for found in verify_models("buffalo_s")}
    assert states == dict.fromkeys(members, "right")

    again = arcage("models", "fetch", "buffalo_s", "--mirror", server.url)
    assert again.exit_code == 0
    assert "already on this machine" in again.stderr
    assert len(server.ranges) == 1


def test_the_zip_file_of_a_download_that_was_killed_at_its_end_is_removed(
    server: PackServer, home: Path, arcage: Run
) -> None:
    fetch_pack(plan_download("buffalo_s", server.url))
    part = home / PARTIAL
    part.write_bytes(b"PK")
    done = arcage("models", "fetch", "buffalo_s")
    assert done.exit_code == 0
    assert "already on this machine" in done.stderr
    assert not part.exists()


def test_the_nested_folder_in_the_zip_of_antelopev2_is_ignored(server: PackServer, home: Path) -> None:
    server.data = make_zip(
        {
            "antelopev2/scrfd_10g_bnkps.onnx": graphs.scrfd().SerializeToString(),
            "antelopev2/glintr100.onnx": graphs.iresnet().SerializeToString(),
            "antelopev2/readme.txt": b"not a model",
        }
    )
    fetched = fetch_pack(plan_download("antelopev2", server.url))
    assert list_names(fetched.folder) == ["glintr100.onnx", "scrfd_10g_bnkps.onnx", DIGESTS_FILE]
    assert find_pack("antelopev2").folder == fetched.folder


def test_two_downloads_at_once(server: PackServer, home: Path) -> None:
    pytest.importorskip("fcntl")
    started, resume = threading.Event(), threading.Event()

    def answer(handler: Handler) -> None:
        started.set()
        resume.wait(10)
        server.send_correctly(handler)

    server.answer = answer
    first = threading.Thread(target=fetch_pack, args=(plan_download("buffalo_s", server.url),))
    first.start()
    assert started.wait(10)
    with pytest.raises(ModelError, match="another arcage"):
        fetch_pack(plan_download("buffalo_s", server.url))
    resume.set()
    first.join()
    assert list_names(home) == ["buffalo_s"]


def test_a_killed_process_leaves_what_it_downloaded(server: PackServer, home: Path) -> None:
    started = threading.Event()

    def answer(handler: Handler) -> None:
        server.close_after(len(server.data) - 100)(handler)
        started.set()
        server.stop.wait(10)

    server.answer = answer
    code = (
        "import sys; from arcage.embedder.packs.download import fetch_pack, plan_download; "
        "fetch_pack(plan_download('buffalo_s', sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, "-c", code, server.url], env=environment)
    assert started.wait(60)
    process.kill()
    process.wait()
    server.answer = server.send_correctly
    fetch_pack(plan_download("buffalo_s", server.url))
    assert list_names(home) == ["buffalo_s"]


def test_a_zip_with_another_sha256_is_rejected(server: PackServer, home: Path, arcage: Run) -> None:
    wrong = "0" * 64
    done = arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url, "--sha256", wrong)
    assert done.exit_code == 3
    assert hashlib.sha256(server.data).hexdigest() in done.stderr
    assert list_names(home) == []


def test_the_licence_and_the_size_are_shown_before_the_download(
    server: PackServer, home: Path, arcage: Run
) -> None:
    command = ("models", "fetch", "buffalo_s", "--mirror", server.url)
    for answer, code in ((b"n\n", 1), (b"\n", 1), (b"", 2)):
        done = arcage(*command, stdin=answer)
        assert done.exit_code == code
        assert "about 128 MB" in done.stderr
        assert "non-commercial research only" in done.stderr
        assert f"{server.url}/buffalo_s.zip" in done.stderr
    assert server.ranges == []
    assert list_names(home) == []
    assert arcage(*command, stdin=b"y\n").exit_code == 0
    assert list_names(home) == ["buffalo_s"]


@pytest.mark.parametrize("value", ["1", "yes"])
def test_nothing_is_downloaded_offline(
    server: PackServer, home: Path, arcage: Run, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ARCAGE_OFFLINE", value)
    done = arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url)
    assert done.exit_code == 3
    assert "ARCAGE_OFFLINE is set" in done.stderr
    assert server.ranges == []
    assert list_names(home) == []
    monkeypatch.setenv("ARCAGE_OFFLINE", "0")
    assert arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url).exit_code == 0


def test_a_mirror_from_the_environment(
    server: PackServer, home: Path, arcage: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCAGE_MIRROR", server.url + "/")
    assert arcage("models", "fetch", "buffalo_s", "--yes").exit_code == 0
    assert server.paths == ["/mirror/buffalo_s.zip"]


@pytest.mark.parametrize(
    "mirror",
    [
        "example.org/packs",
        "ftp://example.org",
        "file:///packs",
        "https://",
        "https://me:secret@example.org",
        "https://example.org/?key=secret",
        "https://example.org/a b",
        "https://[::1",
        "https://example.org/\n",
    ],
)
def test_invalid_mirrors(mirror: str) -> None:
    with pytest.raises(UsageError, match="a mirror is the address") as caught:
        plan_download("buffalo_s", mirror)
    assert "secret" not in str(caught.value)


def test_an_unencrypted_mirror_needs_a_sha256() -> None:
    with pytest.raises(UsageError, match="not encrypted"):
        plan_download("buffalo_s", "http://example.org")
    assert (
        plan_download("buffalo_s", "http://example.org", "0" * 64).url == "http://example.org/buffalo_s.zip"
    )


def test_invalid_names_and_digests(home: Path) -> None:
    with pytest.raises(UsageError, match="buffalo_sc"):
        plan_download("../buffalo_s")
    for digest in ("abc", "g" * 64, "0" * 65):
        with pytest.raises(UsageError, match="64 hexadecimal digits"):
            plan_download("buffalo_s", "", digest)
    assert plan_download("buffalo_l").url == f"{RELEASE}/buffalo_l.zip"


def test_without_onnx_nothing_is_downloaded(
    server: PackServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match="pip install"):
        fetch_pack(plan_download("buffalo_s", server.url))
    assert server.ranges == []


def test_a_folder_that_cannot_be_written(
    server: PackServer, arcage: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path / "file"))
    done = arcage("models", "fetch", "buffalo_s", "--yes", "--mirror", server.url)
    assert done.exit_code == 3
    assert "cannot write into" in done.stderr
    assert server.ranges == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["models", "list"], 0),
        (["models", "verify"], 0),
        (["models", "fetch", "buffalo_s"], 2),
        (["doctor"], 0),
    ],
    ids=["list", "verify", "fetch without agreement", "doctor"],
)
def test_other_commands_open_no_connection(
    bundled: None, compiled: Path, command: list[str], code: int
) -> None:
    text = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
from arcage.cli import main
main()
"""
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "XDG_CACHE_HOME": str(compiled)}
    done = subprocess.run(
        [sys.executable, "-c", text, *command],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "socket." not in done.stderr


@pytest.mark.oracle
def test_insightface_uses_the_same_addresses() -> None:
    storage = pytest.importorskip("insightface.utils.storage", exc_type=ImportError)
    for name in PUBLISHED:
        assert plan_download(name).url == storage.model_zoo_download_url(f"{name}.zip")
