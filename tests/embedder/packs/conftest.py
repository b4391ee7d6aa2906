from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import graphs
import pytest
from packs import PackServer, make_zip

from arcage.embedder.packs.download import fetch_pack, plan_download
from arcage.embedder.packs.insightface import insightface_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of packs, without any; no proxy or setting of the user has an effect."""
    for name in [*os.environ]:
        if name.lower().endswith("_proxy") or name.startswith("ARCAGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = insightface_home()
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def members() -> dict[str, bytes]:
    """Files of a pack like ``buffalo_s``."""
    made = {
        "2d106det.onnx": graphs.attribute(192, 212),
        "det_500m.onnx": graphs.scrfd(),
        "w600k_mbf.onnx": graphs.mobilefacenet(),
    }
    return {name: model.SerializeToString() for name, model in made.items()}


@pytest.fixture
def server(members: dict[str, bytes], home: Path) -> Iterator[PackServer]:
    """A server on this machine that sends ``members`` as ``buffalo_s``."""
    with PackServer() as made:
        made.data = make_zip(members)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.stop.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def fetched(server: PackServer) -> Path:
    """The folder of ``buffalo_s`` after its download."""
    return fetch_pack(plan_download("buffalo_s", server.url)).folder
