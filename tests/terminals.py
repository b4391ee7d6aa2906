"""Pseudo-terminals. Not available on Windows."""

from __future__ import annotations

import contextlib
import os
import pty
import threading
import tty


class Terminal:
    """A pseudo-terminal that records what is written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        tty.setraw(self.theirs)
        self._data = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 1 << 16):
                self._data += data

    def text(self) -> str:
        """Close the terminal and return all output; no other process may have it open."""
        os.close(self.theirs)
        self._reader.join()
        os.close(self._ours)
        return self._data.decode()
