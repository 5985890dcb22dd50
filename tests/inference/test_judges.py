"""Judges: the frame they look at, sizes, and what is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from latentedit.classifiers.age import AgeConfig, AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.generators.base import FFHQ_FRAME, SHARED_FRAME, Frame
from latentedit.inference.judges import Judges

pytestmark = pytest.mark.fast_form

INNER = Frame(0.25, 0.25, 0.75, 0.75)


def faces(size: int, count: int = 3) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (count, size, size, 3), np.uint8)


def brightness(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3))


@pytest.fixture
def age_estimator() -> AgeEstimator:
    torch.manual_seed(3)
    return AgeEstimator(AgeConfig(resolution=16, stem=4, widths=(8, 8), blocks=(1, 1))).eval()


def test_only_the_frame_is_looked_at(
    tiny_classifier: AttributeClassifier, age_estimator: AgeEstimator
) -> None:
    judges = Judges(tiny_classifier, age_estimator, frame=INNER, device="cpu")
    plain = judges.with_frame(SHARED_FRAME)
    images = faces(64)
    inside = images[:, 16:48, 16:48]
    np.testing.assert_array_equal(judges.score(images), plain.score(inside))
    np.testing.assert_array_equal(judges.age(images), plain.age(inside))
    for ours, theirs in zip(
        judges.logits_features_and_maps(images),
        plain.logits_features_and_maps(inside),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert judges.frame == INNER
    assert not np.array_equal(judges.score(images), plain.score(images))


def test_pictures_that_are_cut_tightly_are_cut_no_further(age_estimator: AgeEstimator) -> None:
    judges = Judges(None, age_estimator, frame=INNER, device="cpu")
    plain = judges.with_frame(SHARED_FRAME)
    images = faces(32)
    np.testing.assert_array_equal(judges.age(images, tight=True), plain.age(images, tight=True))
    assert not np.array_equal(judges.age(images, tight=True), judges.age(images))


@pytest.mark.parametrize("size", [8, 32, 100])
def test_pictures_of_any_size(tiny_classifier: AttributeClassifier, size: int) -> None:
    judges = Judges(tiny_classifier, frame=FFHQ_FRAME, device="cpu", batch_size=2)
    seen = judges.score(faces(size))
    assert (seen.shape, seen.dtype) == ((3, 40), np.float32)
    np.testing.assert_allclose(judges.with_batch_size(1).score(faces(size)), seen, atol=1e-5)


def test_an_age_estimator_of_ones_own_sees_the_frame_too() -> None:
    judges = Judges(None, brightness, frame=INNER, device="cpu")
    images = np.zeros((1, 8, 8, 3), np.uint8)
    images[:, 2:6, 2:6] = 255
    assert judges.age(images)[0] == pytest.approx(1)
    assert judges.age(images, tight=True)[0] == pytest.approx(-0.5)
    assert judges.age_hash == "function"


def test_judges_that_are_not_there_are_named() -> None:
    judges = Judges(name="tiny", device="cpu")
    assert (judges.scores, judges.estimates_age, judges.age_hash) == (False, False, None)
    with pytest.raises(LatentEditError, match="model tiny has no classifier"):
        judges.score(faces(8))
    with pytest.raises(LatentEditError, match="model tiny has no age estimator"):
        judges.age(faces(8))


def test_a_single_picture_is_one_face(tiny_bundle: Path) -> None:
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    images = editor.render(editor.sample([3, 4]))
    one = editor.score(images[0])
    assert one.shape == (1, 40)
    np.testing.assert_allclose(one, editor.score(images[:1]), atol=1e-6)
    with pytest.raises(LatentEditError, match=r"uint8 \[N, H, W, 3\], got float64"):
        editor.score(images[0].astype(float))
