"""Extract images on many machines, in the actors of Ray Data.

Actors write descriptors straight into the cache, whose writers need no lock, and return one small row per
image. Ray restarts an actor that dies and repeats its batch, up to three times.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arcage import errors
from arcage.cache import Cache
from arcage.cache.arrow import printable
from arcage.embedder.engines.base import cores
from arcage.errors import ArcageError, DeviceError
from arcage.extraction.run import extract_images, open_cache
from arcage.output.summary import Summary
from arcage.process.interrupt import keep_handlers
from arcage.process.streams import without_stderr
from arcage.sources.read_ahead import ReadAhead
from arcage.sources.source import Source
from arcage.sources.url import is_url
from arcage.types import Array, FacesFrom

if TYPE_CHECKING:
    from arcage.embedder.extractor import Extractor

_BATCH = 1024
"""Maximum images per batch. A batch is one shard of the cache, and is repeated if its actor dies."""
_WINDOW = 1 << 18
"""Maximum sources in the driver's memory."""
_CPUS = 4
"""Maximum cores per actor. Larger machines run several actors, since one Python process would be the
bottleneck."""
_RETRIES = 3
"""How often a batch is repeated whose actor has died. One of its images may be the reason."""
_STORE_BYTES = 256 << 20
"""Ray's shared memory on this machine. Only paths and small rows pass through it."""
_COLUMNS = ("path", "name", "error", "opener", "given")
"""Columns of a batch."""
_FAILED = "failed"
"""Status of a batch that raised an arcage error."""


