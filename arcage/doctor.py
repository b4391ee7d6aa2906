"""Is this installation able to work? What `arcage doctor` asks and finds.

Nothing is imported before its own check: the one that fails is what the user came to find out.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from arcage import __version__
from arcage.errors import ArcageError

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    level: Level
    """``problem``: arcage does not work, or not as asked; ``note``: it works, and should be known."""
    text: str


class _Note(str):
    """An answer that is no problem and should be known all the same."""


def examine() -> Iterator[Finding]:
    """Run every check, and yield what it found as soon as it is known. Nothing is raised."""
    for name, check in _CHECKS.items():
        try:
            found = check()
            yield Finding(name, "note" if isinstance(found, _Note) else "ok", found)
        except ArcageError as error:
            yield Finding(name, "problem", str(error))
        except Exception as error:  # a library that cannot be imported, or fails in a way of its own
            yield Finding(name, "problem", f"{type(error).__name__}: {error}")


def _versions() -> str:
    return f"arcage {__version__}, Python {platform.python_version()} ({sys.executable})"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{platform.platform()}, {platform.machine()}, {cores} cores"
    with suppress(ValueError, OSError, AttributeError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        text += f", {memory / 2**30:.1f} GiB of memory"
    return text


def _libraries() -> str:
    names = ("numpy", "opencv-python-headless", "opencv-python", "openvino", "pyarrow", "lightgbm")
    return ", ".join(f"{name} {version}" for name in names if (version := _version(name)))


def _opencv() -> str:
    import cv2

    both = ("opencv-python", "opencv-python-headless")
    if all(_version(name) for name in both):
        return _Note(
            f"{' and '.join(both)} are both installed, in one folder: removing either breaks the other. "
            f"If OpenCV fails: pip uninstall -y {' '.join(both)} && pip install opencv-python-headless"
        )
    return f"opencv {cv2.__version__}"


def _onnxruntime() -> str:
    from arcage.embedder.onnxruntime import installed_distributions, installed_providers

    found = installed_distributions()
    if len(found) > 1:
        raise ArcageError(
            f"{' and '.join(found)} are installed together and break each other; remove all, then install "
            f"one: pip uninstall -y {' '.join(found)} && pip install 'arcage[gpu]'"
        )
    if not found:
        return "not installed; only GPUs need it: pip install 'arcage[gpu]'"
    providers = installed_providers()
    if not providers:
        raise ArcageError(
            f"{found[0]} cannot be loaded; install it again: pip install --force-reinstall {found[0]}"
        )
    return f"{found[0]} {_version(found[0])}, offers {', '.join(providers)}"


def _device() -> str:
    from arcage.embedder.devices import make_engine

    engine = make_engine()
    text = f"--device auto takes {engine.device} ({engine.name})"
    return _Note(f"{text}; {engine.note}") if engine.note else text


def _models() -> str:
    from arcage.embedder.packs import bundled

    pack = bundled()
    for model in pack.models:
        pack.read(model)
    names = ", ".join(model.name for model in pack.models)
    return f"{pack.name}: {names}; every sha256 is right"


def _heads() -> str:
    import numpy as np

    from arcage.embedder.extract import Extractor
    from arcage.heads.store import load_heads

    extractor = Extractor()
    heads = load_heads()
    heads.check(extractor.fingerprint)
    dimension = sum(model.dimension or 0 for model in extractor.pack.embedders)
    answer = heads.predict(np.zeros((1, dimension), np.float16))
    if not 0 <= answer.p_female[0] <= 1 or not answer.age_low[0] <= answer.age[0] <= answer.age_high[0]:
        raise ArcageError(f"the bundled heads compute nonsense ({answer}); please report this")
    return f"the bundled heads belong to the bundled models ({heads.fingerprint})"


def _compiled() -> str:
    from arcage.embedder.openvino import cache_home

    folder = cache_home() / "openvino"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.access(folder, os.W_OK):
        return f"{folder} keeps compiled networks"
    return _Note(
        f"{folder} cannot be written, so networks are compiled at every start, which takes a second; "
        "to change that, set XDG_CACHE_HOME to a folder that you may write"
    )


def _self_test() -> str:
    import cv2
    import numpy as np

    from arcage.predictor import Predictor

    grey = cv2.imencode(".png", np.full((480, 640, 3), 128, np.uint8))[1].tobytes()
    start = time.perf_counter()
    predictor = Predictor()
    first = predictor.predict(grey)
    loaded = time.perf_counter()
    second = predictor.predict(grey)
    done = time.perf_counter()
    status = first[0].status
    if status != "no_face" or second != first:
        raise ArcageError(f"a grey picture gave the status {status} instead of no_face; please report this")
    return (
        f"a grey picture has no face: {loaded - start:.2f} s with loading, "
        f"{1000 * (done - loaded):.0f} ms the second time"
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


_CHECKS: dict[str, Callable[[], str]] = {
    "version": _versions,
    "machine": _machine,
    "libraries": _libraries,
    "opencv": _opencv,
    "onnxruntime": _onnxruntime,
    "device": _device,
    "models": _models,
    "heads": _heads,
    "compiled networks": _compiled,
    "self-test": _self_test,
}
