"""Read images from Parquet files: a column of encoded images, and an optional column of names."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any
from weakref import WeakValueDictionary

from arcage.errors import ImageError, ImageMemoryError, RemoteError, UsageError
from arcage.files import reason
from arcage.readers.parquet_footer import ColumnChunk, RowGroup, read_row_groups
from arcage.readers.parquet_pages import page_sizes
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

_MAX_PAGE = 16 << 20
"""Maximum size of a page of images that is at most a tenth of it in the file, bytes. Encoded images do not
compress. Pages of 16 row groups can be in memory at once."""
_MAX_NAMES_PAGE = 64 << 20
"""Maximum size of a page of names, bytes."""
_MAX_NAME = 65_536
"""Maximum length of a name, bytes."""
_BATCH_BYTES = 32 << 20
"""Images that could take more together are decoded one at a time, and not kept, bytes. Images of several
batches are in memory."""
_MAX_IMAGE = 4 << 20
"""Maximum size of an image that is larger than its row group in the file, bytes. Many are in memory."""
_MAX_EMPTY_ROWS = 100_000
"""Maximum number of rows of a file that has fewer bytes than rows."""

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
        with _open_bytes(path) as raw:
            row_groups = read_row_groups(raw)
            rows_left = max(raw.seek(0, os.SEEK_END), _MAX_EMPTY_ROWS)
        file = _open(path)
    except _file_errors() as error:
        yield Source(path, name, _error_text(error))
        return
    with file:
        column, names = _columns(file.schema_arrow, path)
        first = 0
        for number, row_group in enumerate(row_groups):
            # With the size, because data sets have many files called 0000.parquet.
            unit = f"{name}#{number}:{row_group.size}"
            try:
                rows_left -= row_group.rows
                if rows_left < 0:
                    raise ImageError(f"the row group claims {row_group.rows:,} rows, but is empty")
                group = _Group(_place(path, file, number, row_group, column))
                labels = _place(path, file, number, row_group, names) if names else None
                for row, text in enumerate(_row_names(file, row_group, labels)):
                    label = _relative(text) if text else ""
                    yield Source(
                        path=f"{path}#{label or first + row}",
                        name=label or f"{name}#{first + row}",
                        opener=_Row(group, row),
                        unit=unit,
                    )
            except _file_errors() as error:
                yield Source(f"{path}#row group {number}", f"{name}#row group {number}", _error_text(error))
            first += row_group.rows


@dataclass(frozen=True, slots=True)
class _Place:
    """A column of a row group."""

    path: str
    number: int
    column: str
    rows: int
    chunks: tuple[ColumnChunk, ...]

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return sum(chunk.size for chunk in self.chunks)


def _place(path: str, file: Any, number: int, row_group: RowGroup, column: str) -> _Place:
    leaves = [file.schema.column(leaf).path for leaf in range(len(file.schema))]
    # pyarrow reads every column of that name, and all of its fields.
    chunks = tuple(
        chunk
        for leaf, chunk in zip(leaves, row_group.columns, strict=True)
        if leaf == column or leaf.startswith(f"{column}.")
    )
    return _Place(path, number, column, row_group.rows, chunks)


class _Row:
    """Reads one image. Only its position is pickled."""

    def __init__(self, group: _Group, row: int) -> None:
        self._group = group
        self._row = row
        self._batch = group.batch(row // _BATCH_ROWS)

    def __call__(self) -> bytes:
        data: bytes | None = self._group.value(self._batch, self._row).as_py()
        if data is None:
            raise ImageError("no image bytes in this row")
        return data

    def __reduce__(self) -> tuple[Callable[..., _Row], tuple[_Place, int]]:
        place = self._group.place
        path = place.path if is_url(place.path) else os.path.abspath(place.path)
        return _row, (replace(place, path=path), self._row)


def _row(place: _Place, row: int) -> _Row:
    return _Row(_group(place), row)


class _Batch:
    """Rows that are decoded together. They stay in memory while a source of the batch exists."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}
        """By row: Arrow scalars of bytes."""


