"""Write and read XMP in films; Pillow and PyAV do neither.

In a GIF XMP is an application extension, in an MP4 a box of its own (Adobe, "XMP Specification
Part 3: Storage in Files" (2020), sections 1.1.2 and 1.2.4; ISO 16684-1 is the packet itself).
"""

from __future__ import annotations

import os
from typing import BinaryIO

_GIF_HEAD = b"\x21\xff\x0bXMP DataXMP"
_GIF_TAIL = bytes((1, *range(255, -1, -1), 0))
"""Follows the packet. Readers without XMP take its bytes for lengths; these lead to its end."""

_GIF_END = b"\x3b"
_MP4_BOX = b"uuid" + bytes.fromhex("be7acfcb97a942e89c71999491e3afac")

MAX_XMP = 4_000_000
"""Longest packet that is read, in bytes."""


_MP4_BRANDS = frozenset((b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1"))


def is_film(file: BinaryIO) -> bool:
    """Whether an open file begins as a GIF or an MP4."""
    head = _head(file)
    return _is_gif(head) or _is_mp4(head)


def _is_gif(head: bytes) -> bool:
    return head.startswith((b"GIF87a", b"GIF89a"))


def _is_mp4(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _MP4_BRANDS


def add_xmp(file: BinaryIO, packet: bytes) -> None:
    """Put a packet into a GIF or an MP4 that has none.

    Args:
        file: open for reading and writing.
        packet: the XMP packet.

    Raises:
        ValueError: the file is neither. Or it is a GIF without a proper end, or a GIF and the
            packet has a NUL byte, which would end it there.
    """
    head = _head(file)
    if _is_gif(head):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != _GIF_END or b"\0" in packet:
            raise ValueError("this GIF takes no XMP")
        file.seek(-1, os.SEEK_END)
        file.write(_GIF_HEAD + packet + _GIF_TAIL + _GIF_END)
    elif _is_mp4(head):
        file.seek(0, os.SEEK_END)
        length = 4 + len(_MP4_BOX) + len(packet)
        file.write(length.to_bytes(4, "big") + _MP4_BOX + packet)
    else:
        raise ValueError("this is neither a GIF nor an MP4")


def read_xmp(file: BinaryIO) -> bytes | None:
    """Return the packet of an open GIF or MP4; None if it has none or is damaged."""
    head = _head(file)
    if _is_gif(head):
        return _of_gif(file)
    return _of_mp4(file) if _is_mp4(head) else None


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(12)


def _of_gif(file: BinaryIO) -> bytes | None:
    file.seek(0)
    data = file.read()
    start = data.rfind(_GIF_HEAD)
    if start < 0:
        return None
    start += len(_GIF_HEAD)
    end = data.find(_GIF_TAIL[:3], start, start + MAX_XMP)
    return data[start:end] if end >= 0 else None


def _of_mp4(file: BinaryIO) -> bytes | None:
    end = file.seek(0, os.SEEK_END)
    place = 0
    while place + 8 <= end:
        file.seek(place)
        head = file.read(24)
        length = int.from_bytes(head[:4], "big")
        if length == 1:  # a long box: its length follows its name
            length = int.from_bytes(head[8:16], "big")
        if head[4:] == _MP4_BOX and len(head) == 24 <= length <= MAX_XMP:
            return file.read(length - 24)
        if length < 8:  # 0 means the last box, others a damaged file
            return None
        place += length
    return None
