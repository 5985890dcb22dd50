"""Films of a face on its way to its edit and back: GIF, and MP4 where PyAV is installed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path
from latentedit.io.images import UInt8Array

REST = 6
"""The first and the last frame stand this many times as long as the others."""


def save_animation(
    path: str | Path, frames: UInt8Array, *, edge: int = 256, milliseconds: int = 120
) -> None:
    """Write uint8 [F, H, W, 3], there and back: a GIF runs for ever, an MP4 (H.264) once.

    Args:
        edge: smaller pictures are enlarged to this.
        milliseconds: that each frame stands; the first and the last stand `REST` times as long.

    Raises:
        LatentEditError: another ending than .gif or .mp4, PyAV is missing, or the path cannot be
            written.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        _write(temporary, path, frames, edge, milliseconds)


def animation_bytes(
    name: str, frames: UInt8Array, *, edge: int = 256, milliseconds: int = 120
) -> bytes:
    """The same film as the content of a file, which never lies on a disk; see `save_animation`."""
    buffer = io.BytesIO()
    _write(buffer, Path(name), frames, edge, milliseconds)
    return buffer.getvalue()


def _write(
    target: Path | io.BytesIO, path: Path, frames: UInt8Array, edge: int, milliseconds: int
) -> None:
    write = {".gif": _write_gif, ".mp4": _write_mp4}.get(path.suffix.lower())
    if write is None:
        raise LatentEditError(f"cannot save {path}: end its name in .gif or .mp4")
    size = max(edge, frames.shape[1])
    pictures = [
        Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC) for frame in frames
    ]
    beats = [1] * len(pictures)
    beats[0] = beats[-1] = REST
    write(
        target,
        [*pictures, *pictures[-2:0:-1]],
        [*beats, *beats[-2:0:-1]],
        milliseconds,
    )


def _write_gif(
    path: Path | io.BytesIO,
    pictures: Sequence[Image.Image],
    beats: Sequence[int],
    milliseconds: int,
) -> None:
    sheet = Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures]))
    colours = sheet.quantize(256)  # the same in all frames
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
    try:
        import av
    except ModuleNotFoundError:
        raise LatentEditError("a video needs PyAV: pip install 'latentedit[demo]'") from None

    # faststart: players on the web begin before the end has come; it wants a file to read again
    options = {"movflags": "faststart"} if isinstance(path, Path) else {}
    with av.open(path, "w", format="mp4", options=options) as file:
        stream = file.add_stream("libx264", rate=Fraction(1000, milliseconds))
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"  # what every player knows
        stream.options = {"crf": "16"}  # hardly any loss to the eye
        for picture, beat in zip(pictures, beats, strict=True):
            for _ in range(beat):
                file.mux(stream.encode(av.VideoFrame.from_image(picture)))
        file.mux(stream.encode())
