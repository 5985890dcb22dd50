"""XMP in films: the packet comes back, and the film is the same."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from latentedit.io.animations import animation_bytes, save_animation
from latentedit.io.film_marks import add_xmp, is_film, read_xmp

PACKET = '<?xpacket begin="\ufeff"?><x:xmpmeta>ä, 你</x:xmpmeta><?xpacket end="w"?>'.encode() * 40
FRAMES = np.stack([np.full((8, 12, 3), shade, np.uint8) for shade in (0, 120, 250)])
ENDINGS = ["gif", *(["mp4"] if find_spec("av") else [])]


def shown(path: Path) -> list[np.ndarray]:
    if path.suffix == ".gif":
        with Image.open(path) as film:
            pictures = []
            for index in range(film.n_frames):
                film.seek(index)
                pictures.append(np.array(film.convert("RGB")))
        return pictures
    import av

    with av.open(path) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_packet_comes_back_and_the_film_stays(tmp_path: Path, ending: str) -> None:
    plain, marked = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    save_animation(plain, FRAMES)
    save_animation(marked, FRAMES, xmp=PACKET)
    with plain.open("rb") as before, marked.open("rb") as after:
        assert is_film(after)
        assert read_xmp(before) is None
        assert read_xmp(after) == PACKET
    for one, other in zip(shown(plain), shown(marked), strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.binary(max_size=80))
def test_damage_is_no_packet_and_no_crash(tail: bytes) -> None:
    for head in (b"GIF89a", b"\0\0\0\x0cftypisom", b"\0\0\0\x0cftypmp42\0\0\0\0", b""):
        assert read_xmp(io.BytesIO(head + tail)) is None or tail


def test_what_takes_no_packet() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, format="PNG")
    before = picture.getvalue()
    assert not is_film(picture)
    assert read_xmp(picture) is None
    with pytest.raises(ValueError, match="neither"):
        add_xmp(picture, PACKET)
    assert picture.getvalue() == before
    with pytest.raises(ValueError, match="no XMP"):
        add_xmp(io.BytesIO(animation_bytes("a.gif", FRAMES)), b"a\0b")


@pytest.mark.parametrize("ending", ENDINGS)
def test_films_in_memory_are_marked_too(ending: str) -> None:
    film = io.BytesIO(animation_bytes(f"a.{ending}", FRAMES, xmp=PACKET))
    assert read_xmp(film) == PACKET
