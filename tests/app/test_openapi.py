"""The description of the endpoints, and requests that are made from it.

Every answer of the tests is compared with it as well, by ``appserver.Server``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeHeads

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from appserver import Server, running  # noqa: E402

from arcage.app.limits import Limits  # noqa: E402
from arcage.app.openapi import MEANING, openapi  # noqa: E402
from arcage.app.options import BATCH_OPTIONS, PREDICT_OPTIONS, OptionError, parse_options  # noqa: E402
from arcage.output.rows import COLUMNS  # noqa: E402
from arcage.output.selection import Selection  # noqa: E402

ROOT = Path(__file__).parents[2]
DOCUMENT = openapi(Limits())
ROW = DOCUMENT["components"]["schemas"]["Row"]


def parameters(path: str) -> dict[str, Any]:
    return {one["name"]: one["schema"] for one in DOCUMENT["paths"][path]["post"]["parameters"]}


def test_it_is_served(server: Server) -> None:
    assert server("/openapi.json").json == DOCUMENT
    assert server("/openapi.json", method="HEAD").status == 200


def test_the_columns_are_described() -> None:
    assert list(MEANING) == list(COLUMNS) == ROW["required"]
    assert [name for name in ROW["properties"] if name != "picture"] == list(COLUMNS)
    types = {name: schema["type"] for name, schema in ROW["properties"].items()}
    assert (types["path"], types["faces"], types["age"]) == ("string", "integer", ["number", "null"])
    assert ROW["properties"]["gender"]["enum"] == ["female", "male", None]
    assert ROW["properties"]["status"]["enum"] == ["ok", "no_face", "unreadable"]


def test_the_options_are_described() -> None:
    assert list(parameters("/api/predict")) == list(PREDICT_OPTIONS)
    assert list(parameters("/api/batch")) == list(BATCH_OPTIONS)
    defaults = {name: one["default"] for name, one in parameters("/api/predict").items() if "default" in one}
    expected = {one.name: one.default for one in fields(Selection) if one.name not in ("max_width", "under")}
    assert defaults == {**expected, "pictures": 0}


@pytest.mark.parametrize("name", PREDICT_OPTIONS)
def test_the_bounds_of_an_option_are_those_of_its_values(name: str) -> None:
    schema = parameters("/api/predict")[name]
    schema = schema.get("items", schema)
    valid = [*schema.get("enum", ()), *(schema[end] for end in ("minimum", "maximum") if end in schema)]
    wrong = [f"{schema[end] + step}" for end, step in (("minimum", -1), ("maximum", 0.1)) if end in schema]
    if "maxLength" in schema:
        valid, wrong = ["x" * schema["maxLength"]], ["x" * (schema["maxLength"] + 1)]
    if "enum" in schema:
        wrong = ["other"]
    for value in valid:
        parse_options([(name, str(value))], PREDICT_OPTIONS)
    for text in wrong:
        with pytest.raises(OptionError, match=name):
            parse_options([(name, text)], PREDICT_OPTIONS)
    assert valid
    assert wrong


def test_every_reference_resolves() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if reference := node.get("$ref"):
                found: Any = DOCUMENT
                for key in reference.removeprefix("#/").split("/"):
                    found = found[key]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(DOCUMENT)
    names = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names) == 5


def test_every_status_of_the_source_is_described() -> None:
    """Statuses that are raised in the modules of the app, except those of unknown paths and methods."""
    sources = (ROOT / "arcage" / "app").glob("*.py")
    raised = {
        int(status)
        for source in sources
        if source.name != "openapi.py"
        for status in re.findall(r"(?<![\w.])([45]\d\d)(?=[,):])", source.read_text("utf-8"))
    }
    described = set(map(int, DOCUMENT["components"]["responses"]))
    assert raised - {404, 405} == described


@pytest.mark.slow
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_requests_from_the_description(fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid and invalid requests get what the description says. Every picture has a face here."""
    monkeypatch.setattr(FakeHeads, "familiarity", 0.3)
    monkeypatch.setenv("SCHEMATHESIS_HOOKS", "openapi_hooks")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    with running() as server:
        url = f"http://127.0.0.1:{server.port}"
        target = [f"{url}/openapi.json", "--url", url]
        amount = ["--checks", "all", "--max-examples", "10", "--seed", "0", "--request-timeout", "60"]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", *target, *amount, "--no-color"],
            capture_output=True,
            text=True,
            cwd=tmp_path,  # it writes notes there
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout
    assert int(re.search(r"(\d+) generated, \1 passed", done.stdout)[1]) > 100  # type: ignore[index]
