"""Images inside Parquet files: a column of encoded images, and a column of names where there is one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any
from weakref import WeakValueDictionary

from arcage.errors import ImageError, ImageMemoryError, RemoteError, UsageError
from arcage.files import reason
from arcage.sources.source import Source
from arcage.sources.url import is_url

_IMAGES = ("image", "bytes", "img", "image_bytes", "content", "data")
"""Which of several columns of bytes is taken: the first of these."""
_NAMES = ("path", "name", "key", "file_name", "filename")
_ROWS = 16
"""Images that are decoded from the file in one go, and are in memory together."""
_NAMES_AT_ONCE = 1024
_BUFFER = 1 << 20
"""Bytes of the file that are read in one go. Without it, a column of a whole row group would be."""

_NONE = 1 << 62
"""As if all batches had gone by: whichever is asked for, reading starts from the front."""


def images(path: str, name: str) -> Iterator[Source]:
    """The images of one file, row by row; their bytes are not read before they are asked for.

    Images are in the only column of bytes, or else in the first of :data:`_IMAGES`. A struct with a field
    ``bytes``, as the Hugging Face data sets have, is such a column as well. Names come from a column of
    :data:`_NAMES` or the struct's field ``path``; rows without one are called by their number in the file.
    A source's ``path`` is ``file.parquet#row``. A damaged file or row group is a source with an ``error``.

    Memory does not grow with the file, nor with a row group that has more than a page (1,024 images as
    pyarrow writes them): a few rows are decoded at a time, as long as images are asked for in nearly their
    order; one that is asked for again long after costs a new pass over its row group.

    Args:
        path: of the file, or its URL.
        name: of the file, relative to what was asked for.

    Raises:
        UsageError: no column of images can be told.
        RemoteError: the file is behind a URL and cannot be reached.
    """
    try:
        file = _open(path)
    except _troubles() as error:
        yield Source(path, name, _words(error))
        return
    with file:
        column, names = _columns(file.schema_arrow, path)
        before = 0
        for number in range(file.num_row_groups):
            facts = file.metadata.row_group(number)
            # With its size, because data sets call many files 0000.parquet.
            unit = f"{name}#{number}:{facts.total_byte_size}"
            group = _Group(path, number, column)
            try:
                for row, text in enumerate(_row_names(file, number, names, facts.num_rows)):
                    label = _relative(text) if text else ""
                    yield Source(
                        path=f"{path}#{label or before + row}",
                        name=label or f"{name}#{before + row}",
                        opener=_Row(group, row),
                        unit=unit,
                    )
            except _troubles() as error:
                yield Source(f"{path}#row group {number}", f"{name}#row group {number}", _words(error))
            before += facts.num_rows


class _Row:
    """Reads one image. In a pickle it is only its place."""

    def __init__(self, group: _Group, row: int) -> None:
        self._group = group
        self._row = row
        self._batch = group.batch(row // _ROWS)

    def __call__(self) -> bytes:
        values = self._group.values(self._batch)
        data: bytes | None = values[self._row % _ROWS].as_py() if self._row % _ROWS < len(values) else None
        if data is None:
            raise ImageError("no image bytes in this row")
        return data

    def __reduce__(self) -> tuple[Callable[..., _Row], tuple[str, int, str, int]]:
        path = self._group.path
        place = path if is_url(path) else os.path.abspath(path)
        return _row, (place, self._group.number, self._group.column, self._row)


def _row(path: str, number: int, column: str, row: int) -> _Row:
    return _Row(_group(path, number, column), row)


class _Batch:
    """Rows that are decoded together. They stay in memory as long as any of their images is waited for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.values: Any = None