class CachedExtraction:
    """Picklable callable that extracts batches of images into a cache, for ``map_batches`` of Ray Data.

    The first batch loads the networks and opens the cache.

    Args:
        extractor: computes faces and descriptors.
        directory: the cache's folder, on a disk that all workers share.
        names: store the images' file names as well.
        folder: base of relative paths; the current working directory by default.
        cpus: cores to use; None for all.
        faces_from: where the faces of the images are from.
    """

    def __init__(
        self,
        extractor: Extractor,
        directory: str | Path,
        *,
        names: bool = True,
        folder: str | None = None,
        cpus: int | None = None,
        faces_from: FacesFrom = "detector",
    ) -> None:
        self._faces_from = faces_from
        self._extractor = extractor
        self._folder = folder or os.getcwd()
        self._directory = os.path.join(self._folder, directory)
        self._names = names
        self._cpus = cpus
        self._cache: Cache | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None}

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Extract the images that are not in the cache. On return they are.

        Args:
            batch: ``path``, shape (n,): str, or bytes in the encoding of the file system. Optional columns:
                ``name`` (default: the base name), ``error``, ``opener`` and ``given``, as :func:`as_columns`
                returns them.

        Returns:
            ``sha256`` (str, empty if the image could not be read from disk), ``status`` (str), ``faces``
            (int32), ``known`` (bool, whether the cache had the image) and ``error`` (str), each of shape (n,)
            and in the order of the batch.

        Raises:
            CacheError, DeviceError, ModelError, RemoteError: as
                :func:`arcage.extraction.run.extract_to_cache`.
        """
        if self._cache is None:
            if self._cpus is not None:
                os.environ["PYTHON_CPU_COUNT"] = str(self._cpus)
            self._cache = open_cache(Path(self._directory), self._extractor, self._faces_from)
        with ReadAhead(self._sources(batch)) as sources:
            # Without the descriptors, which would fill the memory.
            rows = [
                (
                    result.image.sha256,
                    result.image.status,
                    len(result.image.faces),
                    result.from_cache,
                    printable(result.image.error),
                )
                for result in extract_images(sources, self._extractor, self._cache, names=self._names)
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
            given = batch["given"][row] if "given" in batch else None
            # Safe to unpickle: the driver of this run made it.
            opener, faces = (pickle.loads(data) if data is not None else None for data in (opener, given))  # noqa: S301
            yield Source(path, name, error, opener=opener, faces=faces)


def as_columns(sources: Iterable[Source]) -> dict[str, list[bytes | None]]:
    """Return sources as columns of bytes, for :class:`CachedExtraction`."""
    columns: dict[str, list[bytes | None]] = {name: [] for name in _COLUMNS}
    for source in sources:
        for column, text in (("path", source.path), ("name", source.name), ("error", source.error)):
            # File names need not be valid UTF-8.
            columns[column].append(text.encode("utf-8", "surrogateescape"))
        for column, value in (("opener", source.opener), ("given", source.faces)):
            columns[column].append(None if value is None else pickle.dumps(value))
    return columns


def extract_on_ray(
    sources: Iterable[Source],
    cache: Cache,
    extractor: Extractor,
    *,
    names: bool = True,
    faces_from: FacesFrom = "detector",
    warn: Callable[[str], object] = lambda _: None,
    progress: Callable[[], object] = lambda: None,
) -> Summary:
    """Extract all images into a cache on Ray: on the cluster ``RAY_ADDRESS``, or on this machine.

    A Ray instance that is started here listens on the loopback interface only, requires a random token, sends
    no usage statistics and is stopped at the end. If the process is already connected to Ray, that connection
    is used.

    Args:
        sources: the images, on a disk that all workers share under the same path.
        cache: on such a disk as well.
        extractor: computes faces and descriptors. On a device other than ``cpu``, each actor gets one GPU
            and an equal share of the cores. ``auto`` uses the GPUs of the cluster if networks run on them.
            This process needs no GPU.
        faces_from: where the faces of the images are from; the cache is one of these.
        warn: called with the reason if ``auto`` does not use the GPUs of the cluster.
        names, progress: as for :func:`arcage.extraction.run.extract_to_cache`.

    Raises:
        DeviceError: Ray is not installed, or cannot be started or joined, the cluster has no such device, or
            actors die again and again.
        CacheError, ModelError, RemoteError: as :func:`arcage.extraction.run.extract_to_cache`.
        KeyboardInterrupt: raised again; finished batches are in the cache.
    """
    summary = Summary()
    start = time.monotonic()
    with _ray() as ray:
        with _ray_errors(ray):
            device = _choose_device(ray, extractor, warn)
        pool = _plan_actors(ray.nodes(), device)
        # A copy, because the caller's extractor keeps its device.
        extractor = copy.copy(extractor)
        extractor.device = device
        stage = {
            "names": names,
            "folder": os.getcwd(),
            "cpus": pool.resources["num_cpus"],
            "faces_from": faces_from,
        }
        stream = iter(sources)
        while window := list(islice(stream, _WINDOW)):
            # Four batches per actor, so that all finish at about the same time.
            size = min(_BATCH, max(1, -(-len(window) // (4 * pool.actors))))
            batches = [window[at : at + size] for at in range(0, len(window), size)]
            with warnings.catch_warnings():
                # Ray 2.60 warns of `max_task_retries`, but has no other way to limit retries.
                warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
                data = _dataset(batches).map_batches(
                    _Actor,
                    fn_constructor_args=(extractor, str(cache.directory)),
                    fn_constructor_kwargs=stage,
                    batch_size=size,  # of the blocks as well; Ray insists on a number for actors with a GPU
                    compute=ray.data.ActorPoolStrategy(size=min(pool.actors, len(batches))),
                    max_task_retries=_RETRIES,
                    **pool.resources,
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
    """Return arcage errors as rows: Ray would keep only the text of the traceback."""

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
    with _ray_errors(ray):
        for done in data.iter_batches(batch_size=None):
            for row in np.flatnonzero(done["status"] == _FAILED):
                raise getattr(errors, done["sha256"][row], ArcageError)(done["error"][row])
            yield done


@contextmanager
def _ray_errors(ray: Any) -> Iterator[None]:
    """Convert errors of Ray to DeviceError, except those that were raised by code in an actor."""
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise  # keeps the traceback of the actor
    except ray.exceptions.RayActorError as error:
        raise DeviceError(
            f"{_RETRIES + 1} actors of Ray died in the same batch of images; finished images are in the "
            "cache. The same command without `engine` ray finds an image that is the reason"
        ) from error
    except ray.exceptions.RayError as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise DeviceError(
            f"Ray stopped: {words}; finished images are in the cache, run the same command again"
        ) from error


def _dataset(batches: list[list[Source]]) -> Any:
    import pyarrow as pa
    import ray.data

    schema = pa.schema([(name, pa.binary()) for name in _COLUMNS])
    return ray.data.from_arrow([pa.table(as_columns(batch), schema=schema) for batch in batches])


@contextmanager
def _ray() -> Iterator[Any]:
    # Ray reads these variables when it is imported. No statistics leave the machine.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    local = not os.environ.get("RAY_ADDRESS")
    if local:
        # Despite its name it applies on Linux as well: Ray then binds everything to the loopback address.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DeviceError(f"`engine` ray needs Ray ({error}): pip install 'arcage[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    here = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        if not local:
            _check_reachable(os.environ["RAY_ADDRESS"])
        # Ray installs a handler for SIGTERM, and its C++ core prints that its log level was changed.
        with without_stderr(), keep_handlers():
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
            f"cannot {where}: {words}; run without `engine` ray, or in parts with `shard`"
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    # Errors are reported by the exceptions below, once.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at ``host:port``. Ray itself would retry for many minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


@dataclass(frozen=True, slots=True)
class _ActorPool:
    actors: int
    """Number of actors."""
    resources: dict[str, int]
    """Options of each actor: ``num_cpus`` and, on GPUs, ``num_gpus``."""


def _choose_device(ray: Any, extractor: Extractor, warn: Callable[[str], object]) -> str:
    """Return the device of all actors. If it is ``auto``, a worker with a GPU decides."""
    device = extractor.device.lower()
    if device != "auto":
        return device
    if not _machines(ray.nodes(), "GPU"):
        return "cpu"
    probe = ray.remote(num_cpus=1, num_gpus=1)(_engine_of)
    device, note = ray.get(probe.remote(extractor))
    if note:
        warn(note)
    return str(device)


def _engine_of(extractor: Extractor) -> tuple[str, str]:
    """Return the device and the note of the engine that this process would use."""
    return extractor.engine.device, extractor.engine.note


def _plan_actors(nodes: list[dict[str, Any]], device: str) -> _ActorPool:
    """Divide the machines of a cluster, as ``ray.nodes()`` lists them, into actors for a device.

    Raises:
        DeviceError: no machine has the resources of one actor.
    """
    if device == "cpu":
        machines = _machines(nodes, "CPU")
        cpus = min((int(min(m["CPU"], _CPUS)) for m in machines), default=1)
        pool = _ActorPool(sum(int(m["CPU"] // cpus) for m in machines), {"num_cpus": cpus})
    else:
        machines = _machines(nodes, "GPU")
        cpus = max(1, min((int(m["CPU"] // m["GPU"]) for m in machines), default=1))
        actors = sum(int(min(m["GPU"], m["CPU"] // cpus)) for m in machines)
        pool = _ActorPool(actors, {"num_cpus": cpus, "num_gpus": 1})
    if not pool.actors:
        missing = "CPU" if device == "cpu" else "GPU"
        raise DeviceError(
            f"the device {device!r} is not available: no machine of the Ray cluster has a {missing}, see "
            "`ray status`" + ("; the device auto would use its CPUs" if missing == "GPU" else "")
        )
    return pool


def _machines(nodes: list[dict[str, Any]], resource: str) -> list[dict[str, float]]:
    """Return the resources of the live machines that have a core and at least one unit of a resource."""
    found = [node["Resources"] for node in nodes if node["Alive"]]
    return [machine for machine in found if machine.get("CPU", 0) >= 1 and machine.get(resource, 0) >= 1]
