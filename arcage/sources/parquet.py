"""Read images from Parquet files: a column of encoded images, and an optional column of names."""

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
from arcage.readers.parquet_pages import column_sizes
from arcage.sources.source import Source
from arcage.sources.url import is_url

_IMAGE_COLUMNS = ("image", "bytes", "img", "image_bytes", "content", "data")
"""If several columns contain bytes, the first of these contains the images."""
_NAME_COLUMNS = ("path", "name", "key", "file_name", "filename")
_BATCH_ROWS = 16
"""Number of images that are read from the file and kept in memory together."""
_NAMES_BATCH_ROWS = 1024
_BUFFER = 1 << 20
"""Size of a read from the file, bytes. Without it, pyarrow would read a column of a whole row group."""

_MAX_PAGE = 512 << 20
"""Maximum size of a page of images that is at most a tenth of it in the file, bytes. Encoded images do not
compress, and pyarrow writes 1,024 of them into a page."""
_MAX_NAMES_PAGE = 64 << 20
"""Maximum size of a page of names, bytes."""
_MAX_NAME = 65_536
"""Maximum length of a name, bytes."""
_BATCH_BYTES = 256 << 20
"""Images that could take more are decoded one at a time, bytes."""
_MAX_BATCH_BYTES = 640 << 20
"""Maximum size of the images of a batch if they are decoded one at a time, bytes."""
_MAX_EMPTY_ROWS = 1_000_000
"""Maximum number of rows of a row group that has fewer bytes than rows."""

_AFTER_LAST = 1 << 62
"""Number after that of any batch: the next read starts at the first batch."""


def images(path: str, name: str) -> Iterator[Source]:
    """Yield the images in a Parquet file, in the order of its rows. Their bytes are read by ``Source.read``.

    Images are in the only column of bytes, or in the first of ``image``, ``bytes``, ``img``, ``image_bytes``,
    ``content`` and ``data``. A struct with a field ``bytes``, as in Hugging Face data sets, is such a column
    too. Names are in the column ``path``, ``name``, ``key``, ``file_name`` or ``filename``, or in the field
    ``path`` of the struct. A row without a name is named by its number in the file.

    The ``path`` of a source is ``file.parquet#row``. A damaged file or row group is a source with an
    ``error``.

    Memory does not depend on the size of the file, nor on that of a row group with several pages (of 1,024
    images as written by pyarrow): a few rows are decoded at a time if the images are read nearly in order.
    Reading an earlier image again decodes its row group again from the start.

    Args:
        path: path or URL of the file.
        name: name of the file, relative to the folder given by the user.

    Raises:
        UsageError: the column of images is ambiguous.
        RemoteError: the server cannot be reached.
    """
    try:
        file = _open(path)
    except _file_errors() as error:
        yield Source(path, name, _error_text(error))
        return
    with file:
        column, names = _columns(file.schema_arrow, path)
        first = 0
        for number in range(file.num_row_groups):
            metadata = file.metadata.row_group(number)
            # With the size, because data sets have many files called 0000.parquet.
            unit = f"{name}#{number}:{metadata.total_byte_size}"
            group = _Group(path, number, column)
            try:
                if metadata.num_rows > max(metadata.total_byte_size, _MAX_EMPTY_ROWS):
                    raise ImageError(f"the row group claims {metadata.num_rows:,} rows, but is empty")
                for row, text in enumerate(_row_names(path, file, number, names)):
                    label = _relative(text) if text else ""
                    yield Source(
                        path=f"{path}#{label or first + row}",
                        name=label or f"{name}#{first + row}",
                        opener=_Row(group, row),
                        unit=unit,
                    )
            except _file_errors() as error:
                yield Source(f"{path}#row group {number}", f"{name}#row group {number}", _error_text(error))
            first += metadata.num_rows


