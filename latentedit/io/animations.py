"""Films that go from a face to its edit and back: GIF, and MP4 if PyAV is installed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path
from latentedit.io.film_marks import add_xmp
from latentedit.io.images import UInt8Array

REST = 6
"""The first and the last frame are shown this many times as long as the others."""


def check_animation(path: str | Path) -> None:
    """Refuse a film that cannot be written, before its frames are drawn.

    Raises:
        LatentEditError: another ending than .gif or .mp4, or PyAV is missing.
    """
    ending = Path(path).suffix.lower()
    if ending not in _WRITERS:
        raise LatentEditError(f"cannot save {path}: end its name in {' or '.join(_WRITERS)}")
    if ending == ".mp4" and not _has_pyav():
        raise LatentEditError(
            f"{path}: a video needs PyAV, pip install 'latentedit[demo]'; a .gif needs nothing"
        )


def save_animation(
    path: str | Path,
    frames: UInt8Array,
    *,
    edge: int = 256,
    milliseconds: int = 120,
    xmp: bytes | None = None,
) -> tuple[int, int]:
    """Write frames uint8 [F, H, W, 3] as a film that runs forwards, then backwards.

    A GIF repeats for ever, an MP4 (H.264) plays once.

    Args:
        edge: pictures whose longer edge is smaller are enlarged to this, in pixels.
        milliseconds: how long a frame is shown; the first and the last are shown `REST` times as
            long.
        xmp: an XMP packet to put into the file.

    Returns:
        Width and height in pixels.

    Raises:
        LatentEditError: see `check_animation`, or the path cannot be written.
    """
    path = Path(path)
    check_animation(path)
    with atomic_path(path) as temporary:
        size = _write(temporary, path, frames, edge, milliseconds)
        if xmp is not None:
            with open(temporary, "rb+") as file:
                add_xmp(file, xmp)
    return size


def animation_bytes(
    name: str,
    frames: UInt8Array,
    *,
    edge: int = 256,
    milliseconds: int = 120,
    xmp: bytes | None = None,
) -> bytes:
    """Return the film as bytes, without writing a file; see `save_animation`."""
    check_animation(name)
    buffer = io.BytesIO()
    _write(buffer, Path(name), frames, edge, milliseconds)
    if xmp is not None:
        add_xmp(buffer, xmp)
    return buffer.getvalue()


def _write(
    target: Path | io.BytesIO, path: Path, frames: UInt8Array, edge: int, milliseconds: int
) -> tuple[int, int]:
    """Write frames in the format that `path` ends in, and return their size."""
    height, width = frames.shape[1:3]
    scale = max(1.0, edge / max(height, width))
    size = (round(width * scale), round(height * scale))
    if path.suffix.lower() == ".mp4":  # four pixels share a colour: edges must be even
        size = (max(2, size[0] - size[0] % 2), max(2, size[1] - size[1] % 2))
    pictures = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames]
    beats = [1] * len(pictures)
    beats[0] = beats[-1] = REST
    _WRITERS[path.suffix.lower()](
        target,
        [*pictures, *pictures[-2:0:-1]],
        [*beats, *beats[-2:0:-1]],
        milliseconds,
    )
    return size


def _write_gif(
    path: Path | io.BytesIO,
    pictures: Sequence[Image.Image],
    beats: Sequence[int],
    milliseconds: int,
) -> None:
    sheet = Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures]))
    colours = sheet.quantize(256)  # one palette for all frames
    dithered = [
        picture.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)
        for picture in pictures
    ]
    dithered[0].save(
        path,
        format="GIF",
        optimize=False,
        save_all=True,
        append_images=dithered[1:],
        duration=[beat * milliseconds for beat in beats],
        loop=0,
    )


def _write_mp4(
    path: Path | io.BytesIO,
    pictures: Sequence[Image.Image],
    beats: Sequence[int],
    milliseconds: int,
) -> None:
    import av

    # faststart: web players start before all is loaded; it rereads the output, so only for files
    options = {"movflags": "faststart"} if isinstance(path, Path) else {}
    with av.open(path, "w", format="mp4", options=options) as file:
        stream = file.add_stream("libx264", rate=Fraction(1000, milliseconds))
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"  # every player knows it
        stream.options = {"crf": "16"}  # losses that hardly anybody sees
        for picture, beat in zip(pictures, beats, strict=True):
            for _ in range(beat):
                file.mux(stream.encode(av.VideoFrame.from_image(picture)))
        file.mux(stream.encode())


def _has_pyav() -> bool:
    try:
        return find_spec("av") is not None
    except ValueError:  # raised after a failed import
        return False


_WRITERS = {".gif": _write_gif, ".mp4": _write_mp4}