class _Group:
    """A row group, which is decoded from its start to its end. Several threads may read it."""

    def __init__(self, place: _Place) -> None:
        self.place = place
        self._batches: WeakValueDictionary[int, _Batch] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._decoded: Iterator[Any] = iter(())
        self._next = _AFTER_LAST
        """The row that is decoded next."""
        self._singly = False
        """Whether a value is kept only until it is read."""
        self._failure = ""

    def batch(self, number: int) -> _Batch:
        with self._lock:
            batch = self._batches.get(number)
            if batch is None:
                batch = self._batches[number] = _Batch()
            return batch

    def value(self, batch: _Batch, row: int) -> Any:
        """Return a row as an Arrow scalar of bytes. Raises ImageError or RemoteError."""
        with self._lock:
            if row not in batch.values:
                self._try_to_read(row, batch)
            if row not in batch.values:
                # Outside of the handler: the error would keep the pages in memory.
                raise ImageError(self._failure)
            return batch.values.pop(row) if self._singly else batch.values[row]

    def _try_to_read(self, row: int, batch: _Batch) -> None:
        try:
            self._read_up_to(row, batch)
        except MemoryError:
            self._next = _AFTER_LAST
            raise ImageMemoryError("not enough memory for the row group of this image") from None
        except RemoteError:
            # Another attempt may succeed.
            self._next = _AFTER_LAST
            raise
        except _file_errors() as error:
            text = f"row group {self.place.number} cannot be read: {_error_text(error)}"
            self._failure = self._failure or text

    def _read_up_to(self, row: int, batch: _Batch) -> None:
        if self._failure:
            raise ValueError
        if self._next > row:
            self._decoded, self._next = _decode(self.place), 0
        while row not in batch.values:
            values, self._singly = next(self._decoded)
            for value in values:
                waiting = self._batches.get(self._next // _BATCH_ROWS)
                if waiting is not None:
                    waiting.values[self._next] = value
                self._next += 1
        if self._next >= self.place.rows:
            # Its pages may be large.
            self._decoded = iter(())


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


def _decode(place: _Place) -> Iterator[tuple[Any, bool]]:
    """Yield the images of a row group as Arrow arrays, and whether each is a single image because several
    could be too large together."""
    import pyarrow.compute as pc

    with _open(place.path) as file:
        rows = _check_pages(place, _MAX_PAGE, _BATCH_ROWS)
        most = max(_MAX_IMAGE, place.nbytes)
        for batch in file.iter_batches(rows, [place.number], [place.column], use_threads=False):
            values = batch.column(0)
            if rows == 1 and values.nbytes > most:
                raise ImageError(f"an image of {values.nbytes:,} bytes is larger than its row group")
            yield pc.struct_field(values, "bytes") if values.type.num_fields else values, rows == 1
    raise ValueError("it has fewer rows than the file says")


def _check_pages(place: _Place, most: int, rows: int) -> int:
    """Return how many rows are decoded together, at most ``rows``.

    Raises:
        ImageError: a page has more than ``most`` bytes.
        ValueError: a page is damaged.
    """
    for chunk in place.chunks:
        with _open_bytes(place.path) as raw:
            sizes = page_sizes(raw, chunk.start, chunk.size)
        if sizes.expanded > most:
            raise ImageError(
                f"a page of the Parquet file has {sizes.expanded:,} bytes, the limit is {most:,}"
            )
        if max(sizes.repeated, sizes.expanded) * rows > _BATCH_BYTES:
            rows = 1
    return rows


def _open_bytes(path: str) -> Any:
    if is_url(path):
        from arcage.sources.remote import open_file

        return open_file(path)
    return open(path, "rb")


def _row_names(file: Any, row_group: RowGroup, place: _Place | None) -> Iterator[str | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if place is None:
        yield from (None for _ in range(row_group.rows))
        return
    rows = _check_pages(place, _MAX_NAMES_PAGE, _NAMES_BATCH_ROWS)
    for batch in file.iter_batches(rows, [place.number], [place.column], use_threads=False):
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
