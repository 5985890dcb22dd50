"""Epochs of the slides' networks."""

from __future__ import annotations

import pytest
import torch

from latentedit.portrait.baseline import SlidesSettings
from latentedit.training.baselines.portraits import Epochs


def test_half_of_a_batch_is_mirrored() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 96, 96), dtype=torch.uint8)
    epochs = Epochs(images, torch.ones(3), SlidesSettings(1e-3, 10), bf16=False)
    network = epochs.network
    found = epochs.convolutions(images, torch.tensor([2, 0, 1]))
    turned = [images[2], images[0].flip(2), images[1].flip(2)]
    torch.testing.assert_close(found, network.features(torch.stack(turned).float()))
    plain = epochs.convolutions(images, torch.arange(3), mirror=False)
    torch.testing.assert_close(plain, network.features(images.float()))


def test_accuracy_is_that_of_the_network_on_portraits_as_they_are() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (23, 3, 96, 96), dtype=torch.uint8)
    epochs = Epochs(images, torch.ones(23), SlidesSettings(1e-3, 10), bf16=False)
    torch.nn.init.normal_(epochs.network.dense.bias)
    answers = epochs.network.eval()(images.float()).detach()
    flags = (answers > answers.median()).float()
    epochs.network.head.bias.data -= answers.median()
    one = 1.001 / 23  # the portrait at the median itself
    assert epochs.accuracy(images, flags) == pytest.approx(1.0, abs=one)
    assert epochs.accuracy(images, 1 - flags) == pytest.approx(0.0, abs=one)
