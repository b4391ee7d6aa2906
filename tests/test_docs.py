"""The documentation is correct: names exist, links resolve, every option is documented, and examples run.

A command line in a block marked ``sh`` or in backquotes is run on synthetic data (``folder``). If ``NOT_RUN``
matches it, only its options and arguments are checked.
"""

from __future__ import annotations

import ast
import glob
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import caches
import cv2
import graphs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer.main
from faces import fit_quickly
from typer.testing import CliRunner

from arcage import __version__
from arcage.cli import app
from arcage.console.group import RENAMED

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKING = [*sorted(ROOT.glob("*.md")), *PAGES[1:], *sorted((ROOT / "arcage").rglob("*.md"))]

NOT_RUN = {
    r"models fetch\b": "downloads",
    r"--pack encoder\b|models remove\b": "needs a pack that was added: tests/embedder/packs/test_add.py",
    r"--pack buffalo_\w+": "needs a pack that was downloaded",
    r"\bs3://": "needs an object store",
    r"--engine ray": "starts Ray, which the tests of arcage/extraction/distributed.py do",
    r"\.\./shared/data|--cache /tmp/": "needs the labelled faces and minutes",
    r"--device cuda": "needs a GPU",
    r"--webcam": "needs a camera",
}
"""Patterns of command lines that are only parsed, and the reasons."""

NOT_RUN_PYTHON = {
    "import ray": "starts Ray",
    "import fiftyone": "needs MongoDB",
    "import urllib.request": "needs the server, which tests/app/test_guide.py starts",
}

VARIABLES = {"$SLURM_ARRAY_TASK_ID": "3", "$SLURM_ARRAY_TASK_COUNT": "100", "{}": "3"}
"""Values for the variables that a shell or xargs replaces."""

PLACEHOLDER = re.compile(r"\.\.\.|(?<![\w=])[A-Z]+\b")
"""Marks a command line in backquotes as incomplete: ``arcage COMMAND --help``. So does a missing required
option, as in ``arcage fit --augment 1``. Their options are checked, but they are not run."""

FACES = 100
"""Faces in each synthetic data set: the minimum for fitting heads, and some to hold out."""


@dataclass(frozen=True)
class Shown:
    """An arcage command line in the documentation."""

    where: str
    words: tuple[str, ...]
    """The words after ``arcage``."""
    stdin: str | None = None
    """File that is piped into the command."""

    def __str__(self) -> str:
        return f"{self.where}: arcage {shlex.join(self.words)}"


