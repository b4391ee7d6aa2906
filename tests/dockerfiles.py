"""Read a Dockerfile, and run its steps without Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[1]
_ABSOLUTE = re.compile(r"(?<![\w./:-])/(?=(?:src|opt|tmp)\b)")
"""Paths of the image that are below a folder here."""


@dataclass(frozen=True)
class Step:
    """An instruction, with its flags apart."""

    name: str
    text: str
    flags: dict[str, str]

    @property
    def words(self) -> list[str]:
        """The words of the exec form, ``["a", "b"]``, or those of the text."""
        return list(json.loads(self.text)) if self.text.startswith("[") else shlex.split(self.text)


def read(path: Path) -> list[Step]:
    """Return the instructions, with the defaults of ``ARG`` filled in."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text("utf-8")).replace("\\\n", " ")
    given: dict[str, str] = {}
    steps = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        for key, value in given.items():
            rest = rest.replace(f"${{{key}}}", value)
        flags = {}
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        if name == "ARG":
            key, _, value = rest.partition("=")
            given[key] = value
        steps.append(Step(name, rest, flags))
    return steps


def one(steps: list[Step], name: str) -> Step:
    """Return the only instruction of a kind."""
    (step,) = (step for step in steps if step.name == name)
    return step


def environment(steps: list[Step]) -> dict[str, str]:
    """Return the variables that the image sets."""
    words = [word for step in steps if step.name == "ENV" for word in step.words]
    return dict(word.split("=", 1) for word in words)


def is_sent(path: str) -> bool:
    """Return whether ``.dockerignore`` lets a path, relative to the repository, into the build."""
    sent = True
    parents = [str(parent) for parent in PurePosixPath(path).parents][:-1]
    for line in (ROOT / ".dockerignore").read_text("utf-8").split():
        pattern = line.removeprefix("!").removeprefix("**/")
        anywhere = line.startswith("**/")
        names = [PurePosixPath(name).name if anywhere else name for name in (path, *parents)]
        if any(fnmatch(name, pattern) for name in names):
            sent = line.startswith("!")
    return sent


def below(root: Path, text: str) -> str:
    """Return a text whose paths of the image are below a folder."""
    return _ABSOLUTE.sub(f"{root}/", text)


def build(steps: list[Step], root: Path) -> list[str]:
    """Run the steps below a folder, and return those that need the image.

    ``FROM`` is the Python that runs the tests. Steps for the user and for packages of Debian are not run.
    """
    folder, left = root, []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for step in steps:
        if step.name == "WORKDIR":
            folder = Path(below(root, step.text))
            folder.mkdir(parents=True, exist_ok=True)
        elif step.name == "COPY" and "from" not in step.flags:
            *sources, target = step.words
            for source in sources:
                _copy(ROOT / source, folder / target)
        elif step.name == "RUN":
            if re.match(r"apt-get|useradd", step.text):
                left.append(step.text)
                continue
            command = ["/bin/sh", "-c", below(root, step.text)]
            variables = {"PATH": path, "HOME": str(root), **_proxies()}
            subprocess.run(command, cwd=folder, env=variables, check=True)
    return left


def start(steps: list[Step], root: Path, *more: str) -> subprocess.Popen[str]:
    """Start the entry point below a folder, with the environment of the image and nothing else."""
    variables = {name: below(root, value) for name, value in environment(steps).items()}
    command = [*one(steps, "ENTRYPOINT").words, *more]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    found = shutil.which(command[0], path=variables["PATH"])
    assert found is not None
    return subprocess.Popen([found, *command[1:]], env=variables, cwd=root / "tmp", text=True, **pipes)


def health(steps: list[Step], root: Path, port: int) -> int:
    """Run the health check for another port, and return its exit status."""
    _, _, text = one(steps, "HEALTHCHECK").text.partition("CMD ")
    command = [word.replace(":7860", f":{port}") for word in json.loads(text)]
    variables = {name: below(root, value) for name, value in environment(steps).items()}
    command[0] = str(shutil.which(command[0], path=variables["PATH"]))
    return subprocess.run(command, env=variables, cwd=root / "tmp", capture_output=True).returncode


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copy(source, target / source.name)
        return
    for path in source.rglob("*"):
        if path.is_file() and is_sent(path.relative_to(ROOT).as_posix()):
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)


def _proxies() -> dict[str, str]:
    """Return the variables by which pip finds PyPI here."""
    wanted = re.compile(r"(?i)(https?|no|all)_proxy|pip_.*|ssl_cert_.*|requests_ca_bundle")
    return {name: value for name, value in os.environ.items() if wanted.fullmatch(name)}
