"""Read photos as the viewer sees them, and write them with everything else their files held."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from latentedit.errors import LatentEditError
from latentedit.io.film_marks import is_film, read_xmp
from latentedit.io.images import (
    JPEG_QUALITY,
    LARGE_PNG,
    RECIPE_KEY,
    UInt8Array,
    format_of,
    image_bytes,
    opened,
    over_white,
    to_rgb,
    upright,
    write_image,
)
from latentedit.photos.jpeg import JpegSettings, jpeg_settings, with_edit
from latentedit.photos.marks import COMPOSITE, Marks, read_xmp_marks, write_marks
from latentedit.photos.notes import Note

MAX_PHOTO_PIXELS = 120_000_000
"""Largest photo that is opened, in pixels; saving a JPEG takes 30 bytes of memory per pixel."""

_MARKED = frozenset(("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"))
_WITH_ALPHA = frozenset(("PNG", "WEBP", "TIFF", "AVIF", "HEIF"))
_LOSSLESS_TIFF = frozenset(("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"))
_TIFF_XMP = 700
_MOST_DPI = 65_535
_MOST_EXIF = 65_533  # in one segment of a JPEG
_MOST_XMP = _MOST_EXIF - 29

_TIFF_WORDS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853)
"""Tags of a TIFF that describe the photo, not how its pixels lie in the file: description, make,
model, resolution, software, date, artist, copyright, EXIF and GPS."""


@dataclass(frozen=True)
class Kept:
    """What a photo's file held beside its pixels. The edited file gets it too.

    Attributes:
        format: Pillow's name of the format, or "".
        grey: whether the photo was black and white in its file.
        icc: the colour profile of the photo's pixels.
        exif: EXIF without the orientation, which was applied, and without the thumbnail.
        xmp: XMP, unchanged.
        jpeg: how a JPEG was compressed.
        segments: a JPEG's segments, with their markers, for IPTC's older metadata and for XMP that
            did not fit into one segment.
        compression: a TIFF's compression.
        dpi: horizontal and vertical resolution.
        comment: a JPEG's comment.
    """

    format: str = ""
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    jpeg: JpegSettings | None = None
    segments: bytes = b""
    compression: str | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photo.

    Attributes:
        pixels: uint8 [H, W, 3], RGB, upright. They are the numbers in the file; `Kept.icc` gives
            their meaning. CMYK and Lab are converted to sRGB, and 16 bits to 8.
        alpha: uint8 [H, W], or None if everything is opaque. Pixels with alpha 0 are white.
        path: the file that it was read from, or None.
        kept: what else the file held.
        notes: what the user should know, of the kinds animated, pages, depth and colours.
    """

    pixels: UInt8Array
    alpha: UInt8Array | None = None
    path: Path | None = None
    kept: Kept = field(default_factory=Kept)
    notes: tuple[Note, ...] = ()


def open_photograph(path: str | Path | bytes, *, max_pixels: int = MAX_PHOTO_PIXELS) -> Photograph:
    """Read a photo in any format that Pillow reads, or in HEIC with the extra ``photos``.

    Args:
        path: a file, or the bytes of one.
        max_pixels: larger photos are refused before they are decoded.

    Raises:
        LatentEditError: the file is missing, not an image, truncated or too large, or is HEIC and
            the extra is missing.
    """
    path = path if isinstance(path, bytes) else Path(path)
    with opened(path, max_pixels=max_pixels) as image:
        notes = _said_of(image)
        data = b""
        if image.format in ("JPEG", "MPO"):
            data = path if isinstance(path, bytes) else path.read_bytes()
        raw = jpeg_settings(image, data), _segments(image), image.format or ""
        deep = _is_deep(image)
        image = upright(image)
        pixels, alpha = to_rgb(image)
        if alpha is not None and alpha.min() == 255:
            alpha = None
        if alpha is not None:
            pixels[alpha == 0] = 255
        if deep:
            notes.append(Note("depth", "it has more than 8 bits a channel; the result has 8"))
        exif, whole = _exif(image, raw[-1])
        if not whole:
            notes.append(Note("metadata", "some of its EXIF is damaged and was left out"))
        kept = _kept(image, exif, *raw)
    from_file = None if isinstance(path, bytes) else path
    return Photograph(pixels, alpha, from_file, kept, tuple(notes))


