from __future__ import annotations

import io
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_face
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.io import images

small_images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def ramp(height: int = 12, width: int = 16) -> np.ndarray:
    """A picture in which every corner differs."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack((rows * 20, columns * 15, 255 - rows * 10), -1).astype(np.uint8)


# --- files ------------------------------------------------------------------------------------


@given(small_images, st.sampled_from(("png", "bmp", "tiff", "webp")))
def test_lossless_formats_give_back_every_pixel(image: np.ndarray, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image.{ending}"
        if ending == "webp":
            Image.fromarray(image).save(path, lossless=True)
        else:
            images.save_image(path, image)
        assert np.array_equal(images.open_image(path), image)


def test_jpeg_is_close_and_upper_case_endings_work(tmp_path: Path) -> None:
    images.save_image(tmp_path / "a.JPG", ramp())
    assert Image.open(tmp_path / "a.JPG").format == "JPEG"
    assert np.abs(images.open_image(tmp_path / "a.JPG").astype(int) - ramp()).mean() < 4


printable = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=30)
keys = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(st.dictionaries(keys, printable, max_size=3))
def test_png_metadata_comes_back(metadata: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        images.save_image(path, ramp(), metadata=metadata)
        assert images.read_metadata(path) == metadata
        assert np.array_equal(images.open_image(path), ramp())


def test_a_format_without_metadata_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"save as \.png"):
        images.save_image(tmp_path / "a.jpg", ramp(), metadata={"recipe": "{}"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["image", "image.txt", "image.psd", "image.blp", "image.xbm"])
def test_a_format_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LatentEditError, match=f"cannot (save|write) .*{name}"):
        images.save_image(tmp_path / name, ramp())
    assert list(tmp_path.iterdir()) == []


def test_saving_over_a_picture_replaces_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    images.save_image(path, ramp(50, 50))
    images.save_image(path, ramp())
    assert images.open_image(path).shape == (12, 16, 3)
    with pytest.raises(LatentEditError, match="does not exist, create it"):
        images.save_image(tmp_path / "no" / "a.png", ramp())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    # how the upright picture must be stored so that the tag turns it upright (EXIF 2.3, tag 274)
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](ramp())
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(images.open_image(tmp_path / "a.png"), ramp())


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = ramp()[..., 1]
    for name in ("a.png", "a.tiff"):
        Image.fromarray(grey).save(tmp_path / name)
        assert np.array_equal(images.open_image(tmp_path / name), np.stack((grey,) * 3, -1))
    Image.fromarray(grey > 100).save(tmp_path / "bits.png")
    assert np.array_equal(images.open_image(tmp_path / "bits.png")[..., 0], (grey > 100) * 255)


def test_16_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 12 * 16).reshape(12, 16).round().astype(np.uint16)
    for name in ("a.png", "a.tiff"):
        Image.fromarray(grey).save(tmp_path / name)
        image = images.open_image(tmp_path / name).astype(int)
        assert (image[..., 0] == image[..., 2]).all()
        assert np.abs(image[..., 0] - grey / 257).max() <= 0.5
    Image.fromarray(np.full((4, 4), 200, np.uint16)).save(tmp_path / "dark.png")
    assert images.open_image(tmp_path / "dark.png").max() == 1  # not 200: it is nearly black


def test_32_bit_grey_is_clipped_and_does_not_wrap(tmp_path: Path) -> None:
    grey = np.array([[0, 257, 65535, 2**30, -5]], dtype=np.int32)
    Image.fromarray(grey).save(tmp_path / "a.tiff")
    assert images.open_image(tmp_path / "a.tiff")[0, :, 0].tolist() == [0, 1, 255, 255, 0]


def test_cmyk_becomes_the_colours_it_prints(tmp_path: Path) -> None:
    cmyk = np.zeros((16, 16, 4), dtype=np.uint8)
    cmyk[:, :8, 0] = 255  # cyan left, paper white right
    Image.fromarray(cmyk, mode="CMYK").save(tmp_path / "a.jpg", quality=95)
    image = images.open_image(tmp_path / "a.jpg").astype(int)
    assert image[8, 3] == pytest.approx([0, 255, 255], abs=8)
    assert image[8, 12] == pytest.approx([255, 255, 255], abs=8)


def _transparent(mode: str) -> Image.Image:
    """Red, opaque in the left half and clear in the right one."""
    alpha = np.zeros((8, 8), dtype=np.uint8)
    alpha[:, :4] = 255
    picture = Image.new("RGB", (8, 8), (200, 0, 0))
    picture.putalpha(Image.fromarray(alpha))
    if mode == "P":
        indices = Image.fromarray(np.where(alpha > 0, 1, 0).astype(np.uint8), mode="P")
        indices.putpalette([9, 9, 9, 200, 0, 0])
        indices.info["transparency"] = 0
        return indices
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_white(tmp_path: Path, mode: str) -> None:
    _transparent(mode).save(tmp_path / "a.png")
    image = images.open_image(tmp_path / "a.png")
    assert image.shape == (8, 8, 3)
    assert (image[:, 4:] == 255).all()
    assert (image[:, :4, 1] < 100).all()


def test_half_transparent_is_mixed_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 51)).save(tmp_path / "a.png")
    assert (images.open_image(tmp_path / "a.png") == 204).all()


def test_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("#ff0000", "#00ff00")]
    for name in ("a.gif", "a.png", "a.webp"):
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert Image.open(tmp_path / name).n_frames == 2
        image = images.open_image(tmp_path / name)
        assert image.shape == (5, 6, 3)
        assert (image == (255, 0, 0)).all()


def test_a_single_pixel_is_a_picture(tmp_path: Path) -> None:
    images.save_image(tmp_path / "a.png", np.full((1, 1, 3), 7, dtype=np.uint8))
    image = images.open_image(tmp_path / "a.png")
    assert image.tolist() == [[[7, 7, 7]]]
    assert images.to_frame(image, 8).shape == (8, 8, 3)


def refused(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(LatentEditError) as caught:
        images.open_image(path)
    assert len(str(caught.value).splitlines()) == 1
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_file_cut_short_is_refused(tmp_path: Path, format_name: str, share: float) -> None:
    buffer = io.BytesIO()
    noise = np.random.RandomState(0).randint(0, 255, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, format=format_name)
    path = tmp_path / "cut.jpg"
    path.write_bytes(buffer.getvalue()[: int(share * buffer.tell())])
    message = refused(path)
    assert "damaged or cut short" in message or "not an image" in message
    if format_name == "JPEG" and share > 0.1:
        assert "damaged or cut short" in message


@pytest.mark.parametrize("content", [b"", b"<html>not a picture</html>", bytes(1000)])
def test_what_is_no_picture_is_refused_whatever_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.png"
    path.write_bytes(content)
    assert "is not an image" in refused(path)


def test_missing_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    assert "does not exist: check the path" in refused(tmp_path / "none.png")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.png")


def bomb(path: Path, width: int, height: int) -> Path:
    """A valid PNG header that announces a huge picture, and next to nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("edge", [8_001, 12_000, 40_000])
