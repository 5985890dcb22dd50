"""Replies to the page: JSON, followed by the pictures as binary files. No Gradio."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from latentedit.io.html import data_uri
from latentedit.io.images import UInt8Array, png_bytes

Reply = dict[str, Any]
"""A reply to the page: JSON values, with `Picture`s among them."""

SMALL = 128 * 128
"""Pictures with at most so many pixels are PNG: exact, and as fast as JPEG at this size."""

QUALITY = 90


@dataclass(frozen=True)
class Picture:
    """A picture as the content of a file.

    Attributes:
        content: the file, PNG or JPEG.
        type: its media type.
    """

    content: bytes
    type: str

    @cached_property
    def key(self) -> str:
        """A short hash of the content; equal pictures have the same key."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    @property
    def uri(self) -> str:
        """A data URI that holds the whole picture, for ``src``."""
        return data_uri(self.content, self.type)


def picture_of(image: UInt8Array, icc: bytes | None = None) -> Picture:
    """Encode an image, uint8 [H, W, 3]; speed matters more than file size.

    Args:
        image: to show.
        icc: the colour profile that its numbers are meant in; sRGB by default.
    """
    if image.shape[0] * image.shape[1] <= SMALL and icc is None:
        return Picture(png_bytes(image), "image/png")
    buffer, options = io.BytesIO(), {"quality": QUALITY, "subsampling": 0, "icc_profile": icc}
    Image.fromarray(image).save(buffer, format="JPEG", **options)
    return Picture(buffer.getvalue(), "image/jpeg")


def pack(reply: Reply) -> bytes:
    """Return a reply as bytes: the length of its JSON (4 bytes, little-endian), the JSON, pictures.

    In the JSON, each picture is replaced by an object: ``at``, where it begins, counted from the
    end of the JSON; ``length`` in bytes; ``type``; and ``key``. Equal pictures are sent once.
    """
    pictures: dict[Picture, int] = {}
    length = 0

    def place(value: object) -> dict[str, object]:
        nonlocal length
        if not isinstance(value, Picture):
            raise TypeError(f"a reply cannot hold {type(value).__name__}")
        if value not in pictures:
            pictures[value] = length
            length += len(value.content)
        at = pictures[value]
        return {"at": at, "length": len(value.content), "type": value.type, "key": value.key}

    text = json.dumps(reply, default=place, allow_nan=False).encode()
    contents = (picture.content for picture in pictures)
    return b"".join((len(text).to_bytes(4, "little"), text, *contents))
