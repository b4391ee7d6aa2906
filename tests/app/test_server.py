"""The page, and errors as responses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeExtractor, face, image

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Server  # noqa: E402

from arcage.errors import DeviceError  # noqa: E402

PAGE = Path(__file__).parents[2] / "arcage" / "app"


def test_errors_are_reported(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> Callable[[str], None]:
        def raised(sha256: str) -> None:
            raise error

        return staticmethod(raised)  # type: ignore[return-value]

    monkeypatch.setattr(FakeExtractor, "computed", fail(DeviceError("the device is gone: plug it in")))
    answer = server.predict(image(face()))
    assert (answer.status, answer.error) == (500, "the device is gone: plug it in")
    monkeypatch.setattr(FakeExtractor, "computed", fail(ZeroDivisionError("inside")))
    answer = server.predict(image(face()))
    assert answer.status == 500
    assert "inside" not in answer.error


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/page.html/../server.py", "GET", 404),
        ("/api/predict", "GET", 405),
        ("/api/batch", "GET", 405),
        ("/", "POST", 405),
        ("/api/predict/", "POST", 404),  # no redirection
        ("/api/predict", "TRACE", 405),
        ("/healthz", "DELETE", 405),
    ],
)
def test_unknown_paths_and_methods(server: Server, path: str, method: str, status: int) -> None:
    answer = server(path, method=method)
    assert answer.status == status
    how = {404: "/openapi.json describes the endpoints", 405: "does not work here: use"}
    assert how[status] in answer.error
    assert (answer.headers.get("allow") is not None) == (status == 405)


def test_the_page_names_no_other_host() -> None:
    for name in ("page.html", "page.css", "page.js"):
        text = (PAGE / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.", text), name
    script = (PAGE / "page.js").read_text("utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
        assert word not in script
