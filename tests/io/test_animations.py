"""Films there and back: what is in the files, frame by frame."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.io.animations import REST, animation_bytes, save_animation

SHADES = (10, 80, 160, 240)
FRAMES = np.stack([np.full((8, 8, 3), shade, np.uint8) for shade in SHADES])
THERE_AND_BACK = (10, 80, 160, 240, 160, 80)


def test_a_gif_goes_there_and_back_for_ever(tmp_path: Path) -> None:
    save_animation(tmp_path / "a.gif", FRAMES, edge=32, milliseconds=50)
    shades, times = [], []
    with Image.open(tmp_path / "a.gif") as film:
        assert (film.size, film.info["loop"]) == ((32, 32), 0)
        for index in range(film.n_frames):
            film.seek(index)
            times.append(film.info["duration"])
            shades.append(int(np.array(film.convert("RGB")).mean()))
    assert np.allclose(shades, THERE_AND_BACK, atol=4)
    assert times == [300, 50, 50, 300, 50, 50]


@pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV: pip install 'latentedit[demo]'")
def test_a_video_goes_there_and_back_once(tmp_path: Path) -> None:
    import av

    save_animation(tmp_path / "a.MP4", FRAMES, edge=32, milliseconds=50)
    with av.open(tmp_path / "a.MP4") as film:
        (stream,) = film.streams
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 20)
        assert (stream.width, stream.height, stream.pix_fmt) == (32, 32, "yuv420p")
        shades = [frame.to_ndarray(format="rgb24").mean() for frame in film.decode(stream)]
    shown = [shade for shade in THERE_AND_BACK for _ in range(REST if shade in (10, 240) else 1)]
    assert np.allclose(shades, shown, atol=4)
    assert [path.name for path in tmp_path.iterdir()] == ["a.MP4"]


def test_one_frame_is_a_film_too(tmp_path: Path) -> None:
    save_animation(tmp_path / "a.gif", FRAMES[:1])
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 1


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"\.gif or \.mp4"):
        save_animation(tmp_path / "a.png", FRAMES)


def test_without_pyav_a_video_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[demo\]'"):
        save_animation(tmp_path / "a.mp4", FRAMES)
    assert not list(tmp_path.iterdir())


def test_films_in_memory_are_those_of_files(tmp_path: Path) -> None:
    save_animation(tmp_path / "a.gif", FRAMES, edge=32)
    assert animation_bytes("a.gif", FRAMES, edge=32) == (tmp_path / "a.gif").read_bytes()
    if find_spec("av") is not None:
        assert animation_bytes("a.mp4", FRAMES, edge=32)[4:8] == b"ftyp"
    with pytest.raises(LatentEditError, match="end its name"):
        animation_bytes("a.avi", FRAMES)


def test_frames_keep_their_shape(tmp_path: Path) -> None:
    wide = np.zeros((3, 30, 61, 3), np.uint8)
    save_animation(tmp_path / "a.gif", wide, edge=122)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.size == (122, 60)


@pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV: pip install 'latentedit[demo]'")
def test_a_video_of_odd_size_loses_a_line_at_most(tmp_path: Path) -> None:
    import av

    save_animation(tmp_path / "a.mp4", np.zeros((2, 31, 61, 3), np.uint8), edge=1)
    with av.open(tmp_path / "a.mp4") as film:
        (stream,) = film.streams
        assert (stream.width, stream.height) == (60, 30)
