"""Photos read and written: what is in their files stays, and bad files get one line."""

from __future__ import annotations

import io
import os
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, features

from latentedit.errors import LatentEditError
from latentedit.io.images import open_image, read_metadata
from latentedit.photos.marks import COMPOSITE, Marks
from latentedit.photos.photograph import (
    Photograph,
    check_target,
    open_photograph,
    photograph_bytes,
    read_marks,
    save_photograph,
)

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf'
    b'-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'dc:source="a camera"/></rdf:RDF></x:xmpmeta>'
)
RECIPE = '{"steps": {"Smiling": 2.0}, "name": "Zoë"}'
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MARKED = ["jpg", "png", "webp", "tif", *(["avif"] if features.check("avif") else [])]


def scene(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    coarse = np.random.RandomState(0).randint(20, 236, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "Maker"
    tags[0x8769] = {0x9003: "2024:05:06 07:08:09"}
    tags[0x8825] = {1: "N"}
    return tags.tobytes()


def saved(path: Path, picture: Image.Image | NDArray[np.uint8], **options: object) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def with_spot(photo: Photograph) -> NDArray[np.uint8]:
    pixels = photo.pixels.copy()
    pixels[40:60, 50:80] = (200, 30, 60)
    return pixels


def kinds(notes: object) -> list[str]:
    return [note.kind for note in notes]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ending", MARKED)
def test_what_is_in_the_file_goes_along(tmp_path: Path, ending: str) -> None:
    options: dict[str, object] = {"exif": exif(), "icc_profile": SRGB}
    if ending not in ("png", "tif"):
        options["xmp"] = XMP
    photo = open_photograph(saved(tmp_path / f"me.{ending}", scene(), **options))
    assert photo.notes == ()
    target = tmp_path / f"edited.{ending}"
    assert save_photograph(target, with_spot(photo), photo, recipe=RECIPE) == ()
    with Image.open(target) as image:
        tags = image.getexif()
        assert tags[0x010F] == "Maker"
        assert tags.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
        assert tags.get_ifd(0x8825)[1] == "N"
        assert image.info["icc_profile"] == SRGB
        if "xmp" in options:
            assert b"a camera" in image.info["xmp"]
    assert read_marks(target) == Marks(RECIPE, COMPOSITE)
    assert np.abs(open_image(target).astype(int) - with_spot(photo)).mean() < 4


def test_a_png_s_recipe_is_where_other_pictures_have_it(tmp_path: Path) -> None:
    photo = open_photograph(saved(tmp_path / "me.png", scene()))
    save_photograph(tmp_path / "edited.png", photo.pixels, photo, recipe=RECIPE)
    assert read_metadata(tmp_path / "edited.png")["latentedit"] == RECIPE
    assert np.array_equal(open_image(tmp_path / "edited.png"), photo.pixels)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [60, 90])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_compressed_as_it_was(
    tmp_path: Path, subsampling: int, quality: int, progressive: bool
) -> None:
    options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
    photo = open_photograph(saved(tmp_path / "me.jpg", scene(), comment=b"hello", **options))
    save_photograph(tmp_path / "edited.jpg", with_spot(photo), photo)
    again = open_photograph(tmp_path / "edited.jpg").kept
    assert photo.kept.jpeg is not None
    assert again.jpeg is not None
    assert again.jpeg.tables == photo.kept.jpeg.tables
    assert again.jpeg.subsampling == photo.kept.jpeg.subsampling == subsampling
    assert again.jpeg.progressive == progressive
    assert again.comment == b"hello"


@pytest.mark.parametrize("shape", [(96, 128), (95, 127)])
def test_what_is_not_edited_in_a_jpeg_stays(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = saved(tmp_path / "me.jpg", scene(*shape), quality=85, subsampling=2)
    photo = open_photograph(path)
    save_photograph(tmp_path / "edited.jpg", with_spot(photo), photo)
    result = open_image(tmp_path / "edited.jpg")
    away = np.ones(shape, bool)
    away[31:65, 47:97] = False  # blocks of 16 pixels that the spot touches, and beside them
    differs = (result != photo.pixels).any(2)
    assert differs[away].mean() < 0.03
    assert np.abs(result[42:58, 52:78].astype(int) - (200, 30, 60)).mean() < 8
    buffer = io.BytesIO()
    Image.fromarray(with_spot(photo)).save(buffer, "JPEG", quality=85, subsampling=2)
    plain = (open_image(buffer.getvalue()) != photo.pixels).any(2)
    assert differs[away].mean() < 0.3 * plain[away].mean()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientation_is_applied_once(tmp_path: Path, orientation: int) -> None:
    path = saved(tmp_path / "me.jpg", scene(), exif=exif(orientation), quality=90)
    photo = open_photograph(path)
    assert np.array_equal(photo.pixels, open_image(path))
    assert photo.pixels.shape[:2] == ((128, 96) if orientation >= 5 else (96, 128))
    save_photograph(tmp_path / "edited.jpg", photo.pixels, photo)
    with Image.open(tmp_path / "edited.jpg") as image:
        assert 0x0112 not in image.getexif()
        assert image.getexif()[0x010F] == "Maker"
    result = open_image(tmp_path / "edited.jpg").astype(int)
    assert np.abs(result - photo.pixels).mean() < 0.5


def test_the_old_thumbnail_does_not_stay(tmp_path: Path) -> None:
    thumbnail = io.BytesIO()
    Image.fromarray(scene(12, 16)).save(thumbnail, "JPEG")
    small = thumbnail.getvalue()
    head = b"II*\0\x08\0\0\0"  # TIFF: one tag, then a second directory with the thumbnail
    first = b"\x01\0" + b"\x0f\x01\x02\0\x04\0\0\0Abc\0" + (26).to_bytes(4, "little")
    where, length = (56).to_bytes(4, "little"), len(small).to_bytes(4, "little")
    second = b"\x02\0" + b"\x01\x02\x04\0\x01\0\0\0" + where + b"\x02\x02\x04\0\x01\0\0\0" + length
    tiff = head + first + second + b"\0\0\0\0"
    assert len(tiff) == 56
    path = saved(tmp_path / "me.jpg", scene(), exif=b"Exif\0\0" + tiff + small)
    assert small in path.read_bytes()
    photo = open_photograph(path)
    save_photograph(tmp_path / "edited.jpg", photo.pixels, photo)
    assert small not in (tmp_path / "edited.jpg").read_bytes()
    with Image.open(tmp_path / "edited.jpg") as image:
        assert image.getexif()[0x010F] == "Abc"


def test_black_and_white_stays_so(tmp_path: Path) -> None:
    grey = scene()[..., 0]
    for name in ("me.jpg", "me.png", "me.tif"):
        photo = open_photograph(saved(tmp_path / name, grey))
        assert photo.pixels.shape == (96, 128, 3)
        save_photograph(tmp_path / f"edited-{name}", photo.pixels, photo)
        with Image.open(tmp_path / f"edited-{name}") as image:
            assert image.mode == "L"
        save_photograph(tmp_path / f"red-{name}", with_spot(photo), photo)
        with Image.open(tmp_path / f"red-{name}") as image:
            assert image.mode == "RGB"


def test_alpha_is_kept_where_it_can_be(tmp_path: Path) -> None:
    image = Image.fromarray(scene())
    alpha = np.full((96, 128), 255, np.uint8)
    alpha[:20], alpha[20:30] = 0, 100
    image.putalpha(Image.fromarray(alpha))
    photo = open_photograph(saved(tmp_path / "me.png", image))
    assert photo.notes == ()
    assert (photo.pixels[:20] == 255).all()
    assert np.array_equal(photo.pixels[20:], scene()[20:])
    assert save_photograph(tmp_path / "edited.png", photo.pixels, photo) == ()
    assert np.array_equal(np.array(Image.open(tmp_path / "edited.png"))[..., 3], alpha)
    assert kinds(save_photograph(tmp_path / "edited.jpg", photo.pixels, photo)) == ["alpha"]
    assert open_image(tmp_path / "edited.jpg")[:16].min() > 240
    image.putalpha(255)
    assert open_photograph(saved(tmp_path / "opaque.png", image)).alpha is None


def test_cmyk_lab_and_deep_pictures(tmp_path: Path) -> None:
    cmyk = np.zeros((16, 16, 4), dtype=np.uint8)
    cmyk[:, :8, 0] = 255
    photo = open_photograph(saved(tmp_path / "a.jpg", Image.fromarray(cmyk, mode="CMYK")))
    assert kinds(photo.notes) == ["colours"]
    assert np.abs(photo.pixels[8, 3].astype(int) - (0, 255, 255)).max() < 9
    assert save_photograph(tmp_path / "b.jpg", photo.pixels, photo) == ()
    lab = np.zeros((4, 4, 3), np.uint8)
    lab[..., 0] = 128
    photo = open_photograph(saved(tmp_path / "a.tif", Image.fromarray(lab, mode="LAB")))
    assert np.abs(photo.pixels.astype(int) - 119).max() < 4  # L* 50 is a middle grey
    deep = np.linspace(0, 65535, 96 * 128).reshape(96, 128).astype(np.uint16)
    photo = open_photograph(saved(tmp_path / "deep.png", Image.fromarray(deep)))
    assert kinds(photo.notes) == ["depth"]
    assert np.abs(photo.pixels[..., 1] - deep / 257).max() <= 0.5
    light = (np.arange(64, dtype=np.float32) / 63).reshape(8, 8)
    for factor in (1, 255):
        photo = open_photograph(saved(tmp_path / "f.tif", Image.fromarray(factor * light)))
        np.testing.assert_allclose(photo.pixels[..., 0], 255 * light, atol=0.51)


def test_palettes_bits_and_animations(tmp_path: Path) -> None:
    palette = Image.fromarray(scene()).quantize(16)
    photo = open_photograph(saved(tmp_path / "a.png", palette))
    assert np.array_equal(photo.pixels, np.array(palette.convert("RGB")))
    bits = Image.fromarray(scene()[..., 0] > 100)
    assert set(np.unique(open_photograph(saved(tmp_path / "b.png", bits)).pixels)) == {0, 255}
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("#ff0000", "#00ff00")]
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        photo = open_photograph(tmp_path / name)
        assert kinds(photo.notes) == ["animated"]
        assert photo.pixels[..., 0].min() > 240
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert kinds(open_photograph(tmp_path / "a.tif").notes) == ["pages"]


def test_one_pixel(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        photo = open_photograph(saved(tmp_path / name, np.full((1, 1, 3), 90, np.uint8)))
        save_photograph(tmp_path / f"b-{name}", photo.pixels, photo)
        assert open_image(tmp_path / f"b-{name}").shape == (1, 1, 3)


def test_the_photo_itself_is_kept(tmp_path: Path) -> None:
    path = saved(tmp_path / "me.png", scene())
    os.link(path, tmp_path / "same.png")
    before = path.read_bytes()
    photo = open_photograph(path)
    for name in ("me.png", "same.png"):
        with pytest.raises(LatentEditError, match=r"the photo itself.*--force"):
            save_photograph(tmp_path / name, with_spot(photo), photo)
        with pytest.raises(LatentEditError, match="--force"):
            check_target(tmp_path / name, photo)
    assert path.read_bytes() == before
    save_photograph(path, with_spot(photo), photo, force=True)
    assert np.array_equal(open_image(path), with_spot(photo))


@pytest.mark.parametrize("name", ["a.bmp", "a.gif", "a.txt", "a", "no/a.png"])
def test_targets_that_are_refused(tmp_path: Path, name: str) -> None:
    photo = Photograph(scene())
    with pytest.raises(LatentEditError, match=r"cannot (save|write)") as caught:
        save_photograph(tmp_path / name, photo.pixels, photo)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_pixels_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="128 x 96"):
        save_photograph(tmp_path / "a.png", scene()[1:], Photograph(scene()))


def test_damaged_xmp_and_profiles_that_do_not_fit(tmp_path: Path) -> None:
    path = saved(tmp_path / "me.jpg", scene(), xmp=b"<broken", icc_profile=b"x" * 200)
    photo = open_photograph(path)
    notes = save_photograph(tmp_path / "edited.jpg", photo.pixels, photo, recipe=RECIPE)
    assert sorted(kinds(notes)) == ["colours", "metadata"]
    assert read_marks(tmp_path / "edited.jpg").recipe == RECIPE


def test_xmp_too_long_for_a_jpeg(tmp_path: Path) -> None:
    long = XMP.replace(b"a camera", b"x" * 70_000)
    photo = open_photograph(saved(tmp_path / "me.webp", scene(), xmp=long))
    notes = save_photograph(tmp_path / "edited.jpg", photo.pixels, photo, recipe=RECIPE)
    assert kinds(notes) == ["metadata"]
    assert save_photograph(tmp_path / "edited.png", photo.pixels, photo, recipe=RECIPE) == ()
    assert read_marks(tmp_path / "edited.png") == Marks(RECIPE, COMPOSITE)


def test_iptc_s_older_words_stay_in_a_jpeg(tmp_path: Path) -> None:
    words = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x50\0\x03Ann"
    segment = b"\xff\xed" + (len(words) + 2).to_bytes(2, "big") + words
    photo = open_photograph(saved(tmp_path / "me.jpg", scene(), extra=segment))
    save_photograph(tmp_path / "edited.jpg", photo.pixels, photo)
    assert (tmp_path / "edited.jpg").read_bytes().count(segment) == 1


def test_pictures_without_marks_say_nothing(tmp_path: Path) -> None:
    for ending in (*MARKED, "bmp", "gif"):
        assert read_marks(saved(tmp_path / f"a.{ending}", scene())) == Marks()


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_photos(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(content)
    for read in (open_photograph, read_marks):
        with pytest.raises(LatentEditError, match=r"me\.jpg") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_truncated_missing_and_huge(tmp_path: Path) -> None:
    path = saved(tmp_path / "me.jpg", scene())
    with pytest.raises(LatentEditError, match="12,287 allowed: make it smaller"):
        open_photograph(path, max_pixels=12_287)
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(LatentEditError, match="cut short"):
        open_photograph(path)
    with pytest.raises(LatentEditError, match="does not exist"):
        open_photograph(tmp_path / "none.jpg")
    with pytest.raises(LatentEditError, match="folder"):
        open_photograph(tmp_path)


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pip install 'latentedit[photos]'")
    heif.register_heif_opener()
    photo = open_photograph(saved(tmp_path / "me.heic", scene(), quality=90, exif=exif()))
    assert np.abs(photo.pixels.astype(int) - scene()).mean() < 8
    save_photograph(tmp_path / "edited.jpg", photo.pixels, photo, recipe=RECIPE)
    assert read_marks(tmp_path / "edited.jpg") == Marks(RECIPE, COMPOSITE)


def test_heic_without_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "me.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[photos\]'"):
        open_photograph(path)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_in_memory_it_is_what_a_file_would_hold(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path / f"a.{ending}", scene(), xmp=XMP, exif=exif(6))
    from_file, in_memory = open_photograph(path), open_photograph(path.read_bytes())
    np.testing.assert_array_equal(in_memory.pixels, from_file.pixels)
    assert (in_memory.path, in_memory.kept) == (None, from_file.kept)
    target, pixels = tmp_path / f"b.{ending}", with_spot(from_file)
    save_photograph(target, pixels, from_file, recipe=RECIPE)
    content, notes = photograph_bytes(target.name, pixels, in_memory, recipe=RECIPE)
    assert content == target.read_bytes()
    assert notes == ()
    assert read_marks(content) == Marks(RECIPE, COMPOSITE)
    with pytest.raises(LatentEditError, match="pixels"):
        photograph_bytes("c.jpg", pixels[1:], in_memory)


def odd_exif() -> bytes:
    """Words, a turn to the right, and a resolution unit that Pillow reads but cannot write."""
    entries = ((0x010E, 2, 4, b"odd\0"), (0x0112, 3, 1, b"\6\0\0\0"), (0x0128, 2, 2, b"x\0\0\0"))
    rows = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + bytes(4)


def test_a_tag_that_cannot_be_written_costs_only_itself(tmp_path: Path) -> None:
    path = saved(tmp_path / "me.jpg", scene(), exif=odd_exif())
    photo = open_photograph(path)
    assert photo.pixels.shape == (128, 96, 3)  # turned
    assert open_image(path).shape == (128, 96, 3)
    assert kinds(photo.notes) == ["metadata"]
    found = Image.Exif()
    found.load(photo.kept.exif or b"")
    assert dict(found) == {0x010E: "odd"}


def test_exif_too_long_for_a_jpeg_is_left_out_with_a_note(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x010E] = "a" * 70_000
    photo = open_photograph(saved(tmp_path / "me.png", scene(), exif=tags))
    assert kinds(save_photograph(tmp_path / "out.jpg", photo.pixels, photo)) == ["metadata"]
    assert not Image.open(tmp_path / "out.jpg").getexif()


def test_xmp_nested_without_end_is_replaced(tmp_path: Path) -> None:
    photo = open_photograph(saved(tmp_path / "me.png", scene()))
    deep = replace(photo, kept=replace(photo.kept, xmp=b"<a>" * 3000 + b"</a>" * 3000))
    notes = save_photograph(tmp_path / "out.png", photo.pixels, deep)
    assert kinds(notes) in (["metadata"], [])
    assert read_marks(tmp_path / "out.png").source_type == COMPOSITE


def test_a_grey_profile_does_not_go_into_a_webp(tmp_path: Path) -> None:
    grey = Image.fromarray(scene()).convert("L")
    profile = bytearray(SRGB)
    profile[16:20] = b"GRAY"
    photo = open_photograph(saved(tmp_path / "me.png", grey, icc_profile=bytes(profile)))
    notes = save_photograph(tmp_path / "out.webp", photo.pixels, photo)
    assert "colours" in kinds(notes)
    assert "icc_profile" not in Image.open(tmp_path / "out.webp").info
