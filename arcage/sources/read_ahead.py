"""Read images from URLs and Parquet files in the background, ahead of the caller."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from arcage.errors import ImageHereError, RemoteError, UsageError
from arcage.sources.servers import forget_failures
from arcage.sources.source import Source
from arcage.sources.url import is_url, url_server
from arcage.text import shortened

_THREADS = 16
"""Maximum number of concurrent reads, which wait for the network and need little CPU time."""


class ReadAhead:
    """Yield the same sources, and read those that are not local files in the background.

    Many slow requests then run at once while the caller decodes images. Reading stays only as far ahead as
    the caller takes sources in advance. If a server is down, its images get an error, the others are read,
    and :attr:`error` holds the server's error at the end.

    Use it as a context manager: leaving it stops waiting for servers.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = iter(sources)
        # Daemon threads, because Python would join the threads of an executor at exit, however long a server
        # takes.
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[tuple[Future[bytes], Source] | None] = SimpleQueue()
        self._waiting: set[Future[bytes]] = set()
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
        future: Future[bytes] = Future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        self._jobs.put((future, source))
        if len(self._threads) < _THREADS:
            thread = threading.Thread(target=self._work, name="arcage-read", daemon=True)
            self._threads.append(thread)
            thread.start()
        return replace(source, opener=future.result)

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
        while (job := self._jobs.get()) is not None:
            future, source = job
            if not future.cancelled():
                self._read(future, source)
            del job, future, source

    def _read(self, future: Future[bytes], source: Source) -> None:
        # The future may be cancelled at any time, which makes set_result and set_exception raise.
        with suppress(InvalidStateError):
            try:
                future.set_result(source.read())
            except RemoteError as error:
                self._errors.setdefault(url_server(source.path), error)
                future.set_exception(ImageHereError(error.reason))
            except InvalidStateError:
                pass
            except UsageError as error:
                future.set_exception(ImageHereError(str(error)))
            except BaseException as error:
                future.set_exception(error)
