"""Check an installation, for `arcage doctor`.

Libraries are imported in their own checks, so that one that cannot be imported is a finding, not a crash.
"""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from arcage._version import __version__
from arcage.errors import ArcageError
from arcage.files import CACHE_VARIABLE, cache_home, user_home

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    level: Level
    """``problem``: something does not work; ``note``: everything works, but the user should know it."""
    text: str

    def __str__(self) -> str:
        return f"{self.level:<8}  {self.check}: {self.text}"


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Return whether no check found a problem."""
    return all(finding.level != "problem" for finding in findings)


_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""Packages that install into the same folder, ``cv2``."""

_MANY_BYTES = 1 << 30
"""Size of the compiled networks that is worth a note. One version needs 163 MB for the bundled models."""


class _Note(str):
    """A text that becomes a finding of the level ``note``."""


def examine(cache: Path | None = None) -> Iterator[Finding]:
    """Run all checks, and yield each result as soon as it is known. Raises nothing.

    The texts can be published: the home folder is written as ``~``, and the user's name as ``USER``.

    Args:
        cache: a descriptor cache to read and check completely as well.
    """
    checks = dict(_CHECKS)
    if cache is not None:
        checks["cache"] = lambda: _cache(cache)
    for name, check in checks.items():
        try:
            found = check()
            finding = Finding(name, "note" if isinstance(found, _Note) else "ok", found)
        except ArcageError as error:
            finding = Finding(name, "problem", str(error))
        except Exception as error:  # a library that cannot be imported, or fails
            finding = Finding(name, "problem", f"{type(error).__name__}: {error}")
        yield Finding(finding.check, finding.level, _impersonal(finding.text))


