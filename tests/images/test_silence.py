"""Messages of decoders are suppressed, others are not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from encoded import encode, jpeg, picture, png, png_chunk

from arcage.errors import ImageError
from arcage.images.decoder import decode
from arcage.images.silence import opencv_messages, silence_decoders


def test_c_libraries_print_nothing_while_a_thread_decodes(capfd: pytest.CaptureFixture[str]) -> None:
    data = jpeg(picture(64, 80))
    damaged = data.replace(b"JFIF\0\1", b"JFIF\0\x09")  # "Warning: unknown JFIF revision number 9.01"
    profile = png_chunk(b"iCCP", b"odd\0\0" + zlib.compress(b"no profile"))  # "libpng warning: iCCP: ..."
    odd = png(2, 1, 8, 2, [bytes((10, 20, 30, 40, 50, 60))], profile)

    def work() -> None:
        for _ in range(25):
            assert decode(damaged).shape == (64, 80, 3)
            assert decode(odd).tolist() == [[[10, 20, 30], [40, 50, 60]]]

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err == ""
    # After decoding, they print again.
    if sys.platform == "linux":
        cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR)
        assert "unknown JFIF" in capfd.readouterr().err


def test_other_output_is_not_suppressed(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_decoders:
        print("a row", file=sys.stderr)
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'a child\\n')"], check=True)
        with silence_decoders:
            os.write(2, b"nested\n")
        with pytest.raises(ZeroDivisionError), silence_decoders:
            raise ZeroDivisionError
    sys.stderr.flush()
    assert sorted(capfd.readouterr().err.splitlines()) == ["a child", "a row", "nested"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
def test_a_process_forked_while_an_image_is_decoded_can_print() -> None:
    script = """
import os, sys
import ctypes
from arcage.images.silence import opencv_messages, silence_decoders
libc = ctypes.CDLL(None)
with silence_decoders:
    child = os.fork()
    libc.fputs(b"from C\\n", ctypes.c_void_p.in_dll(libc, "stderr"))
    if not child:
        with silence_decoders:
            pass
        os._exit(0)
    os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert done.stderr == (b"from C\n" if sys.platform == "linux" else b"from C\nfrom C\n")


def test_damaged_files_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    logging: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    level = logging.getLogLevel()
    for suffix in (".bmp", ".tiff", ".jpg", ".webp", ".png"):
        data = encode(picture(), suffix)
        with pytest.raises(ImageError):
            decode(data[: len(data) // 2])
    assert capfd.readouterr().err == ""
    assert logging.getLogLevel() == level


def test_threads_restore_the_log_level() -> None:
    logging: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    level = logging.getLogLevel()
    assert level > 0
    data = jpeg(picture(8, 8))
    threads = [threading.Thread(target=lambda: [decode(data) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logging.getLogLevel() == level


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_what_c_libraries_print_is_heard() -> None:
    data = jpeg(picture(64, 80))

    def heard(image: bytes) -> bytes:
        with silence_decoders.listen() as messages:
            cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        return b"".join(messages)

    assert heard(data) == b""
    half = data[: len(data) // 2] + b"\xff\xd9"
    assert heard(half) == b"Corrupt JPEG data: premature end of data segment\n"
    # What was printed before is not heard.
    with silence_decoders:
        cv2.imdecode(np.frombuffer(half, np.uint8), cv2.IMREAD_COLOR)
    assert heard(data) == b""
    with silence_decoders.listen() as outer:
        assert heard(half)
    assert b"premature end" in b"".join(outer)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no files in memory")
def test_messages_of_opencv_are_heard_where_no_file_can_be_written(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with opencv_messages() as messages:
        os.write(2, b"LZWDecode: Not enough data")
    assert messages == [b"LZWDecode: Not enough data"]
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