def test_a_decompression_bomb_is_refused_undecoded(
    tmp_path: Path, edge: int, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    path = bomb(tmp_path / "bomb.png", edge, edge)
    decoded: list[object] = []
    monkeypatch.setattr(Image.Image, "load", lambda self: decoded.append(self))
    message = refused(path)
    assert "pixels" in message
    assert "make it smaller" in message
    assert not decoded
    assert not recwarn.list


def test_metadata_of_an_open_file_within_a_limit() -> None:
    content = images.png_bytes(ramp())
    height, width = ramp().shape[:2]
    assert images.read_metadata(io.BytesIO(content), max_pixels=height * width) == {}
    for data, limit in ((content, height * width - 1), (content[:60], 10**6), (b"text", 10**6)):
        with pytest.raises(LatentEditError, match="cannot read the picture: it is damaged"):
            images.read_metadata(io.BytesIO(data), max_pixels=limit)


def test_the_metadata_of_a_bomb_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"cannot read .*bomb\.png"):
        images.read_metadata(bomb(tmp_path / "bomb.png", 40_000, 40_000))
    for name, content in (("text.png", b"text"), ("cut.png", images.png_bytes(ramp())[:60])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LatentEditError, match=f"cannot read .*{name}"):
            images.read_metadata(tmp_path / name)
    with pytest.raises(LatentEditError, match="cannot read"):
        images.read_metadata(tmp_path / "none.png")