def blocks(page: Path, language: str) -> Iterator[tuple[str, str]]:
    """Yield the position and text of each fenced block of a language."""
    text = page.read_text("utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, found.start()) + 2
        yield f"{page.relative_to(ROOT)}:{line}", found[1]


def spans(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the position and text of each span in backquotes outside of the blocks."""
    text = re.sub(
        r"^```.*?^```",
        lambda m: "\n" * m[0].count("\n"),
        page.read_text("utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    for found in re.finditer(r"`([^`]+)`", text):
        line = text.count("\n", 0, found.start()) + 1
        yield f"{page.relative_to(ROOT)}:{line}", found[1].replace("\\|", "|").replace("\n", " ")


def parse(where: str, line: str) -> Iterator[Shown]:
    """Yield the arcage command lines in a shell line."""
    for name, value in VARIABLES.items():
        line = line.replace(name, value)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if word in ("&&", "|", ";"):
            parts.append([])
        else:
            parts[-1].append(word)
    before: list[str] = []
    for part in parts:
        if "arcage" in part:
            stdin = before[1] if before[:1] == ["cat"] else None
            yield Shown(where, tuple(part[part.index("arcage") + 1 :]), stdin)
        before = part


@cache
def shown() -> tuple[Shown, ...]:
    """Return all command lines of the documentation, without duplicates."""
    found: dict[tuple[str, ...], Shown] = {}
    for page in PAGES:
        for where, block in blocks(page, "sh"):
            start, first = where.rsplit(":", 1)
            for number, line in enumerate(block.replace("\\\n", "  ").splitlines()):
                for one in parse(f"{start}:{int(first) + number}", line):
                    found.setdefault(one.words, one)
        for where, text in spans(page):
            if re.match(r"arcage [a-z]|cat .*\| arcage", text) and not PLACEHOLDER.search(text):
                for one in parse(where, text):
                    if command_of(one.words)[2] and not parse_error(one).startswith("Missing"):
                        found.setdefault(one.words, one)
    return tuple(found.values())


def parse_error(one: Shown) -> str:
    """Return the error that parsing the command line gives, or an empty string."""
    name, command, rest = command_of(one.words)
    try:
        command.make_context(name, list(rest))
    except typer.Exit:  # --help
        return ""
    except Exception as error:
        # Typer may contain its own copy of Click, so its exceptions cannot be named here.
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
    return ""


def excepted(one: Shown) -> bool:
    return any(re.search(pattern, " ".join(one.words)) for pattern in NOT_RUN)


@cache
def commands() -> dict[str, Any]:
    """Return every command by its name, such as ``models list``."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        for name, one in getattr(command, "commands", {}).items():
            walk(one, (*words, name))
        found[" ".join(words)] = command

    walk(typer.main.get_command(app), ())
    return found


def leaves() -> dict[str, Any]:
    return {name: one for name, one in commands().items() if not hasattr(one, "commands")}


def options(command: Any) -> set[str]:
    """Return the long names of the options."""
    names = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    return {name for name in names if name.startswith("--")} | {"--help"}


def command_of(words: tuple[str, ...]) -> tuple[str, Any, tuple[str, ...]]:
    """Return the name and the command that words begin with, and the remaining words."""
    for length in (2, 1, 0):
        if (name := " ".join(words[:length])) in commands() and len(words) >= length:
            return name, commands()[name], words[length:]
    raise AssertionError


def test_every_command_and_option_is_documented() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    missing = [f"arcage {name}" for name in leaves() if f"arcage {name}" not in text]
    named = set(re.findall(r"--[a-z][a-z0-9-]*", text))
    for name, command in commands().items():
        missing += [
            f"arcage {name} {option}".replace("  ", " ") for option in sorted(options(command) - named)
        ]
    assert not missing, "not in README.md or docs/:\n  " + "\n  ".join(missing)


def test_every_help_text_is_made_of_sentences() -> None:
    wrong = []
    for name, command in commands().items():
        texts = {"": command.help or ""}
        texts |= {p.opts[0]: getattr(p, "help", None) or "" for p in command.params}
        for what, text in texts.items():
            # Phrases such as "Of standard output." and "Where the heads go." are not sentences.
            phrase = re.match(r"(?:Of|Where|What|A|An|Which|In|With) ", text)
            if not re.fullmatch(r"[A-Z][^.]* .*[.]", text, re.DOTALL) or phrase:
                wrong.append(f"arcage {name} {what}: {text!r}")
    assert not wrong, (
        "a help text begins with a verb and a capital, and ends with a full stop:\n  " + "\n  ".join(wrong)
    )


def test_options_that_are_named_exist() -> None:
    existing = set().union(*(options(command) for command in commands().values()))
    wrong = []
    for page in LINKING:
        former = {f"--{name}" for name in RENAMED} if page.name == "CHANGELOG.md" else set()
        known = existing | former
        for where, text in spans(page):
            if text.startswith(("-", "arcage ")):
                allowed = known
                if text.startswith("arcage "):
                    allowed = options(command_of(tuple(text.split()[1:]))[1]) or known
                for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text):
                    if option not in allowed:
                        wrong.append(f"{where}: {option} in `{text}`")
    for one in shown():
        name, command, rest = command_of(one.words)
        wrong += [
            f"{one}: `arcage {name}` has no {word}"
            for word in rest
            if word.startswith("--") and word.split("=")[0] not in options(command)
        ]
    assert not wrong, "options that arcage does not have:\n  " + "\n  ".join(wrong)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, photo: bytes) -> Path:
    """Create all inputs of the documented command lines, under the names that they use."""
    from arcage.embedder.extractor import Extractor
    from arcage.heads.fit import fit_heads
    from arcage.heads.settings import Settings
    from arcage.heads.store import pack_heads, save_heads
    from arcage.types import Labels

    root = tmp_path_factory.mktemp("documents")
    extractor = Extractor()
    rng = np.random.default_rng(0)
    age, gender = rng.integers(5, 80, FACES), rng.integers(0, 2, FACES)
    x = rng.normal(size=(FACES, extractor.dimension))
    x[:, 0] += age / 3
    x[:, 1] += 5 * gender

    def made(folder: str, names: list[str], fingerprint: str = extractor.fingerprint) -> None:
        images = [(name, caches.image(f"{folder} {name}", [x[i]])) for i, name in enumerate(names)]
        caches.write(root / folder, images, dimension=extractor.dimension, fingerprint=fingerprint)

    for folder, table in [("cache", "labels.csv"), ("other-cache", "other.csv"), ("mine", "mine.csv")]:
        names = [f"{i}.jpg" for i in range(FACES)]
        made(folder, names)
        rows = [f"{name},{age[i]},{gender[i]}" for i, name in enumerate(names)]
        (root / table).write_text("\n".join(["path,age,gender", *rows]))
    shutil.copy(root / "labels.csv", root / "corrected.csv")
    (root / "filled.csv").write_text("\n".join((root / "labels.csv").read_text().split("\n")[:91]))
    result = {"id": "q", "from_name": "age", "type": "number"}
    tasks = [
        {
            "id": i,
            "data": {"image": f"{i}.jpg"},
            "annotations": [{"result": [{**result, "value": {"number": int(years)}}]}],
        }
        for i, years in enumerate(age)
    ]
    (root / "export.json").write_text(json.dumps(tasks))
    variant = Extractor(variant=1)
    images = [(None, caches.image(f"cache {i}.jpg", [x[i]])) for i in range(FACES)]
    caches.write(root / "cache", images, dimension=extractor.dimension, fingerprint=variant.fingerprint)
    made("agedb", [f"{i}_Person{i}_{age[i]}_{'mf'[gender[i]]}.jpg" for i in range(FACES)])

    for folder in ("photos", "more"):
        (root / folder / "below").mkdir(parents=True)
        (root / folder / "a.jpg").write_bytes(photo)
        (root / folder / "below" / "notes.txt").write_text("not an image")
    (root / "photo.jpg").write_bytes(photo)
    (root / "list.txt").write_text("photo.jpg\nphotos/a.jpg\n")
    (root / "boxes.csv").write_text("path,x1,y1,x2,y2\nphotos/a.jpg,177.9,62.9,268.5,175.5\n")
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}]}
    coco |= {"annotations": [{"id": 1, "image_id": 1, "bbox": [177.9, 62.9, 90.6, 112.6]}]}
    (root / "coco.json").write_text(json.dumps(coco))
    (root / "crops").mkdir()
    crop = cv2.resize(cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR), (112, 112))
    (root / "crops" / "a.png").write_bytes(cv2.imencode(".png", crop)[1].tobytes())
    (root / "examples").mkdir()
    (root / "examples" / "astronaut.jpg").write_bytes(photo)
    # The page about videos shows how to make the video that it uses.
    _, code = next(blocks(ROOT / "docs" / "guide" / "media.md", "python"))
    with chdir(root):
        exec(code, {})
    (root / "encoder.onnx").write_bytes(graphs.vit().SerializeToString())
    (root / "data").mkdir()
    for name in ("data.parquet", "data/0.parquet"):
        pq.write_table(pa.table({"path": ["a.jpg"], "image": [photo]}), root / name)

    heads, _ = fit_heads(
        x.astype(np.float32),
        Labels(age.astype(np.float32), gender.astype(np.float32)),
        fingerprint=extractor.fingerprint,
        settings=Settings(kind="linear"),
    )
    for name in ("heads", "heads-linear"):
        save_heads(heads, root / name, "")
    pack_heads(str(root / "heads"), root / "heads.arcage")
    return root


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: Path) -> Path:
    """Copy the inputs to a working folder."""
    here = tmp_path / "work"
    shutil.copytree(prepared, here)
    monkeypatch.chdir(here)
    fit_quickly(monkeypatch, folds=3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path / "insightface"))
    return here