def check_pixels(pixels: object) -> None:
    """Refuse what are no pixels of a photo.

    Raises:
        LatentEditError: no uint8 array [H, W, 3], or one without pixels.
    """
    if not isinstance(pixels, np.ndarray):
        raise LatentEditError(
            f"a photo is uint8 [H, W, 3], or a file, not a {type(pixels).__name__}"
        )
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise LatentEditError(
            f"a photo is uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}"
        )


def save_photograph(
    path: str | Path,
    pixels: UInt8Array,
    like: Photograph,
    *,
    recipe: str | None = None,
    source_type: str | None = COMPOSITE,
    force: bool = False,
) -> tuple[Note, ...]:
    """Write an edited photo, whole or not at all, with everything else the photo's file held.

    The name's ending gives the format. If the photo was a JPEG too, a JPEG is compressed in the
    same way.

    Args:
        pixels: uint8 [H, W, 3], of the photo's size.
        like: the photo that was edited.
        recipe: JSON that says how it was edited.
        source_type: IPTC's digital source type.
        force: allow replacing the photo itself.

    Returns:
        Notes on what could not be kept, of the kinds alpha, metadata and colours.

    Raises:
        LatentEditError: the format carries no marks or cannot be written, the path cannot be
            written, it is the photo itself and `force` is not set, or `pixels` have another size.
    """
    path = Path(path)
    check_target(path, like, force=force)
    image, format_name, options, notes = _prepared(path, pixels, like, recipe, source_type)
    write_image(path, image, format_name, options)
    return notes


def photograph_bytes(
    name: str,
    pixels: UInt8Array,
    like: Photograph,
    *,
    recipe: str | None = None,
    source_type: str | None = COMPOSITE,
) -> tuple[bytes, tuple[Note, ...]]:
    """Return an edited photo as the content of a file, without writing to a disk.

    Args:
        name: the file's name; its ending gives the format.
        pixels, like, recipe, source_type: see `save_photograph`.

    Returns:
        The content, and notes on what could not be kept.

    Raises:
        LatentEditError: see `save_photograph`.
    """
    image, format_name, options, notes = _prepared(Path(name), pixels, like, recipe, source_type)
    return image_bytes(name, image, format_name, options), notes


def _prepared(
    path: Path,
    pixels: UInt8Array,
    like: Photograph,
    recipe: str | None,
    source_type: str | None,
) -> tuple[Image.Image, str, dict[str, object], tuple[Note, ...]]:
    """Return the picture to write, its format, the encoder's options, and notes on what is lost."""
    if pixels.shape != like.pixels.shape or pixels.dtype != np.uint8:
        height, width = like.pixels.shape[:2]
        raise LatentEditError(
            f"the photo has {width} x {height} pixels, got {pixels.dtype} {list(pixels.shape)}"
        )
    format_name, kept, notes = marked_format(path), like.kept, []
    image, mode_notes = _image(pixels, like, format_name)
    notes += mode_notes
    marks = Marks(recipe, source_type)
    try:
        xmp = write_marks(kept.xmp, marks)
    except (ValueError, RecursionError) as error:
        notes.append(Note("metadata", f"the photo's XMP is damaged ({error}) and was replaced"))
        xmp = write_marks(None, marks)
    if format_name == "JPEG" and len(xmp) > _MOST_XMP:
        notes.append(Note("metadata", "the photo's XMP is too long for a JPEG and was replaced"))
        xmp = write_marks(None, marks)
        if len(xmp) > _MOST_XMP:
            raise LatentEditError(f"the recipe is too long for {path}: save as .png")
    if format_name == "JPEG" and len(kept.exif or b"") > _MOST_EXIF:
        notes.append(Note("metadata", "the photo's EXIF is too long for a JPEG and was left out"))
        kept = replace(kept, exif=None)
    if format_name == "WEBP":  # it has no grey
        image = image.convert("RGBA" if image.mode.endswith("A") else "RGB")
    icc = kept.icc if _fits(kept.icc, image.mode) else None
    if kept.icc and not icc:
        notes.append(Note("colours", "the photo's colour profile does not fit and was left out"))
    options: dict[str, object] = {"icc_profile": icc} if icc else {}
    if kept.dpi and format_name in ("JPEG", "PNG", "TIFF"):
        options["dpi"] = kept.dpi
    options |= _encoding(format_name, kept, image)
    if format_name == "JPEG" and kept.jpeg is not None and image.mode == "RGB":
        image = with_edit(kept.jpeg, np.asarray(image), like.pixels) or image
    options |= _metadata(format_name, kept, xmp, recipe)
    return image, format_name, options, tuple(notes)


