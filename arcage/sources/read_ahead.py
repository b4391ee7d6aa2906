"""Read images from URLs and Parquet files in the background, ahead of the caller."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from arcage.errors import ImageError, ImageHereError, RemoteError, UsageError
from arcage.sources.servers import forget_failures
from arcage.sources.source import Source
from arcage.sources.url import is_url, url_server
from arcage.text import shortened

_THREADS = 16
"""Maximum number of concurrent reads, which wait for the network and need little CPU time."""
_MAX_HELD = 256 << 20
"""No other read starts while the images in memory have more bytes."""
_MAX_KEPT = 128 << 20
"""Images are only kept for a second reading, such as for annotated pictures, while they have fewer bytes."""


class ReadAhead:
    """Yield the same sources, and read those that are not local files in the background.

    Many slow requests then run at once while the caller decodes images. Reading stays only as far ahead as
    the caller takes sources in advance, and as there is memory: the caller reads them nearly in order. If a
    server is down, its images get an error, the others are read, and :attr:`error` holds the server's error
    at the end.

    Use it as a context manager: leaving it stops waiting for servers.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = iter(sources)
        # Daemon threads, because Python would join the threads of an executor at exit, however long a server
        # takes.
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[_Image | None] = SimpleQueue()
        self._waiting: set[Future[bytes]] = set()
        self._memory = _Memory()
        self._errors: dict[str, RemoteError] = {}
        # In a new run, a server that was down may be up again.
        forget_failures()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Source:
        try:
            source = next(self._sources)
        except StopIteration:
            self._end_threads()
            raise
        if source.error or (source.opener is None and not is_url(source.path)):
            return source
        image = _Image(source, self._memory)
        self._waiting.add(image.future)
        image.future.add_done_callback(self._waiting.discard)
        self._jobs.put(image)
        if len(self._threads) < _THREADS:
            thread = threading.Thread(target=self._work, name="arcage-read", daemon=True)
            self._threads.append(thread)
            thread.start()
        return replace(source, opener=image)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop waiting for servers. Images that are not read yet raise CancelledError."""
        for future in list(self._waiting):
            future.cancel()
        self._memory.close()
        self._end_threads()

    @property
    def error(self) -> RemoteError | None:
        """One error for all servers whose images could not be read; None if there were none."""
        errors = list(self._errors.items())
        if len(errors) < 2:
            return errors[0][1] if errors else None
        others = shortened([server for server, _ in errors[1:]], 3)
        return RemoteError(f"{errors[0][1]}; the same holds for {others}")

    def _end_threads(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        self._threads = []

    def _work(self) -> None:
        while (image := self._next()) is not None:
            if not image.future.cancelled():
                self._read(image)
            del image

    def _next(self) -> _Image | None:
        # Before an image is taken from the queue: the first of those that are missing never waits for
        # memory that later ones hold.
        self._memory.wait()
        return self._jobs.get()

    def _read(self, image: _Image) -> None:
        future, source = image.future, image.source
        # The future may be cancelled at any time, which makes set_result and set_exception raise.
        with suppress(InvalidStateError):
            try:
                image.set(source.read())
            except RemoteError as error:
                self._errors.setdefault(url_server(source.path), error)
                future.set_exception(ImageHereError(error.reason))
            except InvalidStateError:
                pass
            except UsageError as error:
                future.set_exception(ImageHereError(str(error)))
            except BaseException as error:
                future.set_exception(error)


class _Memory:
    """Number of bytes of the images in memory."""

    def __init__(self) -> None:
        # Reentrant, because images may be deleted at any moment.
        self._changed = threading.Condition(threading.RLock())
        self._held = 0
        self._closed = False

    @property
    def is_scarce(self) -> bool:
        return self._held > _MAX_KEPT

    def add(self, size: int) -> None:
        with self._changed:
            self._held += size
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until there is room, or until :meth:`close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._held <= _MAX_HELD)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Image:
    """An image that is read in the background. Called by the reader of its source."""

    def __init__(self, source: Source, memory: _Memory) -> None:
        self.source = source
        self.future: Future[bytes] = Future()
        self._memory = memory
        self._size = 0
        self._is_dropped = False

    def set(self, data: bytes) -> None:
        self._size = len(data)
        self._memory.add(self._size)
        self.future.set_result(data)

    def __call__(self) -> bytes:
        future = self.future
        if self._is_dropped:
            try:
                return self.source.read()
            except (RemoteError, UsageError) as error:
                raise ImageHereError(getattr(error, "reason", str(error))) from error
        data = future.result()
        if self._memory.is_scarce:
            self._is_dropped = True
            self.future = Future()  # without the data
            self._release()
        return data

    def __reduce__(self) -> tuple[Any, ...]:
        # For worker processes. Waits for the data.
        try:
            return partial, (_give, self())
        except ImageError as error:
            return partial, (_give, error)

    def _release(self) -> None:
        size, self._size = self._size, 0
        self._memory.add(-size)

    def __del__(self) -> None:
        self._release()


def _give(result: bytes | ImageError) -> bytes:
    if isinstance(result, ImageError):
        raise result
    return result
