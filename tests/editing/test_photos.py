"""A photo is opened once, edited many times, and keeps what an edit does not touch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from photo_models import draw_photo, write_bundle
from PIL import Image
from tiny_generators import stylegan2

from latentedit import FaceEditor
from latentedit.editing.photos import PhotoEditor, Portrait, ground_of
from latentedit.editing.saved import read_recipe
from latentedit.errors import LatentEditError
from latentedit.io.images import open_image, reduced, save_image
from latentedit.photos.faces import ALL, choose_faces
from latentedit.photos.photograph import Photograph

pytest.importorskip("dlib", reason="dlib is missing: pip install 'latentedit[photos]'")
pytest.importorskip("face_recognition_models", reason="pip install 'latentedit[photos]'")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoEditor:
    return PhotoEditor.load(write_bundle(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return draw_photo()


@pytest.fixture(scope="module")
def portrait(photos: PhotoEditor, photo: NDArray[np.uint8]) -> Portrait:
    return photos.open(photo, steps=2)


def test_a_portrait_is_data(portrait: Portrait) -> None:
    assert portrait.latents.shape == (8, 16)
    assert portrait.reconstruction.shape == (32, 32, 3)
    assert portrait.aligned(64).shape == (64, 64, 3)
    assert portrait.identity > 0
    assert portrait.origin["steps"] == 2


def test_more_steps_come_nearer(
    photos: PhotoEditor, portrait: Portrait, photo: NDArray[np.uint8]
) -> None:
    refined = photos.open(photo, steps=25)
    assert refined.origin["steps"] == 25
    assert refined.origin["loss"] < portrait.origin["loss"]


def test_an_edit_has_the_photos_size_and_leaves_the_rest(
    photos: PhotoEditor, portrait: Portrait, photo: NDArray[np.uint8]
) -> None:
    edited = photos.edit(portrait, {"Smiling": 3.0}, hold="none")
    assert edited.shape == photo.shape
    assert edited.dtype == np.uint8
    assert (edited != photo).any()
    left, top, right, bottom = portrait.face.alignment.box
    outside = np.ones(photo.shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert (edited[outside] == photo[outside]).all()


def test_no_step_gives_the_photo_back(
    photos: PhotoEditor, portrait: Portrait, photo: NDArray[np.uint8]
) -> None:
    edited = photos.edit(portrait, {"Young": 0.0})
    assert (edited == photo).all()
    assert edited is not photo


def test_judges_look_at_edits_in_the_photo(photos: PhotoEditor, portrait: Portrait) -> None:
    look, size = photos.looks(portrait), photos.editor.judged_size
    edited = photos.editor.edit(portrait.latents[None], {"Smiling": 3.0}, "none")
    own, other = look(np.concatenate((portrait.latents[None], edited)), ["Smiling"])
    np.testing.assert_array_equal(own, portrait.aligned(size))
    assert (other != own).any()
    assert (other == own).any()  # the region of a smile leaves the rest


def test_a_drawn_edit_is_shown_as_it_looks(photos: PhotoEditor, portrait: Portrait) -> None:
    edited = photos.editor.edit(portrait.latents[None], {"Smiling": 3.0}, "none")
    (drawn,), (looked,) = (
        photos.editor.render(edited),
        photos.looks(portrait)(edited, ["Smiling"]),
    )
    np.testing.assert_array_equal(photos.shown(portrait, drawn, ["Smiling"]), looked)
    own = photos.shown(portrait, portrait.reconstruction)
    np.testing.assert_array_equal(own, portrait.aligned(photos.editor.judged_size))


def test_files_and_pixels_open_alike(
    photos: PhotoEditor, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    save_image(tmp_path / "me.png", photo)
    one, two = (photos.open(each, steps=0) for each in (tmp_path / "me.png", photo))
    np.testing.assert_array_equal(one.latents, two.latents)
    assert one.identity == two.identity


def test_faces_are_chosen_by_number(photos: PhotoEditor) -> None:
    two = draw_photo(2)
    assert photos.open(two, steps=0).face.number == 2  # the largest
    assert photos.open(two, 1, steps=0).face.number == 1
    assert [face.number for face in choose_faces(two, ALL)] == [1, 2]


def test_without_an_encoder_refining_begins_at_the_mean(
    tmp_path: Path, photo: NDArray[np.uint8]
) -> None:
    folder = write_bundle(tmp_path)
    for name in ("encoder.json", "encoder.safetensors"):
        (folder / name).unlink()
    photos = PhotoEditor.load(folder, device="cpu")
    assert not photos.has_encoder
    with pytest.raises(LatentEditError, match=r"no encoder.*refine"):
        photos.open(photo, steps=0)
    few, more = (photos.open(photo, steps=steps) for steps in (2, 15))
    assert more.origin["loss"] < few.origin["loss"]


def test_photos_are_safe_for_shorter_steps_than_samples(photos: PhotoEditor) -> None:
    editor, ranges = photos.editor, {"Young": (-6.0, 4.5), "Smiling": (-5.5, 2.0)}
    wide = editor.with_boundaries(replace(editor.boundaries, safe_ranges=ranges))
    narrow = PhotoEditor(wide, photos.encoder).editor.boundaries
    assert narrow.safe_range("Young") == pytest.approx((-3.6, 3.0))
    assert narrow.safe_range("Smiling") == pytest.approx((-3.3, 2.0))
    assert wide.boundaries.safe_ranges == ranges


def test_a_model_with_one_latent_for_all_layers_says_what_to_do(tiny_bundle: Path) -> None:
    with pytest.raises(LatentEditError, match=r"one latent.*ffhq1024"):
        PhotoEditor.load(tiny_bundle, device="cpu")


def test_a_model_of_another_frame_is_refused() -> None:
    with pytest.raises(LatentEditError, match="FFHQ"):
        PhotoEditor(FaceEditor(stylegan2(), device="cpu"))


def test_the_encoder_of_another_generator_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    card = folder / "encoder.json"
    hash_ = FaceEditor.load(folder, device="cpu").generator_hash
    card.write_text(card.read_text().replace(hash_, "0" * len(hash_)))
    with pytest.raises(LatentEditError, match="belongs to generator"):
        PhotoEditor.load(folder, device="cpu")


def test_pixels_of_another_shape_are_refused(photos: PhotoEditor) -> None:
    with pytest.raises(LatentEditError, match="uint8"):
        photos.open(np.zeros((30, 30), np.uint8))
    with pytest.raises(LatentEditError, match="no face"):
        photos.open(np.full((200, 200, 3), 128, np.uint8))


def test_a_portrait_in_a_smaller_photo_stays_where_it_is(
    photos: PhotoEditor, portrait: Portrait, photo: NDArray[np.uint8]
) -> None:
    small = portrait.within(Photograph(reduced(photo, 150)))
    assert small.face.alignment.edge == pytest.approx(portrait.face.alignment.edge / 2)
    assert np.abs(small.aligned(32).astype(int) - portrait.aligned(32)).mean() < 4
    assert portrait.face.face.points is not None
    np.testing.assert_allclose(small.face.face.points, portrait.face.face.points / 2)
    edited = photos.edit(small, {"Smiling": 3.0}, hold="none")
    assert edited.shape == (150, 150, 3)
    assert (edited != small.photo.pixels).any()
    back = small.within(portrait.photo)
    np.testing.assert_allclose(
        back.face.alignment.coefficients, portrait.face.alignment.coefficients
    )


def test_what_was_drawn_already_is_not_drawn_again(photos: PhotoEditor, portrait: Portrait) -> None:
    latents = photos.editor.edit(portrait.latents[None], {"Smiling": 3.0}, hold="none")[0]
    drawn, ground = photos.editor.render(latents[None])[0], ground_of(portrait)
    wanted = photos.put_back(portrait, latents)
    for _ in range(2):  # a ground is the same after it was used
        found = photos.put_back(portrait, latents, drawn=drawn, ground=ground)
        np.testing.assert_array_equal(found, wanted)


def test_a_photo_is_saved_with_a_recipe_that_makes_it_again(
    photos: PhotoEditor, portrait: Portrait, tmp_path: Path
) -> None:
    recipe = photos.editor.recipe({"Smiling": 3.0}, hold="none")
    photos.save(tmp_path / "smiling.png", portrait, recipe)
    np.testing.assert_array_equal(
        open_image(tmp_path / "smiling.png"), photos.apply(portrait, recipe)
    )
    saved = read_recipe(tmp_path / "smiling.png")
    assert saved.of_photo
    (edit,) = saved.edits
    assert (edit.recipe, edit.face, edit.refined) == (recipe, portrait.face.number, 2)


def test_ranges_of_photos_are_not_saved_and_not_narrowed_twice(
    photos: PhotoEditor, tmp_path: Path
) -> None:
    ranges = {"Young": (-6.0, 4.5)}
    wide = photos.editor.with_boundaries(replace(photos.editor.boundaries, safe_ranges=ranges))
    narrow = PhotoEditor(wide, photos.encoder).editor
    again = PhotoEditor(narrow, photos.encoder).editor
    assert again.boundaries.safe_ranges == narrow.boundaries.safe_ranges != ranges
    narrow.save_pretrained(tmp_path / "saved")
    saved = FaceEditor.load(tmp_path / "saved", device="cpu")
    assert saved.boundaries.safe_ranges == ranges


def test_the_callers_pixels_may_be_used_again(
    photos: PhotoEditor, photo: NDArray[np.uint8]
) -> None:
    frame = photo.copy()
    opened = photos.open(frame, steps=0)
    frame[:] = 0
    np.testing.assert_array_equal(opened.photo.pixels, photo)


def test_what_is_no_photo_is_refused(photos: PhotoEditor) -> None:
    for pixels in (np.zeros((0, 0, 3), np.uint8), Image.new("RGB", (9, 9))):
        with pytest.raises(LatentEditError, match="uint8"):
            photos.open(pixels)  # type: ignore[arg-type]
