"""Measures on pixels against known values and limits."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from portraits import SKINS, draw_portrait

from latentedit.errors import LatentEditError
from latentedit.evaluation.generators.pictures import (
    _blur,
    _cut,
    _pyramid,
    detected,
    ms_ssim,
    ms_ssim_scales,
    sliced_wasserstein,
)


def textures(count: int, edge: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random pictures with structure at every scale, uint8 [N, edge, edge, 3]."""
    random = np.random.RandomState(seed)
    total = np.zeros((count, edge, edge, 3))
    for size in (4, 8, 16, edge):
        coarse = random.randint(0, 256, (count, size, size, 3), dtype=np.uint8)
        total += [np.array(Image.fromarray(c).resize((edge, edge))) for c in coarse]
    return (total / 4).astype(np.uint8)


def blurred(images: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    blur = ImageFilter.GaussianBlur(radius)
    return np.stack([np.array(Image.fromarray(image).filter(blur)) for image in images])


def test_sliced_wasserstein_of_a_set_and_itself() -> None:
    images = textures(6, 32)
    assert sliced_wasserstein(images, images) == {"32": 0, "16": 0, "mean": 0}


def test_sliced_wasserstein_grows_with_blur_and_most_at_the_finest_level() -> None:
    images, others = textures(16, 64), textures(16, 64, seed=1)
    real = sliced_wasserstein(images, others)
    soft, softer = (sliced_wasserstein(images, blurred(others, radius)) for radius in (0.6, 1.5))
    assert list(real) == ["64", "32", "16", "mean"]
    assert real["64"] < soft["64"] < softer["64"]
    assert softer["64"] / real["64"] > softer["16"] / real["16"]
    assert real["mean"] == pytest.approx((real["64"] + real["32"] + real["16"]) / 3)


def test_sliced_wasserstein_is_seeded_and_cuts_to_the_shorter_set() -> None:
    images, others = textures(8, 16), textures(8, 16, seed=1)
    first = sliced_wasserstein(images, others[:4], seed=1)
    assert sliced_wasserstein(images[:4], others[:4], seed=1) == first
    assert sliced_wasserstein(images, others[:4], seed=2) != first


def test_sliced_distance_of_shifted_points_is_the_mean_shadow_of_the_shift() -> None:
    from latentedit.evaluation.generators.pictures import _sliced_distance

    points, shift = torch.zeros(5, 3), torch.tensor([0.0, 0.0, 2.0])
    found = _sliced_distance(points, points + shift, torch.Generator().manual_seed(0))
    assert found == pytest.approx(1.0, abs=0.1)  # E|cos| on the sphere is 1/2, times 2


def test_pyramid_adds_up_and_flat_pictures_have_no_detail() -> None:
    x = torch.rand(2, 3, 64, 64)
    fine, middle, rest = _pyramid(x)
    assert [level.shape[2] for level in (fine, middle, rest)] == [64, 32, 16]

    def enlarge(small: torch.Tensor) -> torch.Tensor:
        large = torch.zeros(*small.shape[:2], 2 * small.shape[2], 2 * small.shape[3])
        large[:, :, ::2, ::2] = small
        return 4 * _blur(large)

    torch.testing.assert_close(fine + enlarge(middle + enlarge(rest)), x)
    flat = _pyramid(torch.full((1, 3, 32, 32), 100.0))
    assert flat[0][:, :, 4:-4, 4:-4].abs().max() < 1e-4
    torch.testing.assert_close(flat[1], torch.full((1, 3, 16, 16), 100.0))


def test_patches_are_squares_of_one_picture() -> None:
    edge = 12
    x = torch.arange(2 * 3 * edge * edge).reshape(2, 3, edge, edge).float()
    patches = _cut(x, torch.Generator().manual_seed(0)).reshape(2, 128, 3, 7, 7)
    for owner in range(2):
        for patch in patches[owner, :20]:
            corner = int(patch[0, 0, 0]) - owner * 3 * edge * edge
            top, left = divmod(corner, edge)
            torch.testing.assert_close(patch, x[owner, :, top : top + 7, left : left + 7])


def test_pictures_of_unequal_or_too_small_size() -> None:
    with pytest.raises(LatentEditError, match="pictures of one size"):
        sliced_wasserstein(textures(2, 16), textures(2, 32))
    with pytest.raises(LatentEditError, match="pictures of one size"):
        sliced_wasserstein(textures(2, 4), textures(2, 4))


@pytest.mark.parametrize(
    ("edge", "scales"), [(11, 1), (16, 1), (32, 2), (64, 3), (128, 4), (256, 5), (1024, 5)]
)
def test_ms_ssim_scales(edge: int, scales: int) -> None:
    assert ms_ssim_scales(edge) == scales


@pytest.mark.parametrize("edge", [11, 16, 30, 44, 64, 90])
def test_ms_ssim_of_pairs(edge: int) -> None:
    pytest.importorskip("torchmetrics", reason="pip install 'latentedit[evaluate]'")
    images = textures(6, edge)
    assert ms_ssim(np.repeat(images, 2, axis=0)) == pytest.approx(1, abs=1e-4)
    assert ms_ssim(images) < 0.9


def test_ms_ssim_takes_pairs_in_order_in_any_batch() -> None:
    pytest.importorskip("torchmetrics", reason="pip install 'latentedit[evaluate]'")
    images = textures(7, 32)
    pairs = [ms_ssim(images[start : start + 2]) for start in (0, 2, 4)]
    assert ms_ssim(images) == pytest.approx(np.mean(pairs))
    assert ms_ssim(images, batch_size=2) == pytest.approx(np.mean(pairs))


def test_ms_ssim_of_too_little() -> None:
    with pytest.raises(LatentEditError, match="pairs"):
        ms_ssim(textures(1, 16))
    with pytest.raises(LatentEditError, match="11 pixels"):
        ms_ssim(textures(2, 8))


def test_detected() -> None:
    pytest.importorskip("dlib", reason="dlib is missing: pip install 'latentedit[evaluate]'")
    faces = [draw_portrait((64, 64), (32, 32), 17, skin=skin) for skin in SKINS[:2]]
    images = np.stack([*faces, textures(1, 64)[0], np.zeros((64, 64, 3), np.uint8)])
    np.testing.assert_array_equal(detected(images), [True, True, False, False])
    assert detected(images[:0]).shape == (0,)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dlib", "torchmetrics.functional.image"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[evaluate\]'"):
        detected(textures(1, 16))
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[evaluate\]'"):
        ms_ssim(textures(2, 16))