def test_the_limit_on_pixels_can_be_set(tmp_path: Path) -> None:
    images.save_image(tmp_path / "a.png", ramp())  # 12 x 16
    assert images.open_image(tmp_path / "a.png", max_pixels=192).shape == (12, 16, 3)
    with pytest.raises(LatentEditError, match=r"16 x 12 .*191"):
        images.open_image(tmp_path / "a.png", max_pixels=191)


# --- the shared frame -------------------------------------------------------------------------


def eyes(image: np.ndarray) -> np.ndarray:
    """Centres of the two black discs, as shares of the edge: [[x, y], [x, y]]."""
    dark = image.max(-1) < 60
    middle = image.shape[1] / 2
    rows, columns = np.nonzero(dark)
    halves = [columns < middle, columns >= middle]
    return np.array([[columns[h].mean() + 0.5, rows[h].mean() + 0.5] for h in halves]) / len(image)


@pytest.mark.parametrize(
    ("size", "edge"), [((178, 218), 128), ((89, 109), 64), ((356, 436), 256), ((267, 327), 128)]
)
def test_eyes_come_to_lie_in_their_place_at_any_size(size: tuple[int, int], edge: int) -> None:
    frame = images.to_frame(np.array(draw_face(3, size)))
    assert frame.shape == (edge, edge, 3)
    expected = (np.array([[69.5, 111.5], [108.5, 111.5]]) - (19, 40)) / 140
    assert eyes(frame) == pytest.approx(expected, abs=0.01)
    assert np.diff(eyes(frame)[:, 0]) == pytest.approx(39 / 140, abs=1 / 64)


def test_other_pictures_are_cut_at_their_centre() -> None:
    wide = np.zeros((64, 128, 3), dtype=np.uint8)
    wide[:, 32:96] = 255
    assert images.to_frame(wide).shape == (64, 64, 3)
    assert (images.to_frame(wide) == 255).all()
    tall = images.to_frame(wide.transpose(1, 0, 2), 32)
    assert (tall[3:-3, 3:-3] == 255).all()  # the filter sees a little of what lies around


@given(st.integers(1, 300), st.integers(1, 300), st.none() | st.integers(1, 64))
def test_every_picture_has_a_frame(width: int, height: int, size: int | None) -> None:
    frame = images.to_frame(np.full((height, width, 3), 99, dtype=np.uint8), size)
    assert frame.shape[0] == frame.shape[1]
    assert (frame == 99).all()
    if size is not None:
        assert len(frame) == size
    else:
        assert len(frame) & (len(frame) - 1) == 0
        assert len(frame) <= max(4, min(width, height))


def test_a_square_frame_of_its_size_is_left_alone() -> None:
    image = np.random.RandomState(0).randint(0, 255, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(images.to_frame(image), image)


@pytest.mark.parametrize("size", [(178, 218), (89, 109), (178, 217), (356, 436), (44, 54)])
def test_celeba_crops_are_known_by_their_proportions(size: tuple[int, int]) -> None:
    assert images.is_celeba_crop(*size)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (218, 178), (178, 230), (178, 210)])
def test_other_proportions_are_no_celeba_crops(size: tuple[int, int]) -> None:
    assert not images.is_celeba_crop(*size)


# --- tensors ----------------------------------------------------------------------------------

batches = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.just(3))
)


@given(batches)
def test_tensors_give_back_every_pixel(batch: np.ndarray) -> None:
    tensor = images.to_tensor(batch)
    assert tensor.shape == (len(batch), 3, *batch.shape[1:3])
    assert tensor.abs().max() <= 1
    assert np.array_equal(images.to_uint8(tensor), batch)


def test_black_and_white_are_minus_one_and_one_in_rgb_order() -> None:
    tensor = images.to_tensor(np.array([[[[0, 255, 51]]]], dtype=np.uint8))
    assert tensor.dtype == torch.float32
    assert tensor.flatten().tolist() == pytest.approx([-1, 1, -0.6])


def test_the_source_is_not_written_to() -> None:
    batch = np.full((1, 2, 2, 3), 9, dtype=np.uint8)
    images.to_tensor(batch).zero_()
    assert (batch == 9).all()
    batch.flags.writeable = False
    images.to_tensor(batch)