def save_marked(
    path: str | Path, pixels: UInt8Array, marks: Marks, *, icc: bytes | None = None
) -> None:
    """Write a drawn picture, uint8 [H, W, 3], with its marks.

    Args:
        icc: the colour profile of its pixels.

    Raises:
        LatentEditError: see `save_photograph`.
    """
    like = Photograph(pixels, kept=Kept(icc=icc))
    save_photograph(path, pixels, like, recipe=marks.recipe, source_type=marks.source_type)


def check_target(path: str | Path, like: Photograph, *, force: bool = False) -> None:
    """Raise early if an edited photo cannot be saved under a name.

    Raises:
        LatentEditError: it is the photo itself and `force` is not set, or the format carries no
            marks.
    """
    marked_format(Path(path))
    same = False
    with suppress(OSError):
        same = like.path is not None and os.path.samefile(path, like.path)
    if same and not force:
        raise LatentEditError(
            f"{path} is the photo itself: give another name, or --force to replace it"
        )


def read_marks(path: str | Path | bytes) -> Marks:
    """Read the marks of a picture or a film, without decoding it.

    Args:
        path: a file, or the bytes of one.

    Raises:
        LatentEditError: it is missing or not an image.
    """
    with suppress(OSError), _opened(path) as file:  # `opened` below reports it
        if is_film(file):
            return read_xmp_marks(read_xmp(file) or b"")
    with opened(path, max_pixels=2**62) as image:
        xmp = image.info.get("xmp")
        text = image.info.get(RECIPE_KEY)
        if isinstance(xmp, str):
            xmp = xmp.encode()
        marks = read_xmp_marks(xmp) if xmp else Marks()
    recipe = marks.recipe or (str(text) if image.format == "PNG" and text else None)
    return Marks(recipe, marks.source_type)


def _opened(path: str | Path | bytes) -> BinaryIO:
    return io.BytesIO(path) if isinstance(path, bytes) else open(path, "rb")


def marked_format(path: Path) -> str:
    """Return Pillow's name of the format that a file's ending asks for.

    Raises:
        LatentEditError: the format cannot be written, or carries no marks.
    """
    name = {"MPO": "JPEG"}.get(format_of(path), format_of(path))
    if name not in _MARKED:
        raise LatentEditError(
            f"cannot save {path}: {name} cannot say that the photo was edited, "
            "end its name in .jpg or .png"
        )
    return name


def _said_of(image: Image.Image) -> list[Note]:
    notes = []
    # not `n_frames`: it reads the whole file, which can take minutes
    if getattr(image, "is_animated", False):
        if image.format == "TIFF":
            notes.append(Note("pages", "it has several pages, of which the first is used"))
        elif image.format == "MPO":
            notes.append(Note("pages", "its file holds several pictures: the first is used"))
        else:
            notes.append(Note("animated", "it is animated; its first frame is used"))
    if image.mode in ("CMYK", "LAB"):
        mode = "CMYK" if image.mode == "CMYK" else "Lab"
        notes.append(Note("colours", f"it is {mode}; the result is sRGB"))
    return notes


def _is_deep(image: Image.Image) -> bool:
    """Whether pixels have more than 8 bits in the file, even if Pillow decodes only 8 of them."""
    tile = getattr(image, "tile", None)
    arguments = str(tile[0][-1]) if tile else ""
    deeper = image.info.get("bit_depth", 8) > 8  # of HEIC
    return deeper or image.mode[0] in "IF" or ";16" in arguments or "16B" in arguments


def _segments(image: Image.Image) -> bytes:
    """Segments of a JPEG that Pillow does not write back: Photoshop's, and XMP's extensions."""
    kept = b""
    for name, data in getattr(image, "applist", ()):
        extension = name == "APP1" and data.startswith(b"http://ns.adobe.com/xmp/extension/")
        if extension or name == "APP13":
            marker = 0xE0 + int(name.removeprefix("APP"))
            kept += bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data
    return kept


def _kept(
    image: Image.Image, exif: bytes | None, jpeg: JpegSettings | None, segments: bytes, name: str
) -> Kept:
    """Return what an upright, decoded picture passes on to the edited file."""
    xmp, icc, dpi = (image.info.get(key) for key in ("xmp", "icc_profile", "dpi"))
    grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    if image.mode in ("CMYK", "LAB"):
        icc = None
    with suppress(TypeError, ValueError, ZeroDivisionError):
        dpi = (float(dpi[0]), float(dpi[1])) if dpi else None
    return Kept(
        format={"MPO": "JPEG"}.get(name, name),
        grey=grey,
        icc=icc if isinstance(icc, bytes) else None,
        exif=exif,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        jpeg=jpeg,
        segments=segments,
        compression=image.info.get("compression") if name == "TIFF" else None,
        dpi=dpi if isinstance(dpi, tuple) and all(1 <= each <= _MOST_DPI for each in dpi) else None,
        comment=image.info.get("comment") if name in ("JPEG", "MPO") else None,
    )


