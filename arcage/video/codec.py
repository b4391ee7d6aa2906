"""Read the name of a video's codec from its container, for error messages."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import IO

_NAMES = {
    b"av01": "AV1",
    b"hvc1": "HEVC (H.265)",
    b"hev1": "HEVC (H.265)",
    b"dvh1": "HEVC (H.265) with Dolby Vision",
    b"dvhe": "HEVC (H.265) with Dolby Vision",
    b"vvc1": "VVC (H.266)",
    b"vvi1": "VVC (H.266)",
    b"avc1": "H.264",
    b"avc3": "H.264",
    b"h264": "H.264",
    b"vp08": "VP8",
    b"vp09": "VP9",
    b"mp4v": "MPEG-4",
    b"apcn": "ProRes",
    b"apch": "ProRes",
    b"apcs": "ProRes",
    b"apco": "ProRes",
    b"ap4h": "ProRes",
    b"ap4x": "ProRes",
}
_MATROSKA = {
    b"V_AV1": "AV1",
    b"V_VP8": "VP8",
    b"V_VP9": "VP9",
    b"V_MPEG4/ISO/AVC": "H.264",
    b"V_MPEGH/ISO/HEVC": "HEVC (H.265)",
    b"V_MPEGI/ISO/VVC": "VVC (H.266)",
    b"V_PRORES": "ProRes",
    b"V_THEORA": "Theora",
}
_OGG = {
    b"\x80theora": "Theora",
    b"BBCD": "Dirac",
    b"\x01video": "OGM",
    b"\x80daala": "Daala",
    b"OVP80": "VP8",
}
_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_HEAD = 1 << 20
"""Number of bytes that are searched at the start of containers other than MP4."""
_BOXES = 10_000


def codec(file: IO[bytes]) -> str:
    """Return the codec of the first video track, such as ``AV1``; empty if the file names none."""
    file.seek(0)
    head = file.read(_HEAD)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        # The element CodecID (0x86), its length, and a value that begins with the type of the track.
        found = re.search(rb"\x86[\x80-\xbf](V_[A-Z0-9_/]{2,60})", head)
        return _MATROSKA.get(found[1], found[1].decode("ascii")) if found else ""
    if head.startswith(b"OggS"):
        return next((name for start, name in _OGG.items() if _in_ogg(head, start)), "")
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        found = re.search(rb"strh.{4}vids(.{4})", head, re.DOTALL)
        return _four(found[1]) if found else ""
    # AV1 in a transport stream (its registration descriptor) and in FLV (an extended header).
    if (head.startswith(b"G") and b"\x05\x04AV01" in head) or (
        head.startswith(b"FLV") and b"\x90av01" in head
    ):
        return "AV1"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        try:
            return next((_four(kind) for kind in _sample_kinds(file)), "")
        except (struct.error, OSError):
            return ""
    return ""


def _four(code: bytes) -> str:
    known = _NAMES.get(code.lower())
    text = code.decode("latin-1").strip("\0 ")
    return known or (text if text.isprintable() else "")


def _in_ogg(head: bytes, start: bytes) -> bool:
    """Return whether a packet on the first pages of the streams begins with ``start``."""
    at = 0
    while head.startswith(b"OggS", at) and at + 27 < len(head) and head[at + 5] & 2:
        segments = head[at + 26]
        body = at + 27 + segments
        if head.startswith(start, body):
            return True
        at = body + sum(head[at + 27 : body])
    return False


def _sample_kinds(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the sample types of the video tracks of an MP4 or MOV file, from its ``stsd`` boxes."""
    handler = b""
    end = file.seek(0, os.SEEK_END)
    at = 0
    for _ in range(_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8 or at >= end:
            return
        size, name = struct.unpack_from(">I4s", head)
        inside = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", head, 8)
            inside = 16
        elif size == 0:
            size = end - at
        if size < inside:
            return
        if name in _CONTAINERS:
            at += inside
            continue
        if name in (b"hdlr", b"stsd"):
            file.seek(at + inside)
            body = file.read(16)
            if name == b"hdlr":
                # The handler of the media precedes the samples; QuickTime also has one for the data.
                handler = handler if body[4:8] == b"dhlr" else body[8:12]
            elif handler == b"vide" and len(body) == 16:
                yield body[12:]
        at += size