@given(hnp.arrays(np.float32, (1, 3, 2, 2), elements=st.floats(-1e6, 1e6, width=32)))
def test_values_outside_are_clipped_and_others_rounded(values: np.ndarray) -> None:
    pixels = images.to_uint8(torch.from_numpy(values)).astype(np.float64)
    exact = (np.clip(values.astype(np.float64), -1, 1) + 1) * 127.5
    assert np.abs(pixels - exact.transpose(0, 2, 3, 1)).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 3, 2, 2), (1, 2, 2, 4)])
def test_what_are_no_pictures_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LatentEditError, match=r"uint8 \[N, H, W, 3\]"):
        images.to_tensor(np.zeros(shape, np.uint8))
    with pytest.raises(LatentEditError, match=r"got float64 \[1, 2, 2, 3\]"):
        images.to_tensor(np.zeros((1, 2, 2, 3)))


# --- sheets -----------------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 3))
def test_a_grid_holds_every_picture_in_reading_order(count: int, columns: int, gap: int) -> None:
    batch = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 2, 3, 3), np.uint8)
    sheet = images.grid(batch, columns=columns, gap=gap)
    used = min(columns, count)
    rows = -(-count // used)
    assert sheet.shape == (rows * (2 + gap) - gap, used * (3 + gap) - gap, 3)
    for index in range(count):
        top, left = index // used * (2 + gap), index % used * (3 + gap)
        assert (sheet[top : top + 2, left : left + 3] == index).all()
    assert (sheet != 255).any(-1).sum() == count * 6  # all else is white


def strip(**changes: object) -> np.ndarray:
    """A strip of two rows of three grey frames."""
    rows = [np.full((3, 8, 8, 3), shade, dtype=np.uint8) for shade in (50, 100)]
    options = {"captions": [["a", "b", "c"]] * 2, "frame_size": 40, **changes}
    return images.film_strip(rows, **options)


def test_a_film_strip_holds_every_frame() -> None:
    sheet = strip()
    for shade in (50, 100):
        assert (sheet == shade).all(-1).sum() >= 3 * 40 * 40


def test_a_film_strip_marks_one_frame_a_row_in_red() -> None:
    def red_columns(sheet: np.ndarray) -> np.ndarray:
        return np.nonzero(((sheet[..., 0] > 180) & (sheet[..., 1] < 90)).any(0))[0]

    assert len(red_columns(strip())) == 0
    first, last = red_columns(strip(marked=0)), red_columns(strip(marked=2))
    assert len(first) == len(last) == 48
    assert first.max() < last.min()


def test_captions_and_title_are_drawn() -> None:
    plain = strip(captions=[["", "", ""]] * 2)
    assert (strip() != plain).any()
    titled = strip(title="Young")
    assert titled.shape[0] > plain.shape[0]
    assert (titled[:20] < 100).any()


def test_a_long_title_takes_more_lines_and_no_more_width() -> None:
    short, long = strip(title="Young"), strip(title="Young, Smiling and Male " * 8)
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0] + 40
    assert strip(title="W" * 200).shape[1] > short.shape[1]


def test_captions_must_match_the_frames() -> None:
    with pytest.raises(ValueError, match="shorter"):
        strip(captions=[["a", "b"]] * 2)


def test_png_bytes_are_a_png() -> None:
    data = images.png_bytes(ramp())
    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), ramp())


def test_what_is_in_a_file_opens_like_the_file(tmp_path: Path) -> None:
    draw_face(0).save(tmp_path / "face.png")
    data = (tmp_path / "face.png").read_bytes()
    np.testing.assert_array_equal(images.open_image(data), images.open_image(tmp_path / "face.png"))
    with pytest.raises(LatentEditError, match="this file is damaged or cut short"):
        images.open_image(data[: len(data) // 2])
    with pytest.raises(LatentEditError, match="this file is not an image"):
        images.open_image(b"nothing")


def test_a_jpeg_too_wide_is_refused_before_it_is_encoded(tmp_path: Path) -> None:
    wide = np.zeros((1, 65_501, 3), np.uint8)
    with pytest.raises(LatentEditError, match=r"65500 .*png"):
        images.save_image(tmp_path / "wide.jpg", wide)
    assert not (tmp_path / "wide.jpg").exists()