class _Row:
    """Reads one image. Only its position is pickled."""

    def __init__(self, group: _Group, row: int) -> None:
        self._group = group
        self._row = row
        self._batch = group.batch(row // _BATCH_ROWS)

    def __call__(self) -> bytes:
        values = self._group.values(self._batch)
        at = self._row % _BATCH_ROWS
        data: bytes | None = values[at].as_py() if at < len(values) else None
        if data is None:
            raise ImageError("no image bytes in this row")
        return data

    def __reduce__(self) -> tuple[Callable[..., _Row], tuple[str, int, str, int]]:
        path = self._group.path
        path = path if is_url(path) else os.path.abspath(path)
        return _row, (path, self._group.number, self._group.column, self._row)


def _row(path: str, number: int, column: str, row: int) -> _Row:
    return _Row(_group(path, number, column), row)


class _Batch:
    """Rows that are decoded together. They stay in memory while a source of the batch exists."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.values: Any = None


class _Group:
    """A row group, which is decoded from its start to its end. Several threads may read it."""

    def __init__(self, path: str, number: int, column: str) -> None:
        self.path = path
        self.number = number
        self.column = column
        self._batches: WeakValueDictionary[int, _Batch] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._decoded: Iterator[Any] = iter(())
        self._next = _AFTER_LAST
        """Number of the batch that is decoded next."""
        self._failure = ""

    def batch(self, number: int) -> _Batch:
        with self._lock:
            batch = self._batches.get(number)
            if batch is None:
                batch = self._batches[number] = _Batch(number)
            return batch

    def values(self, batch: _Batch) -> Any:
        """Return the rows of a batch as an Arrow array of bytes. Raises ImageError or RemoteError."""
        with self._lock:
            if batch.values is None:
                try:
                    self._read_up_to(batch)
                except MemoryError:
                    self._next = _AFTER_LAST
                    raise ImageMemoryError("not enough memory for the row group of this image") from None
                except RemoteError:
                    # Another attempt may succeed.
                    self._next = _AFTER_LAST
                    raise
                except _file_errors() as error:
                    self._failure = (
                        self._failure or f"row group {self.number} cannot be read: {_error_text(error)}"
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
"""For unpickled rows: without sharing the row group, each row would decode it from its start."""


def _open(path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if is_url(path):
        from arcage.sources.remote import open_file

        return pq.ParquetFile(pa.PythonFile(open_file(path), mode="r"), buffer_size=_BUFFER, pre_buffer=False)
    return pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)


def _columns(schema: Any, path: str) -> tuple[str, str | None]:
    """Return the columns of images and of their names (None if there are no names)."""
    import pyarrow as pa

    kinds = {field.name: field.type for field in schema}
    structs = {
        name: {part.name: part.type for part in kind}
        for name, kind in kinds.items()
        if pa.types.is_struct(kind)
    }
    images = [name for name, kind in kinds.items() if _holds_bytes(structs.get(name, {}).get("bytes", kind))]
    chosen = images if len(images) == 1 else [name for name in _IMAGE_COLUMNS if name in images]
    if not chosen:
        columns = ", ".join(f"{name} ({kind})" for name, kind in kinds.items()) or "none"
        advice = (
            f"several have bytes: call the right one {_IMAGE_COLUMNS[0]!r}"
            if images
            else "images are encoded bytes (type binary); paths of image files go into a list (`from_file`)"
        )
        raise UsageError(f"cannot tell the column of images in {path}; its columns are {columns}: {advice}")
    parts = structs.get(chosen[0], {})
    image = f"{chosen[0]}.bytes" if parts else chosen[0]
    names = [name for name in _NAME_COLUMNS if name in kinds and _is_name(kinds[name])]
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
    """Yield the images of a row group as Arrow arrays of :data:`_BATCH_ROWS` rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with _open(path) as file:
        rows = _check_pages(path, file, number, column, _MAX_PAGE, _BATCH_ROWS)
        parts: list[Any] = []
        remaining = file.metadata.row_group(number).num_rows
        for batch in file.iter_batches(rows, [number], [column], use_threads=False):
            values = batch.column(0)
            parts.append(pc.struct_field(values, "bytes") if values.type.num_fields else values)
            remaining -= len(values)
            if rows == 1 and sum(part.nbytes for part in parts) > _MAX_BATCH_BYTES:
                raise ImageError(f"{len(parts)} images in a row take more than {_MAX_BATCH_BYTES:,} bytes")
            if sum(map(len, parts)) == _BATCH_ROWS or not remaining:
                yield parts[0] if len(parts) == 1 else pa.chunked_array(parts)
                parts = []
    raise ValueError("it has fewer rows than the file says")


def _check_pages(path: str, file: Any, number: int, column: str, most: int, rows: int) -> int:
    """Return how many rows are decoded together, at most ``rows``.

    Raises:
        ImageError: a page has more than ``most`` bytes.
        ValueError: a page is damaged.
    """
    row_group = file.metadata.row_group(number)
    for index in range(row_group.num_columns):
        chunk = row_group.column(index)
        if chunk.path_in_schema != column:
            continue
        with _open_bytes(path) as raw:
            sizes = column_sizes(raw, chunk)
        if sizes.expanded > most:
            raise ImageError(
                f"a page of the Parquet file has {sizes.expanded:,} bytes, the limit is {most:,}"
            )
        if sizes.repeated * rows > _BATCH_BYTES:
            return 1
    return rows


def _open_bytes(path: str) -> Any:
    if is_url(path):
        from arcage.sources.remote import open_file

        return open_file(path)
    return open(path, "rb")


def _row_names(path: str, file: Any, number: int, column: str | None) -> Iterator[str | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column is None:
        yield from (None for _ in range(file.metadata.row_group(number).num_rows))
        return
    rows = _check_pages(path, file, number, column, _MAX_NAMES_PAGE, _NAMES_BATCH_ROWS)
    for batch in file.iter_batches(rows, [number], [column], use_threads=False):
        values = batch.column(0)
        if values.type.num_fields:
            values = pc.struct_field(values, "path")
        # As bytes first: a column of strings may contain invalid UTF-8.
        for text in values.cast(pa.string()).cast(pa.binary()).to_pylist():
            if text is not None and len(text) > _MAX_NAME:
                raise ImageError(f"a name has {len(text):,} bytes, the limit is {_MAX_NAME:,}")
            yield None if text is None else text.decode("utf-8", "surrogateescape")


def _relative(name: str) -> str:
    """Return a name without ``/`` at its start and without ``..``, because it may become that of a file."""
    parts = PurePosixPath(name.replace("\0", "")).parts
    return "/".join(part for part in parts if part not in ("/", "//", ".."))


def _file_errors() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    # pyarrow raises NotImplementedError for a codec or type that it does not support.
    return ImageError, OSError, ValueError, NotImplementedError, KeyError, pa.ArrowException


def _error_text(error: Exception) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and error.strerror):
        return reason(error)
    lines = str(error).splitlines() or [type(error).__name__]
    return f"not a Parquet file, or a damaged one ({lines[0]})"