def _exif(image: Image.Image, name: str) -> tuple[bytes | None, bool]:
    """Return EXIF without orientation and thumbnail, None if there is none; and if it is whole."""
    try:
        exif = image.getexif()
        if name == "TIFF":
            described, exif = exif, Image.Exif()
            for tag in _TIFF_WORDS:
                if tag in described:
                    directory = tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
                    exif[tag] = described.get_ifd(tag) if directory else described[tag]
        exif.pop(ExifTags.Base.Orientation, None)
        whole = _written(exif)
        if whole is None:
            for tag in [tag for tag in exif if not _can_be_written(exif, tag)]:
                del exif[tag]
        return whole or _written(exif) or None, whole is not None
    except Exception:  # EXIF is often damaged, and Pillow then raises many types
        return None, False


def _written(exif: Image.Exif) -> bytes | None:
    """Return EXIF as bytes without a thumbnail, empty if it has no entry; None if Pillow fails."""
    try:
        return exif.tobytes() if len(exif) else b""
    except Exception:  # see `_exif`
        return None


def _can_be_written(exif: Image.Exif, tag: int) -> bool:
    alone = Image.Exif()
    directory = tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
    alone[tag] = exif.get_ifd(tag) if directory else exif[tag]
    return _written(alone) is not None


def _image(
    pixels: UInt8Array, like: Photograph, format_name: str
) -> tuple[Image.Image, list[Note]]:
    """Return the picture in the mode to write: grey if the photo was, with alpha if that fits."""
    alpha, notes = like.alpha, []
    if alpha is not None and format_name not in _WITH_ALPHA:
        pixels, alpha = over_white(pixels, alpha), None
        notes.append(Note("alpha", f"a {format_name} cannot be transparent: white is used there"))
    coloured = _fits(like.kept.icc, "RGB") or not like.kept.grey
    if not coloured and (pixels.min(2) == pixels.max(2)).all():
        image = Image.fromarray(pixels[..., 0])
    else:
        image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    return image, notes


def _fits(icc: bytes | None, mode: str) -> bool:
    """Whether a colour profile is one for pictures of that mode (ICC.1, header, bytes 16 to 19)."""
    if not icc:
        return False
    return icc[16:20] == (b"GRAY" if mode in ("L", "LA") else b"RGB ")


def _encoding(format_name: str, kept: Kept, image: Image.Image) -> dict[str, object]:
    """Return how the pixels are compressed: as they were, if the format is the same."""
    if format_name == "JPEG":
        if kept.jpeg is None:
            return {"quality": JPEG_QUALITY, "subsampling": 0}
        return kept.jpeg.options(coloured=image.mode != "L")
    if format_name == "PNG":
        large = image.width * image.height > LARGE_PNG
        return {"compress_level": 1} if large else {}
    if format_name == "TIFF":
        if _has_directories(kept.exif):
            return {}  # libtiff, which compresses, cannot write EXIF's own directories
        kind = kept.compression if kept.compression in _LOSSLESS_TIFF else "tiff_adobe_deflate"
        return {"compression": kind}
    return {"quality": JPEG_QUALITY}


def _has_directories(exif: bytes | None) -> bool:
    loaded = Image.Exif()
    loaded.load(exif or b"")
    return ExifTags.IFD.Exif in loaded or ExifTags.IFD.GPSInfo in loaded


def _metadata(format_name: str, kept: Kept, xmp: bytes, recipe: str | None) -> dict[str, object]:
    """EXIF and XMP as the format's encoder wants them."""
    if format_name == "PNG":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode())
        if recipe is not None:
            chunks.add_itxt(RECIPE_KEY, recipe)
        return {"pnginfo": chunks} | ({"exif": kept.exif} if kept.exif else {})
    if format_name == "TIFF":
        exif = Image.Exif()
        if kept.exif:
            exif.load(kept.exif)
        exif[_TIFF_XMP] = xmp
        return {"exif": exif}
    options: dict[str, object] = {"xmp": xmp}
    if kept.exif:
        options["exif"] = kept.exif
    if format_name == "JPEG":
        options |= {"extra": kept.segments, "comment": kept.comment or b""}
    return options
