"""Replies to the page: JSON, and behind it the pictures as they are. No Gradio."""

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
"""What the page is told: JSON values, and `Picture`s among them."""

SMALL = 128 * 128
"""Pixels up to which pictures are PNG: they are as quick, and exact."""

QUALITY = 90


@dataclass(frozen=True)
class Picture:
    """A picture as the content of a file.

    Attributes:
        content: PNG or JPEG.
        type: its media type.
    """

    content: bytes
    type: str

    @cached_property
    def key(self) -> str:
        """The same for the same picture."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    @property
    def uri(self) -> str:
        """An address that carries it whole, for ``src``."""
        return data_uri(self.content, self.type)


def picture_of(image: UInt8Array) -> Picture:
    """Encode uint8 [H, W, 3], quickly rather than small."""
    if image.shape[0] * image.shape[1] <= SMALL:
        return Picture(png_bytes(image), "image/png")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=QUALITY, subsampling=0)
    return Picture(buffer.getvalue(), "image/jpeg")


def pack(reply: Reply) -> bytes:
    """Put a reply together: the length of its JSON (4 bytes, the lowest first), that, and pictures.

    In the JSON stands, in place of a picture, where it begins behind the JSON, how long it is, its
    type and its key. The same picture twice is sent once.
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
