"""Check the compiled convolutions of the slides' network against its layers."""

from __future__ import annotations

import pytest
import torch
from slides_convolutions import Convolutions
from torch import Tensor

from latentedit.portrait.baseline import SlidesNetwork, SlidesSettings
from latentedit.training.baselines.portraits import Epochs


@pytest.fixture
def network() -> SlidesNetwork:
    torch.manual_seed(0)
    network = SlidesNetwork()
    for bias in (network.depthwise0.bias, network.pointwise.bias, network.depthwise1.bias):
        torch.nn.init.normal_(bias, std=0.1)
    return network


def plain(network: SlidesNetwork, images: Tensor, rows: Tensor) -> Tensor:
    """Return features by torch's layers, in the network's precision."""
    chosen = images[rows].to(network.head.weight.dtype)
    half = len(rows) // 2
    return network.features(torch.cat((chosen[:half], chosen[half:].flip(3))))


@pytest.mark.parametrize("threads", [1, 2])
def test_values_and_gradients_are_those_of_the_layers(
    network: SlidesNetwork, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    convolutions = Convolutions(network, 6)
    reference = SlidesNetwork().double()
    reference.load_state_dict(network.state_dict())
    images = torch.randint(0, 256, (7, 3, 96, 96), dtype=torch.uint8)
    for rows in (torch.tensor([6, 1, 1, 0, 5]), torch.tensor([2])):  # fewer than there is room for
        ours, theirs = convolutions(images, rows), plain(reference, images, rows)
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)
        weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
        found = torch.autograd.grad((ours * weights).sum(), convolutions.parameters)
        wanted = torch.autograd.grad((theirs * weights).sum(), list(reference.parameters())[:8])
        for mine, layers in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine.double(), layers, rtol=1e-4, atol=1e-3)


def test_the_first_of_equals_gets_the_gradient(network: SlidesNetwork) -> None:
    images = torch.full((2, 3, 96, 96), 200, dtype=torch.uint8)  # every maximum has equals
    rows = torch.arange(2)
    convolutions = Convolutions(network, 2)
    ours, theirs = convolutions(images, rows), plain(network, images, rows)
    for mine, layers in zip(
        torch.autograd.grad(ours.sum(), convolutions.parameters),
        torch.autograd.grad(theirs.sum(), convolutions.parameters),
        strict=True,
    ):
        torch.testing.assert_close(mine, layers, rtol=1e-3, atol=1e-2)


def test_an_epoch_is_that_of_the_layers() -> None:
    images = torch.randint(0, 256, (30, 3, 96, 96), dtype=torch.uint8)
    flags = (torch.arange(30) % 2).float()
    after = []
    for compiled in (True, False):
        torch.manual_seed(0)
        epochs = Epochs(images, flags, SlidesSettings(1e-3, 10), bf16=False)
        epochs.network.dropout.p = 0.0
        if compiled:
            epochs.convolutions = Convolutions(epochs.network, 10)  # type: ignore[method-assign]
        figures = epochs.run()
        after.append((figures["loss"], epochs.network.head.weight.detach()))
    assert after[0][0] == pytest.approx(after[1][0], rel=1e-4)
    torch.testing.assert_close(after[0][1], after[1][1], rtol=1e-3, atol=1e-4)
