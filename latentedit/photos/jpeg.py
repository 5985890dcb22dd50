"""Write an edited JPEG so that what was not edited stays as it was.

Colours change when they are decoded and encoded again: the decoder interpolates halved colour
planes, the encoder averages them, and both round. Here the encoder gets the luminance and the
halved planes themselves. With the file's own tables it then finds nearly all coefficients again: 98
of 100 pixels come back bit for bit, against three of four otherwise. The rest lie where the decoder
limited values to 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, JpegImagePlugin

from latentedit.io.images import UInt8Array, opened

_ANY = 2**62  # pixels: no limit, as the photo was opened before
_HALVED = 2  # Pillow's number for 4:2:0

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How a picture is turned upright, by EXIF orientation."""


@dataclass(frozen=True)
class JpegSettings:
    """How a JPEG was compressed.

    Attributes:
        tables: quantisation tables of 64 numbers each, luminance first, of the upright picture.
        subsampling: Pillow's number for the subsampling of colours; -1 if there is none.
        progressive: whether it is a progressive JPEG.
        orientation: EXIF's, 1 to 8, of the picture in the file.
        data: the file's bytes.
    """

    tables: tuple[tuple[int, ...], ...]
    subsampling: int
    progressive: bool
    orientation: int
    data: bytes

    def options(self, *, coloured: bool) -> dict[str, object]:
        """Return the settings as options of Pillow's encoder."""
        options: dict[str, object] = {
            "qtables": [list(table) for table in self.tables],
            "progressive": self.progressive,
        }
        if coloured and self.subsampling >= 0:
            options["subsampling"] = self.subsampling
        return options


def jpeg_settings(image: Image.Image, data: bytes) -> JpegSettings | None:
    """Return how an opened picture, not yet turned upright, was compressed. None if it is not a
    JPEG in grey or RGB."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("RGB", "L"):
        return None
    tables = [np.array(table) for _, table in sorted(image.quantization.items())]
    if not 1 <= len(tables) <= 4 or any(table.shape != (64,) for table in tables):
        return None
    orientation = image.getexif().get(0x0112, 1)
    orientation = orientation if orientation in _TURNS else 1
    if orientation >= 5:  # rows become columns, in the tables too
        tables = [table.reshape(8, 8).T.ravel() for table in tables]
    return JpegSettings(
        tuple(tuple(table.tolist()) for table in tables),
        JpegImagePlugin.get_sampling(image) if image.mode == "RGB" else -1,
        bool(image.info.get("progressive")),
        orientation,
        data,
    )


def with_edit(
    settings: JpegSettings, pixels: UInt8Array, original: UInt8Array
) -> Image.Image | None:
    """Return the photo's own luminance and colour planes with an edit in them, for the encoder.

    Args:
        pixels: the edited photo, uint8 [H, W, 3].
        original: the photo as it was decoded.

    Returns:
        A picture in mode YCbCr, or None if the file's planes cannot be read.
    """
    try:
        planes = _planes(settings)
    except Exception:  # colours that are not YCbCr, or a damaged file
        return None
    if planes is None or planes.shape != pixels.shape:
        return None
    red, green, blue = np.moveaxis(pixels != original, 2, 0)
    changed = red | green | blue  # any(2) takes three times as long
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if len(rows):
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        edited = np.array(Image.fromarray(pixels[part]).convert("YCbCr"))
        planes[part][changed[part]] = edited[changed[part]]
    bands = [Image.fromarray(np.ascontiguousarray(planes[..., band])) for band in range(3)]
    return Image.merge("YCbCr", bands)


def _planes(settings: JpegSettings) -> UInt8Array | None:
    """Return luminance and colours of the upright picture, uint8 [H, W, 3].

    Halved colours are read from a picture of half the size, because the decoder does not
    interpolate them there. Each value is then repeated; the encoder's averaging undoes this.
    """
    with opened(settings.data, max_pixels=_ANY) as image:
        width, height = image.size
        image.draft("YCbCr", image.size)
        if image.mode != "YCbCr":
            return None
        turned = settings.orientation != 1
        planes = np.array(_upright(image, settings.orientation))
    even = width % 2 == 0 and height % 2 == 0
    if settings.subsampling != _HALVED or (turned and not even):
        return planes
    with opened(settings.data, max_pixels=_ANY) as image:
        image.draft("YCbCr", (width // 2, height // 2))
        if image.mode != "YCbCr" or image.size != (-(-width // 2), -(-height // 2)):
            return planes
        halved = np.array(_upright(image, settings.orientation))[..., 1:]
    high, wide = planes.shape[:2]
    for row in (0, 1):
        for column in (0, 1):
            target = planes[row::2, column::2, 1:]
            target[...] = halved[: (high + 1 - row) // 2, : (wide + 1 - column) // 2]
    return planes


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