class _Group:
    """A row group that is read from its front to its end, by any thread."""

    def __init__(self, path: str, number: int, column: str) -> None:
        self.path = path
        self.number = number
        self.column = column
        self._batches: WeakValueDictionary[int, _Batch] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._decoded: Iterator[Any] = iter(())
        self._next = _NONE
        """The number of the batch that comes next."""
        self._failure = ""

    def batch(self, number: int) -> _Batch:
        with self._lock:
            batch = self._batches.get(number)
            if batch is None:
                batch = self._batches[number] = _Batch(number)
            return batch

    def values(self, batch: _Batch) -> Any:
        """The rows of a batch, as an arrow array of bytes. Raises ImageError, RemoteError."""
        with self._lock:
            if batch.values is None:
                try:
                    self._read_up_to(batch)
                except MemoryError:
                    self._next = _NONE
                    raise ImageMemoryError("not enough memory for the row group of this image") from None
                except RemoteError:
                    # The server may give it later.
                    self._next = _NONE
                    raise
                except _troubles() as error:
                    self._failure = (
                        self._failure or f"row group {self.number} cannot be read: {_words(error)}"
                    )
                    raise ImageError(self._failure) from None
            return batch.values

    def _read_up_to(self, batch: _Batch) -> None:
        if self._failure:
            raise ValueError
        if self._next > batch.number:
            self._decoded, self._next = _decode(self.path, self.number, self.column), 0
        while batch.values is None:
            values = next(self._decoded)
            waiting = self._batches.get(self._next)
            if waiting is not None:
                waiting.values = values
            self._next += 1


_group = lru_cache(maxsize=8)(_Group)
"""For rows out of a pickle: those of a group must share it, or each would read it from its front."""


def _open(path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if is_url(path):
        from arcage.sources.remote import open_file

        return pq.ParquetFile(pa.PythonFile(open_file(path), mode="r"), buffer_size=_BUFFER, pre_buffer=False)
    return pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)


def _columns(schema: Any, path: str) -> tuple[str, str | None]:
    """The columns of images and of their names, as pyarrow calls them."""
    import pyarrow as pa

    kinds = {field.name: field.type for field in schema}
    structs = {
        name: {part.name: part.type for part in kind}
        for name, kind in kinds.items()
        if pa.types.is_struct(kind)
    }
    images = [name for name, kind in kinds.items() if _holds_bytes(structs.get(name, {}).get("bytes", kind))]
    chosen = images if len(images) == 1 else [name for name in _IMAGES if name in images]
    if not chosen:
        columns = ", ".join(f"{name} ({kind})" for name, kind in kinds.items()) or "none"
        advice = (
            f"several have bytes: call the right one {_IMAGES[0]!r}"
            if images
            else "images are encoded bytes (type binary); paths of image files go into a list (`from_file`)"
        )
        raise UsageError(f"cannot tell the column of images in {path}; its columns are {columns}: {advice}")
    parts = structs.get(chosen[0], {})
    image = f"{chosen[0]}.bytes" if parts else chosen[0]
    names = [name for name in _NAMES if name in kinds and _is_name(kinds[name])]
    if not names and "path" in parts and _is_name(parts["path"]):
        names = [f"{chosen[0]}.path"]
    return image, names[0] if names else None


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_name(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer)
    return any(is_kind(kind) for is_kind in texts)


def _decode(path: str, number: int, column: str) -> Iterator[Any]:
    """The images of a row group as arrow arrays of :data:`_ROWS`."""
    import pyarrow.compute as pc

    with _open(path) as file:
        for batch in file.iter_batches(_ROWS, [number], [column], use_threads=False):
            values = batch.column(0)
            yield pc.struct_field(values, "bytes") if values.type.num_fields else values
    raise ValueError("it has fewer rows than the file says")


def _row_names(file: Any, number: int, column: str | None, rows: int) -> Iterator[str | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column is None:
        yield from (None for _ in range(rows))
        return
    for batch in file.iter_batches(_NAMES_AT_ONCE, [number], [column], use_threads=False):
        values = batch.column(0)
        if values.type.num_fields:
            values = pc.struct_field(values, "path")
        # By way of bytes: nothing says that a column of text is UTF-8.
        for text in values.cast(pa.string()).cast(pa.binary()).to_pylist():
            yield None if text is None else text.decode("utf-8", "surrogateescape")


def _relative(name: str) -> str:
    """A name that can lead nowhere but down: it may become that of a file."""
    parts = PurePosixPath(name.replace("\0", "")).parts
    return "/".join(part for part in parts if part not in ("/", "//", ".."))


def _troubles() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    # A NotImplementedError is of a codec or a type that this pyarrow lacks.
    return ImageError, OSError, ValueError, NotImplementedError, KeyError, pa.ArrowException


def _words(error: Exception) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and error.strerror):
        return reason(error)
    lines = str(error).splitlines() or [type(error).__name__]
    return f"not a Parquet file, or a damaged one ({lines[0]})"
