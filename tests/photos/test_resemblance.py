"""Resemblance is best for the photo itself, and worse the more differs."""

from __future__ import annotations

import pytest
import torch

from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.dlib_network import CHIP, DlibFaceNetwork, chips
from latentedit.generators.base import FFHQ_FRAME
from latentedit.photos.resemblance import Resemblance, ResemblanceWeights


def network() -> AttributeClassifier:
    torch.manual_seed(0)
    return AttributeClassifier(ClassifierConfig(32, 4, (4, 8, 8), (1, 1, 1)))


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.rand(2, 3, 64, 64) * 2 - 1


@pytest.mark.parametrize("identity", [False, True])
def test_the_photo_itself_resembles_most(photos: torch.Tensor, identity: bool) -> None:
    torch.manual_seed(2)
    resemblance = Resemblance(network(), FFHQ_FRAME, DlibFaceNetwork() if identity else None)
    wanted = resemblance.look(photos)
    assert resemblance(photos, wanted).abs().max() < 1e-4
    noise = torch.randn_like(photos)
    near = resemblance(photos + 0.05 * noise, wanted)
    far = resemblance(photos + 0.3 * noise, wanted)
    assert (near > 0).all()
    assert (near < far).all()


def test_it_has_gradients(photos: torch.Tensor) -> None:
    resemblance = Resemblance(network(), FFHQ_FRAME, DlibFaceNetwork())
    drawn = (photos * 0.5).requires_grad_()
    resemblance(drawn, resemblance.look(photos)).sum().backward()
    assert drawn.grad is not None
    assert drawn.grad.abs().sum() > 0


def test_weights_choose_what_counts(photos: torch.Tensor) -> None:
    nothing = Resemblance(network(), FFHQ_FRAME, None, ResemblanceWeights(0, 0, 0))
    assert nothing(photos * 0, nothing.look(photos)).abs().max() == 0


def test_chips_of_any_size_are_dlibs(photos: torch.Tensor) -> None:
    cut = chips(photos)
    assert cut.shape == (2, 3, CHIP, CHIP)
    assert cut.min() >= 0
    assert cut.max() <= 255