@pytest.mark.parametrize("one", [s for s in shown() if not excepted(s)], ids=str)
def test_commands_run(one: Shown, bundled: None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    # The app would wait for a browser.
    monkeypatch.setattr("arcage.app.serve.serve", lambda *given, **_: served.append(given))
    if "--report" in one.words:
        pytest.importorskip("matplotlib")
    if any(word.endswith(".xlsx") for word in one.words):
        pytest.importorskip("openpyxl")
    stdin = (folder / one.stdin).read_bytes() if one.stdin else None
    # Expand wildcards like a shell.
    words = [found for word in one.words for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    done = CliRunner().invoke(app, words, input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, f"{one}\n{done.stdout}{done.stderr}"
    assert bool(served) == (one.words[0] == "app" and "--help" not in one.words)


@pytest.mark.parametrize("one", [s for s in shown() if excepted(s)], ids=str)
def test_commands_that_are_not_run_can_be_parsed(one: Shown) -> None:
    assert not parse_error(one)
    assert command_of(one.words)[0] in leaves()


def test_exceptions_are_needed() -> None:
    lines = [" ".join(one.words) for one in shown()]
    idle = [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for line in lines)]
    assert not idle, f"NOT_RUN names what no document shows: {', '.join(idle)}"


# tests/test_pandas_page.py runs the blocks of that page one after the other.
PYTHON = [one for page in PAGES if page.name != "pandas-excel.md" for one in blocks(page, "python")]


@pytest.mark.parametrize(("where", "code"), PYTHON, ids=[where for where, _ in PYTHON])
def test_python_runs(where: str, code: str, bundled: None, folder: Path) -> None:
    program = compile(code, where, "exec")
    if not any(mark in code for mark in NOT_RUN_PYTHON):
        exec(program, {"__name__": "example"})


TYPED = """
import io
from pathlib import Path

import numpy as np

from arcage import ImagePredictions, Prediction, Predictor

predictor = Predictor(Path("pack"), heads=Path("heads"), cache="cache", under=18)
for image in (b"", bytearray(), memoryview(b""), "a.jpg", Path("a.jpg")):
    result: ImagePredictions = predictor.predict(image)
with open("a.jpg", "rb") as file, predictor:
    rows: list[Prediction] = predictor.predict(file)
    for each in predictor.predict_many([file, io.BytesIO(), np.zeros((1, 1, 3), np.uint8)]):
        print([row.age + 1 for row in each if row.age is not None], each.draw().shape, each.to_pandas())
"""
WRONGLY_TYPED = """
from arcage import Predictor

Predictor().predict(3)
print(Predictor().predict("a.jpg")[0].age + 1)
with open("a.jpg") as file:
    Predictor().predict(file)
"""


@pytest.mark.oracle
def test_python_passes_a_strict_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    shown = {
        "block_" + re.sub(r"\W", "_", where): code
        for where, code in PYTHON
        if "arcage" in code and not any(mark in code for mark in NOT_RUN_PYTHON)
    }

    def errors(texts: dict[str, str]) -> list[str]:
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text, "utf-8")
        # With the cache of the check of arcage itself, this takes seconds.
        options = ["--config-file", "pyproject.toml", "--no-error-summary"]
        command = [sys.executable, "-m", "mypy", *options, *(str(tmp_path / f"{name}.py") for name in texts)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.stdout.splitlines()

    assert errors({**shown, "typed": TYPED}) == []
    wrong = [re.search(r"py:(\d+): error:.*\[([\w-]+)\]", line) for line in errors({"wrong": WRONGLY_TYPED})]
    assert [found.groups() for found in wrong if found] == [
        ("4", "arg-type"),
        ("5", "operator"),
        ("7", "arg-type"),
    ]


def slug(heading: str) -> str:
    """Return the anchor that GitHub generates for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def test_links_resolve() -> None:
    broken = []
    for page in LINKING:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"https?:|mailto:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path) if path else page
            if not file.exists():
                broken.append(f"{page.relative_to(ROOT)}: {target} is not there")
            elif anchor and anchor not in map(
                slug, re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            ):
                broken.append(f"{page.relative_to(ROOT)}: {target} has no such heading")
    assert not broken, "\n".join(broken)


def test_files_that_are_named_exist() -> None:
    broken = []
    for page in LINKING:
        text = page.read_text("utf-8")
        for name in re.findall(
            r"(?<![\w./-])((?:arcage|benchmarks|docs|examples|tests|tools)/[\w./-]*\.(?:py|md|json|jpg|png))",
            text,
        ):
            if not (ROOT / name).exists():
                broken.append(f"{page.relative_to(ROOT)}: {name} is not there")
    assert not broken, "\n".join(broken)


def defined(module: Path) -> set[str]:
    """Return the names that a module defines, with the methods of its classes as ``Class.method``."""
    names = set()
    for node in ast.parse(module.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return names


def test_names_in_modules_exist() -> None:
    broken = []
    for page in LINKING:
        for name, function in re.findall(r"`(arcage/[\w/]+\.py):([\w.]+)`", page.read_text("utf-8")):
            if not (ROOT / name).exists() or function not in defined(ROOT / name):
                broken.append(f"{page.relative_to(ROOT)}: {name} has no {function}")
    assert not broken, "\n".join(broken)


@pytest.fixture
def draw_rooms(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("draw_rooms")


def test_every_room_is_described(draw_rooms: Any) -> None:
    page = (ROOT / "docs" / "internals" / "architecture.md").read_text("utf-8")
    rooms = set(draw_rooms.rooms()) - {*draw_rooms.GROUND, *draw_rooms.WHOLE}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == rooms


def test_the_drawing_shows_the_imports(draw_rooms: Any) -> None:
    drawn = draw_rooms.draw(draw_rooms.rooms())
    assert draw_rooms.DRAWING.read_text("utf-8") == drawn, "run python tools/draw_rooms.py"


def test_the_reference_has_every_command_and_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    text = "\n".join(importlib.import_module("mkdocs_hook").reference())
    sections = re.split(r"^## arcage ?", text, flags=re.MULTILINE)[1:]
    described = {section.partition("\n")[0]: section for section in sections}
    assert set(described) == set(commands())
    for name, command in commands().items():
        shown = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
        missing = [p.opts[0] for p in shown if not re.search(rf"[` ]{p.opts[0]}\b", described[name])]
        assert not missing, f"arcage {name}: {', '.join(missing)}"


def test_pictures_are_small() -> None:
    large = [p.name for p in (ROOT / "docs" / "images").iterdir() if p.stat().st_size > 150_000]
    assert not large, f"more than 150 kB: {', '.join(large)}"


def test_scripts_have_the_options_that_are_shown() -> None:
    wrong = []
    for page in PAGES:
        for where, text in [*blocks(page, "sh"), *spans(page)]:
            for script, rest in re.findall(r"python ((?:benchmarks|tools)/\S+\.py)([^\n#`]*)", text):
                source = (ROOT / script).read_text("utf-8")
                near = "\n".join(file.read_text("utf-8") for file in (ROOT / script).parent.glob("*.py"))
                for option in re.findall(r"--[a-z][a-z-]*", rest):
                    if f'"{option}"' not in source and f'"{option}"' not in near:
                        wrong.append(f"{where}: {script} has no {option}")
    assert not wrong, "\n".join(wrong)


def test_every_page_is_in_the_index() -> None:
    readme = PAGES[0].read_text("utf-8")
    names = [page.relative_to(ROOT).as_posix() for page in PAGES[1:]]
    lost = [name for name in names if f"]({name})" not in readme]
    assert not lost, f"README.md links no {', '.join(lost)}"


def test_the_citation_names_this_version() -> None:
    # The format was validated with `cffconvert --validate`, which has too many dependencies for the tests.
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE) == [
        __version__
    ]


def test_the_changelog_names_this_version() -> None:
    assert __version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_bundled_model_card_is_generated() -> None:
    from arcage.heads.store import BUNDLED, CARD, MANIFEST
    from arcage.training.model_card import model_card

    manifest = json.loads((BUNDLED / MANIFEST).read_text("utf-8"))
    assert (BUNDLED / CARD).read_text("utf-8") == model_card(manifest)
