from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from latentedit.classifiers.age import EYES_IN_CHIP, EYES_IN_FRAME
from latentedit.training.augment import (
    affine,
    blur,
    colour,
    cutout,
    erase,
    flip,
    reframe,
    translate,
)

few = settings(max_examples=15)


def faces(count: int = 16, edge: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, edge, edge, generator=generator) * 2 - 1


@pytest.mark.parametrize("change", [flip, affine, colour, translate])
def test_changes_are_random_yet_repeatable(change: Callable[[Tensor], Tensor]) -> None:
    images = faces(1, 16).expand(16, 3, 16, 16)
    torch.manual_seed(1)
    first, second = change(images), change(images)
    torch.manual_seed(1)
    assert torch.equal(change(images), first)
    assert not torch.equal(first, second)
    assert len({picture.sum(0).mul(1e4).round().numpy().tobytes() for picture in first}) > 1
    assert first.shape == images.shape


@pytest.mark.parametrize("change", [flip, affine, colour, translate])
def test_changes_let_gradients_through(change: Callable[[Tensor], Tensor]) -> None:
    images = faces(4, 16).requires_grad_()
    change(images).square().sum().backward()
    assert (images.grad.abs().sum((1, 2, 3)) > 0).all()


def test_a_flip_mirrors_about_half_of_the_pictures_whole() -> None:
    torch.manual_seed(0)
    images = faces(200, 4)
    flipped = flip(images)
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 60 < mirrored.sum() < 140


def test_no_strength_is_no_change() -> None:
    images = faces()
    plain = affine(images, degrees=0, view=(1, 1), shift=0)
    torch.testing.assert_close(plain, images, rtol=0, atol=1e-5)
    plain = colour(images, brightness=0, contrast=0, saturation=0)
    torch.testing.assert_close(plain, images, rtol=0, atol=1e-6)
    assert torch.equal(translate(images, shift=0), images)


def ramp(count: int, edge: int) -> Tensor:
    """Each pixel's column, in the first channel, and row, in the second."""
    place = torch.arange(float(edge))
    columns, rows = place.expand(edge, edge), place.view(-1, 1).expand(edge, edge)
    return torch.stack((columns, rows, columns + rows)).expand(count, 3, edge, edge).clone()


def inner(images: Tensor, margin: int) -> Tensor:
    return images[..., margin:-margin, margin:-margin]


@few
@given(st.integers(0, 999), st.floats(0.01, 0.1))
def test_affine_moves_stay_within_the_shift(seed: int, shift: float) -> None:
    torch.manual_seed(seed)
    images = ramp(32, 41)
    moved = inner(affine(images, degrees=0, view=(1, 1), shift=shift) - images, 8)
    for channel in (0, 1):
        by = moved[:, channel].flatten(1)
        assert (by.amax(1) - by.amin(1)).max() < 1e-2  # the whole picture moves by one amount
        assert 0.6 * shift * 41 < by.abs().max() <= shift * 41 + 1e-2


@few
@given(st.integers(0, 999))
def test_affine_turns_and_scales_about_the_centre_within_bounds(seed: int) -> None:
    torch.manual_seed(seed)
    images = ramp(32, 41)
    turned = affine(images, degrees=10, view=(1, 1), shift=0)
    zoomed = affine(images, degrees=0, view=(1 / 1.2, 1.2), shift=0)
    for changed in (turned, zoomed):
        torch.testing.assert_close(changed[..., 20, 20], images[..., 20, 20], rtol=0, atol=1e-2)
    across = (turned[:, 0, 20, 30] - turned[:, 0, 20, 10]) / 20  # the cosine of the angle
    down = (turned[:, 1, 20, 30] - turned[:, 1, 20, 10]) / 20  # its sine
    torch.testing.assert_close(across**2 + down**2, torch.ones(32), rtol=0, atol=1e-2)
    assert 0.6 * 0.1736 < down.abs().max() <= 0.1736 + 1e-3  # the sine of 10 degrees
    size = (zoomed[:, 0, 20, 30] - zoomed[:, 0, 20, 10]) / 20
    assert 1 / 1.2 - 1e-3 <= size.min() < 0.92
    assert 1.08 < size.max() <= 1.2 + 1e-3


def test_affine_fills_from_inside_the_picture() -> None:
    torch.manual_seed(0)
    white = torch.ones(16, 3, 9, 9)
    filled = affine(white, degrees=45, view=(1 / 1.3, 1.3), shift=0.3)
    torch.testing.assert_close(filled, white, rtol=0, atol=1e-5)


