"""XMP in films: the packet comes back, and the film is the same."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from latentedit.io.animations import save_animation
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
    assert is_film(marked)
    assert read_xmp(plain) is None
    assert read_xmp(marked) == PACKET
    for one, other in zip(shown(plain), shown(marked), strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.binary(max_size=80))
def test_damage_is_no_packet_and_no_crash(tmp_path_factory: pytest.TempPathFactory, tail: bytes):
    path = tmp_path_factory.mktemp("films") / "film"
    for head in (b"GIF89a", b"\0\0\0\x0cftypisom", b"\0\0\0\x0cftypmp42\0\0\0\0", b""):
        path.write_bytes(head + tail)
        assert read_xmp(path) is None or tail


def test_what_takes_no_packet(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    before = path.read_bytes()
    assert not is_film(path)
    assert read_xmp(path) is None
    with pytest.raises(ValueError, match="neither"):
        add_xmp(path, PACKET)
    assert path.read_bytes() == before
    save_animation(tmp_path / "a.gif", FRAMES)
    with pytest.raises(ValueError, match="no XMP"):
        add_xmp(tmp_path / "a.gif", b"a\0b")