def _versions() -> str:
    return f"arcage {__version__}, Python {platform.python_version()} ({sys.executable})"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{platform.platform()}, {platform.machine()}, {cores} cores"
    with suppress(ValueError, OSError, AttributeError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        text += f", {memory / 2**30:.1f} GiB of memory"
    return text


def _processor() -> str:
    import cv2

    from arcage.embedder.engines.openvino import OpenVinoEngine

    # OpenCV marks a feature with "?" if the build supports it and the processor does not.
    wide = [word.strip("*") for word in cv2.getCPUFeaturesLine().split() if "AVX" in word and word[-1] != "?"]
    flags = ""
    with suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    tiles = sorted(set(re.findall(r"\bamx_\w+", flags)))
    model, capabilities = OpenVinoEngine().processor()
    return f"{model}; {', '.join([*wide, *tiles]) or 'no AVX'}; OpenVINO sees {', '.join(capabilities)}"


def _libraries() -> str:
    names = ("numpy", *_OPENCV, "openvino", "pyarrow", "lightgbm", "scikit-learn", "typer", "onnx")
    extra = ("pi-heif", "rawpy")
    return ", ".join(f"{name} {version}" for name in (*names, *extra) if (version := _version(name)))


def _opencv() -> str:
    import cv2

    found = [name for name in _OPENCV if _version(name)]
    if len(found) > 1:
        return _Note(
            f"{' and '.join(found)} are installed together, in one folder: removing one breaks the others. "
            f"If OpenCV fails: pip uninstall -y {' '.join(found)} && pip install opencv-python-headless"
        )
    return f"opencv {cv2.__version__}"


def _openvino() -> str:
    import numpy as np

    from arcage.embedder.engines.onnxruntime import PROBE
    from arcage.embedder.engines.openvino import OpenVinoEngine

    engine = OpenVinoEngine()
    product = engine.load(PROBE, (1, 1, 1, 1))(np.full((1, 1, 1, 1), 3, np.float32))["y"].item()
    if product != 6:
        raise ArcageError(
            f"{engine.name} computed 2 * 3 = {product}; install it again: "
            "pip install --force-reinstall openvino"
        )
    return f"works: {engine.name}"


def _lightgbm() -> str:
    from arcage.heads.boosting import load_lightgbm

    return f"works: lightgbm {load_lightgbm().__version__}; only fits need it"


def _onnxruntime() -> str:
    from arcage.embedder.engines.onnxruntime import installed_distributions, installed_providers

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
    reasons = {device: _failure(device) for device in providers}
    works = ", ".join(device for device in providers if not reasons[device]) or "nothing"
    text = "; ".join([f"{found[0]} {_version(found[0])}, {works} works", *filter(None, reasons.values())])
    # TensorRT needs libraries that few installations have; arcage uses it only if it is asked for.
    fails = any(reason for device, reason in reasons.items() if device != "tensorrt")
    return _Note(text) if fails else text


def _failure(device: str) -> str:
    """Return why ONNX Runtime cannot run on a device; empty if it can."""
    from arcage.embedder.engines.onnxruntime import OnnxRuntimeEngine

    try:
        OnnxRuntimeEngine(device)
    except ArcageError as error:
        return str(error)
    return ""


def _gpu() -> str:
    found = _nvidia()
    return ", ".join(found) if found else "none by NVIDIA: nvidia-smi lists none, or is not installed"


def _nvidia() -> list[str]:
    """Return the GPUs that the driver lists, with its version."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if not done.returncode else []


def _device() -> str:
    from arcage.embedder.engines.choose import make_engine

    engine = make_engine()
    text = f"auto takes {engine.device} ({engine.name})"
    if engine.note:
        return _Note(f"{text}; {engine.note}")
    if engine.device == "cpu" and _nvidia():
        return _Note(f"{text}; the GPU is not used: {_failure('cuda') or 'onnxruntime-gpu is not installed'}")
    return text


def _models() -> str:
    from arcage.embedder.packs.inventory import verify_models

    found = list(verify_models())
    wrong = [
        f"{model.pack}: {model.file} is {model.state}; {model.remedy}" for model in found if model.remedy
    ]
    if wrong:
        raise ArcageError("; ".join(dict.fromkeys(wrong)))
    packs: dict[str, list[str]] = {}
    for model in found:
        state = "" if model.state == "right" else f" ({model.state})"
        packs.setdefault(model.pack, []).append(f"{model.file} {(model.sha256 or '')[:12]}{state}")
    return "; ".join(f"{pack}: {', '.join(files)}" for pack, files in packs.items())


def _heads() -> str:
    import numpy as np

    from arcage.embedder.extractor import Extractor
    from arcage.heads.store import load_heads

    extractor = Extractor()
    heads = load_heads()
    heads.check(extractor.fingerprint, extractor.pack.name)
    dimension = sum(model.dimension or 0 for model in extractor.pack.embedders)
    found = heads.predict(np.zeros((1, dimension), np.float16))
    if not 0 <= found.p_female[0] <= 1 or not found.age_low[0] <= found.age[0] <= found.age_high[0]:
        raise ArcageError(f"the bundled heads return invalid values ({found}); please report this")
    return f"the bundled heads belong to the bundled pack, {extractor.pack.name}"


def _compiled() -> str:
    from arcage.embedder.engines.compiled import check_compiled, compiled_folder

    folder = compiled_folder()
    if folder is not None:
        files = sorted(folder.glob("*.blob"))
        size = sum(path.lstat().st_size for path in files)
        damaged = [path.name for path in files if check_compiled(path) == "damaged"]
        text = (
            f"{folder} keeps {len(files)}, {_megabytes(size)}, including those of other versions of "
            "arcage and OpenVINO; deleting the folder is always safe"
        )
        if damaged:
            names = ", ".join(damaged[:3]) + (", ..." if damaged[3:] else "")
            text += f". Damaged, not used, and compiled again when needed: {len(damaged)} ({names})"
        return _Note(text) if damaged or size > _MANY_BYTES else text
    home = cache_home()
    why = f"{home / 'openvino'} cannot be written" if home is not None else "this user has no home folder"
    return _Note(
        f"{why}, so networks are compiled at every start, which takes a second; to change that, set "
        f"{CACHE_VARIABLE} to a writable folder"
    )


def _decoders() -> str:
    import cv2
    import numpy as np

    from arcage.images.decoder import decode
    from arcage.images.limits import DEFAULT_LIMITS

    picture = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    start = time.perf_counter()
    decoded = decode(cv2.imencode(".bmp", picture)[1].tobytes())
    seconds = time.perf_counter() - start
    if not np.array_equal(decoded[..., ::-1], picture):
        raise ArcageError("a worker process decodes another picture than it was given; please report this")
    limits = f"{DEFAULT_LIMITS.seconds:g} s an image"
    if sys.platform == "linux":
        limits += f" and {DEFAULT_LIMITS.memory / 2**30:g} GiB"
    return f"worker processes for rare formats work: {seconds:.2f} s to start, limited to {limits}"


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


def _cache(folder: Path) -> str:
    from arcage.cache import Cache
    from arcage.cache.pipeline import pipeline_name
    from arcage.embedder.extractor import Extractor
    from arcage.text import counted

    fingerprints = Cache.fingerprints(folder)
    if not fingerprints:
        raise ArcageError(f"{folder} is not a descriptor cache: `arcage extract` makes one")
    present = Extractor().fingerprint
    texts = []
    unfinished: dict[Path, int] = {}
    for fingerprint in fingerprints:
        cache = Cache(folder, fingerprint)
        damaged = cache.verify()
        if damaged:
            raise ArcageError("; ".join(str(one) for one in damaged[:3]) + (", ..." if damaged[3:] else ""))
        size = sum(path.stat().st_size for path in cache.path.rglob("*") if path.is_file())
        for path in cache.unfinished():
            with suppress(FileNotFoundError):  # still being written
                unfinished[path] = path.stat().st_size
        whose = f"the pack {pipeline_name(cache.pipeline)}"
        if fingerprint == present:
            whose = "the bundled models"
        elif "pack" not in cache.pipeline:
            whose = "other models or another version"
        texts.append(
            f"{fingerprint} (of {whose}): {counted(len(cache), 'image')}, {_megabytes(size)}, "
            "all checksums match"
        )
    text = f"{folder}: {'; '.join(texts)}"
    if not unfinished:
        return text
    names = [path.relative_to(folder).as_posix() for path in unfinished]
    together = _megabytes(sum(unfinished.values()))
    some = ", ".join(names[:3]) + (", ..." if names[3:] else "")
    return _Note(
        f"{text}; unfinished files: {len(names):,} ({some}), {together}, of running or killed processes: "
        "`arcage extract` with the same models removes those that are older than a day"
    )


def _impersonal(text: str) -> str:
    """Return the text without the path of the home folder, and without the user's name in paths."""
    home = user_home()
    if home is not None:
        for path in sorted({str(home), os.path.realpath(home)}, key=len, reverse=True):
            if len(path) > 1:
                text = re.sub(re.escape(path) + r"(?![\w.-])", "~", text)
    with suppress(OSError, KeyError, ImportError):  # the user has no name
        text = re.sub(rf"(?<=[/\\]){re.escape(getpass.getuser())}(?![\w.-])", "USER", text)
    return text


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


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
    "openvino": _openvino,
    "processor": _processor,
    "lightgbm": _lightgbm,
    "onnxruntime": _onnxruntime,
    "gpu": _gpu,
    "device": _device,
    "models": _models,
    "heads": _heads,
    "decoders": _decoders,
    "self-test": _self_test,
    "compiled networks": _compiled,
}
