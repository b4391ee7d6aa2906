"""Extraction on many machines at once: the same stage in the actors of Ray Data.

Descriptors go from the actors straight into the cache, as its writers need no lock; only a small row for each
image comes back. An actor that dies is started again and repeats the images that it had in hand: a batch is
in the cache, or comes again.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arcage import errors
from arcage.cache import Cache
from arcage.cache.arrow import printable
from arcage.embedder.engines.base import cores
from arcage.errors import ArcageError, DeviceError
from arcage.extraction.run import describe, open_cache
from arcage.output.summary import Summary
from arcage.process.interrupt import handlers_kept
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.source import Source
from arcage.sources.url import is_url
from arcage.types import Array

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

_BATCH = 1024
"""Most images in one batch: a shard of the cache, and what an actor that dies has to repeat."""
_WINDOW = 1 << 18
"""Sources that the driver holds at once."""
_CPUS = 4
"""Most cores of one actor. A machine with more has several, which do not wait for one Python."""
_STORE_BYTES = 256 << 20
"""Ray's shared memory on this machine: only paths and small rows pass through it."""
_FAILED = "failed"


class CachedExtraction:
    """Extracts batches of images into a cache; for ``map_batches`` of Ray Data, and picklable.

    The networks are loaded and the cache is opened with the first batch.

    Args:
        extractor: what is done with each image.
        directory: the cache's folder, on a disk that all workers share.
        names: keep the images' names too.
        folder: where relative paths begin; the present one by default.
        cpus: cores to use; None for all.
    """

    def __init__(
        self,
        extractor: Extractor,
        directory: str | Path,
        *,
        names: bool = True,
        folder: str | None = None,
        cpus: int | None = None,
    ) -> None:
        self._extractor = extractor
        self._folder = folder or os.getcwd()
        self._directory = os.path.join(self._folder, directory)
        self._names = names
        self._cpus = cpus
        self._cache: Cache | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None}

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Extract the images that the cache lacks, and have them in the cache when this returns.

        Args:
            batch: ``path``, shape (n,): text, or bytes as the file system has them. Optional columns:
                ``name`` (the base name by default), ``error`` and ``opener``, as :func:`as_columns` makes
                them.

        Returns:
            ``sha256`` (str, empty where there were no bytes), ``status`` (str), ``faces`` (int32), ``known``
            (bool: the cache had it) and ``error`` (str), shape (n,) each, in the order of the batch.

        Raises:
            CacheError, DeviceError, ModelError, RemoteError: as :func:`arcage.extraction.run.extract`.
        """
        if self._cache is None:
            if self._cpus is not None:
                os.environ["PYTHON_CPU_COUNT"] = str(self._cpus)
            self._cache = open_cache(Path(self._directory), self._extractor)
        with ReadAhead(self._sources(batch)) as sources:
            rows = [
                (image.sha256, image.status, len(image.faces), known, printable(image.error))
                for _, image, known in describe(sources, self._extractor, self._cache, names=self._names)
            ]
            if sources.error is not None:
                raise sources.error
        sha256, status, faces, known, error = zip(*rows, strict=True)
        return {
            "sha256": np.array(sha256, object),
            "status": np.array(status, object),
            "faces": np.array(faces, np.int32),
            "known": np.array(known, bool),
            "error": np.array(error, object),
        }

    def _sources(self, batch: Mapping[str, Array]) -> Iterator[Source]:
        for row, encoded in enumerate(batch["path"]):
            path = os.fsdecode(encoded)
            name = os.fsdecode(batch["name"][row]) if "name" in batch else path.rsplit("/", 1)[-1]
            error = os.fsdecode(batch["error"][row]) if "error" in batch else ""
            opener = batch["opener"][row] if "opener" in batch else None
            if not is_url(path):
                path = os.path.join(self._folder, path)
            # Of our own making: it comes from the driver of this run.
            yield Source(path, name, error, opener=pickle.loads(opener) if opener is not None else None)  # noqa: S301


def as_columns(sources: Iterable[Source]) -> dict[str, list[bytes | None]]:
    """Sources as columns of bytes, for :class:`CachedExtraction`."""
    columns: dict[str, list[bytes | None]] = {"path": [], "name": [], "error": [], "opener": []}
    for source in sources:
        for column, text in (("path", source.path), ("name", source.name), ("error", source.error)):
            # A file name may be no UTF-8.
            columns[column].append(text.encode("utf-8", "surrogateescape"))
        columns["opener"].append(None if source.opener is None else pickle.dumps(source.opener))
    return columns


def extract(
    sources: Iterable[Source],
    cache: Cache,
    extractor: Extractor,
    *,
    names: bool = True,
    progress: Callable[[], object] = lambda: None,
) -> Summary:
    """Run :func:`arcage.extraction.run.extract` on Ray: on the cluster ``RAY_ADDRESS``, or on this machine.

    A Ray that is started here listens on the loopback interface only, asks for a token that no one else
    has, sends no usage statistics, and is stopped again. One that this process has joined before is taken as
    it is.

    Args:
        cache: on a disk that all workers share, under the same path; so are the images.
        extractor: on a GPU, each actor has one.

    Raises:
        DeviceError: Ray is not installed, or cannot be started or joined.
        CacheError, ModelError, RemoteError: as :func:`arcage.extraction.run.extract`.
        KeyboardInterrupt: passed on; whole batches are in the cache.
    """
    summary = Summary()
    start = time.monotonic()
    with _ray() as ray:
        actors, each = _share(ray.nodes(), _on_gpu(extractor))
        stage = {"names": names, "folder": os.getcwd(), "cpus": each["num_cpus"]}
        stream = iter(sources)
        while window := list(islice(stream, _WINDOW)):
            # A few batches for each actor, so that all finish at about the same time.
            size = min(_BATCH, max(1, -(-len(window) // (4 * actors))))
            batches = [window[at : at + size] for at in range(0, len(window), size)]
            data = _dataset(batches).map_batches(
                _Actor,
                fn_constructor_args=(extractor, str(cache.directory)),
                fn_constructor_kwargs=stage,
                batch_size=None,
                compute=ray.data.ActorPoolStrategy(size=min(actors, len(batches))),
                **each,
            )
            for done in _results(ray, data):
                for status, faces, known in zip(done["status"], done["faces"], done["known"], strict=True):
                    summary.add(window[0].path, status, int(faces))
                    summary.from_cache += bool(known)
                    progress()
    summary.seconds = time.monotonic() - start
    cache.refresh()
    return summary


class _Actor(CachedExtraction):
    """Hands back what was raised: Ray would keep no more of it than the text of a traceback."""

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return super().__call__(batch)
        except ArcageError as error:
            return {
                "sha256": np.array([type(error).__name__], object),
                "status": np.array([_FAILED], object),
                "faces": np.zeros(1, np.int32),
                "known": np.zeros(1, bool),
                "error": np.array([str(error)], object),
            }


def _results(ray: Any, data: Any) -> Iterator[dict[str, Array]]:
    try:
        for done in data.iter_batches(batch_size=None):
            if done["status"][0] == _FAILED:
                raise getattr(errors, done["sha256"][0], ArcageError)(done["error"][0])
            yield done
    except ray.exceptions.RayTaskError:
        raise  # an error of arcage, with its traceback
    except ray.exceptions.RayError as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise DeviceError(
            f"Ray stopped: {words}; what was finished is in the cache, run the same command again"
        ) from error


def _dataset(batches: list[list[Source]]) -> Any:
    import pyarrow as pa
    import ray.data

    schema = pa.schema([(name, pa.binary()) for name in ("path", "name", "error", "opener")])
    return ray.data.from_arrow([pa.table(as_columns(batch), schema=schema) for batch in batches])


@contextmanager
def _ray() -> Iterator[Any]:
    # Ray reads its environment while it is imported. Nothing leaves the machine.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    local = not os.environ.get("RAY_ADDRESS")
    if local:
        # By this name it can be had on Linux too: the loopback address for all that Ray opens.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DeviceError(f"--engine ray needs Ray ({error}): pip install 'arcage[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    here = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        if not local:
            _knock(os.environ["RAY_ADDRESS"])
        # Ray sets a handler for SIGTERM.
        with _no_stderr(), handlers_kept():
            ray.init(
                address="local" if local else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(here if local else {}),
            )
    except Exception as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        where = "start Ray on this machine" if local else f"join Ray at {os.environ['RAY_ADDRESS']}"
        raise DeviceError(
            f"cannot {where}: {words}; or run without --engine ray, in parts by --shard"
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    # What goes wrong is said here, and once.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody is at ``host:port``. Ray would try for many minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _no_stderr() -> Iterator[None]:
    # Ray's C++ part says there that it has been told to be quiet.
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _on_gpu(extractor: Extractor) -> bool:
    return extractor.engine.device != "cpu"


def _share(nodes: list[dict[str, Any]], gpu: bool) -> tuple[int, dict[str, int]]:
    """How many actors the machines of a cluster hold, and what each is given.

    Raises:
        DeviceError: none.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if gpu:
        machines = [machine for machine in machines if machine.get("GPU", 0) >= 1]
        cpus = min((int(m["CPU"] // m["GPU"]) for m in machines), default=0)
        count, each = sum(int(m["GPU"]) for m in machines), {"num_cpus": max(1, cpus), "num_gpus": 1}
    else:
        cpus = min((int(min(m["CPU"], _CPUS)) for m in machines), default=1)
        count, each = sum(int(m["CPU"] // cpus) for m in machines), {"num_cpus": cpus}
    if not count:
        raise DeviceError(
            f"the Ray cluster has no machine with a {'GPU' if gpu else 'CPU'}: see `ray status`"
        )
    return count, each
