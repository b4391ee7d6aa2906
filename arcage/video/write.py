"""Write the frames of a video: a table of their faces, and a video with boxes and labels."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from arcage.errors import ImageError, OutputError
from arcage.files import atomic_path, atomic_write, check_csv, make_folder, reason
from arcage.images.silence import silence_decoders
from arcage.output.annotate import COMMENT, draw
from arcage.output.rows import COLUMNS, MORE_COLUMNS, text_cells
from arcage.process.interrupt import interruptible, uninterrupted
from arcage.text import csv_writer, to_spreadsheet
from arcage.types import Prediction
from arcage.video.read import Frame, open_video

WriteFrame = Callable[[Frame, Sequence[Prediction]], None]
"""Takes a frame and its faces; ``face`` is the number of the person."""

_OLD_FACE_COLUMNS = COLUMNS[COLUMNS.index("x1") : COLUMNS.index("status")]
_FACE_COLUMNS = (*_OLD_FACE_COLUMNS, "familiarity")
_OLD_FRAME_COLUMNS = ("path", "frame", "seconds", "person", *_OLD_FACE_COLUMNS)
FRAME_COLUMNS = (*_OLD_FRAME_COLUMNS, "familiarity")

_LONGEST = 10.0
"""Maximum time that a frame is shown, seconds: the timestamps of a damaged video may span years."""

_MARK = struct.pack(">I4s", 8 + len(COMMENT), b"free") + COMMENT
"""A box at the end of an MP4, which players ignore. It marks videos that arcage wrote."""


def check_frames_file(path: Path) -> None:
    """Check whether :func:`write_frames` may write ``path``.

    Raises:
        UsageError: the name does not end in ``.csv``, or arcage did not write the existing file.
    """
    check_csv(path, _OLD_FRAME_COLUMNS, "the rows of frames", MORE_COLUMNS)


@contextmanager
def write_frames(path: Path, more: Sequence[str] = ()) -> Iterator[WriteFrame]:
    """Write a CSV file with a row for each face in each frame, in :data:`FRAME_COLUMNS`.

    The file replaces ``path`` when the block ends, also after Ctrl-C.

    Args:
        path: file.
        more: names of additional columns.

    Raises:
        OutputError: the file cannot be written.
    """
    interrupt: KeyboardInterrupt | None = None
    with uninterrupted(), atomic_write(path, "w") as file:
        if isinstance(file, io.TextIOWrapper):
            file.reconfigure(errors="backslashreplace")
        file.write(_lines([(*FRAME_COLUMNS, *more)]))
        cells = text_cells(_FACE_COLUMNS, more)
        try:
            with interruptible():
                yield lambda frame, rows: _write(file.write, cells, frame, rows)
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def _write(
    write: Callable[[str], object],
    cells: Callable[[Prediction], list[str]],
    frame: Frame,
    rows: Sequence[Prediction],
) -> None:
    write(
        _lines(
            [(to_spreadsheet(r.path), frame.number, f"{frame.seconds:.3f}", r.face, *cells(r)) for r in rows]
        )
    )


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    # One write for the rows of a frame.
    text = io.StringIO()
    csv_writer(text.write).writerows(rows)
    return text.getvalue()


@contextmanager
def draw_video(target: Path, rate: float) -> Iterator[WriteFrame]:
    """Write an MP4 (MPEG-4 part 2, no sound) of frames with a box and a label around every face.

    The file replaces ``target`` when the block ends without an exception. A frame is shown until the time of
    the next one, but for at most :data:`_LONGEST` seconds. Without frames no file is written. All frames
    have the size of the first one.

    Args:
        rate: frames per second.

    Raises:
        OutputError: the video cannot be written.
    """
    make_folder(target.parent)
    # The temporary path is absolute: FFmpeg may take the start of a relative one for a protocol.
    with atomic_path(target, ".mp4") as temporary:
        video = _VideoFile(temporary, rate)
        try:
            yield video.add
            if video.count:
                video.finish(target)
        finally:
            video.release()


class _VideoFile:
    """A video under a temporary name."""

    def __init__(self, temporary: Path, rate: float) -> None:
        self.temporary = temporary
        self.count = 0
        self._rate = rate
        self._skipped = 0
        """Number of frames by which this video is shorter than the original."""
        self._writer: Any = None
        self._last: Any = None

    def add(self, frame: Frame, rows: Sequence[Prediction]) -> None:
        picture = cv2.cvtColor(draw(frame.image, rows, video=True), cv2.COLOR_RGB2BGR)
        if self._writer is None:
            self._writer = self._open(picture.shape[1], picture.shape[0])
            self._last = picture
        if picture.shape != self._last.shape:
            picture = cv2.resize(picture, self._last.shape[1::-1], interpolation=cv2.INTER_AREA)
        missing = round(frame.seconds * self._rate) - self._skipped - self.count
        repeated = max(0, min(missing, round(_LONGEST * self._rate)))
        self._skipped += max(0, missing - repeated)
        for _ in range(repeated):
            self._writer.write(self._last)
            self.count += 1
        self._writer.write(picture)
        self.count += 1
        self._last = picture

    def finish(self, target: Path) -> None:
        self.release()
        # OpenCV does not report write errors. The index is at the end, so a truncated file has none.
        try:
            with open_video(str(self.temporary), self._rate) as written:
                whole = written.count == self.count
        except ImageError:
            whole = False
        if not whole:
            raise OutputError(f"cannot write {target}: is the disk full?")
        try:
            with self.temporary.open("ab") as file:
                file.write(_MARK)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {reason(error)}; choose another folder") from error

    def release(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def _open(self, width: int, height: int) -> Any:
        with silence_decoders:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(self.temporary), cv2.CAP_FFMPEG, code, self._rate, (width, height))
        if not writer.isOpened():
            raise OutputError(f"cannot write a video into {self.temporary.parent}: choose another folder")
        return writer