@few
@given(st.integers(0, 999))
def test_colour_changes_only_what_it_names(seed: int) -> None:
    torch.manual_seed(seed)
    images, levels = faces(64), (1, 2, 3)
    brighter = colour(images, brightness=0.2, contrast=0, saturation=0) - images
    assert 0.15 < brighter.abs().max() <= 0.2 + 1e-6
    assert (brighter.amax(levels) - brighter.amin(levels)).max() < 1e-6
    harder = colour(images, brightness=0, contrast=0.2, saturation=0)
    torch.testing.assert_close(harder.mean(levels), images.mean(levels), rtol=0, atol=1e-5)
    ratio = harder.std(levels) / images.std(levels)
    assert 0.8 - 1e-5 <= ratio.min() < 0.9
    assert 1.1 < ratio.max() <= 1.2 + 1e-5
    vivid = colour(images, brightness=0, contrast=0, saturation=0.3)
    torch.testing.assert_close(vivid.mean(1), images.mean(1), rtol=0, atol=1e-5)
    ratio = vivid.std(1).mean((1, 2)) / images.std(1).mean((1, 2))
    assert 0.7 - 1e-5 <= ratio.min() < 0.85
    assert 1.15 < ratio.max() <= 1.3 + 1e-5


@few
@given(st.integers(0, 999), st.integers(3, 9), st.integers(3, 9), st.floats(0, 0.5))
def test_translation_is_by_whole_pixels_with_black_behind(
    seed: int, height: int, width: int, shift: float
) -> None:
    torch.manual_seed(seed)
    images = torch.rand(6, 2, height, width) + 0.1
    reach_y, reach_x = round(height * shift), round(width * shift)

    def moved(picture: Tensor, down: int, right: int) -> Tensor:
        result = torch.zeros_like(picture)
        for y in range(height):
            for x in range(width):
                if 0 <= y + down < height and 0 <= x + right < width:
                    result[:, y, x] = picture[:, y + down, x + right]
        return result

    for before, after in zip(images, translate(images, shift=shift), strict=True):
        assert any(
            torch.equal(after, moved(before, down, right))
            for down in range(-reach_y, reach_y + 1)
            for right in range(-reach_x, reach_x + 1)
        )


def test_translation_reaches_its_bounds_both_ways() -> None:
    torch.manual_seed(0)
    corners = {
        tuple(torch.nonzero(picture[0])[0].tolist())
        for picture in translate(
            torch.nn.functional.pad(torch.ones(400, 1, 1, 1), (4, 4, 4, 4)), shift=2 / 9
        )
    }
    assert corners == {(y, x) for y in range(2, 7) for x in range(2, 7)}


def test_blur_lowers_the_resolution_of_some_and_leaves_the_others() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 3, 16, 16) * 2 - 1
    changed = blur(images, least=0.4)
    same = (changed == images).flatten(1).all(1)
    assert 10 < same.sum() < 54
    rough, smooth = (x.diff(dim=-1).abs().mean() for x in (images[~same], changed[~same]))
    assert smooth < rough
    torch.testing.assert_close(changed.mean((2, 3)), images.mean((2, 3)), rtol=0, atol=0.1)


@given(st.integers(0, 50))
def test_erase_greys_out_one_rectangle_no_larger_than_allowed(seed: int) -> None:
    torch.manual_seed(seed)
    hole = erase(torch.ones(20, 3, 20, 20), most=0.4)[:, 0] == 0
    assert not hole.all((1, 2)).any()
    assert (~hole.any(2).any(1)).any()
    for picture in hole[hole.any(2).any(1)]:
        rows, columns = picture.any(1), picture.any(0)
        assert torch.equal(picture, rows[:, None] & columns[None])
        assert rows.sum() <= 9
        assert columns.sum() <= 9


def test_chips_are_shown_as_in_the_frame_and_frames_as_in_a_chip() -> None:
    torch.manual_seed(0)
    edge = 101
    for chips, own, other in ((True, EYES_IN_CHIP, EYES_IN_FRAME), (False, EYES_IN_FRAME, 0.303)):
        pictures = torch.zeros(60, 3, edge, edge)
        eyes = round(own * edge)
        pictures[:, :, eyes - 2 : eyes + 3, edge // 2 - 2 : edge // 2 + 3] = 1
        seen = reframe(pictures, torch.full((60,), chips))
        # what fills a frame around the chip may show eyes too, but only above
        lit = seen[:, 0, :, edge // 2 - 2 : edge // 2 + 3].sum(2) > 2
        heights = [float(torch.nonzero(rows).max()) / edge for rows in lit]
        assert sum(abs(height - own) < 0.03 for height in heights) > 20
        assert sum(abs(height - own) > 0.05 for height in heights) > 10
        furthest = max(heights, key=lambda height: abs(height - own))
        assert furthest == pytest.approx(other, abs=0.05)


@given(st.integers(0, 50))
def test_cutout_covers_one_square_of_half_the_edge_at_most(seed: int) -> None:
    torch.manual_seed(seed)
    hole = cutout(torch.ones(20, 3, 16, 16))[:, 0] == 0
    rows, columns = hole.any(2).sum(1), hole.any(1).sum(1)
    assert ((rows >= 4) & (rows <= 8) & (columns >= 4) & (columns <= 8)).all()
    assert torch.equal(hole.sum((1, 2)), rows * columns)


def test_translation_can_fill_from_inside_the_picture() -> None:
    torch.manual_seed(0)
    white = torch.ones(16, 3, 9, 9)
    assert (translate(white, shift=0.3) == 0).any()
    assert (translate(white, shift=0.3, fill="reflect") == 1).all()
