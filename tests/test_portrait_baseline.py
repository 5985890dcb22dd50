"""The slides' network, rearranged, against its layers written out one after the other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit.portrait_baseline import SETTINGS, SlidesNetwork, _pool, slides_macs
from latentedit.portrait_network import QUALITIES


def written_out(net: SlidesNetwork, images: Tensor) -> Tensor:
    x = F.max_pool2d(F.relu(net.depthwise0(images / 255)), 2)
    x = F.relu(net.pointwise(x))
    x = F.max_pool2d(F.relu(net.depthwise1(x)), 2)
    x = F.max_pool2d(F.relu(net.depthwise2(x)), 2)
    return net.head(F.relu(net.dense(x.flatten(1)))).squeeze(1)


def test_values_and_gradients_are_those_of_the_layers() -> None:
    torch.manual_seed(0)
    net = SlidesNetwork().double().eval()
    for bias in (net.depthwise0.bias, net.pointwise.bias, net.depthwise1.bias):
        torch.nn.init.normal_(bias, std=0.1)
    images = torch.randint(0, 256, (3, 3, 96, 96)).double()
    ours, theirs = net(images), written_out(net, images)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    parameters = list(net.parameters())
    for mine, plain in zip(
        torch.autograd.grad(ours.sum(), parameters),
        torch.autograd.grad(theirs.sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(mine, plain, rtol=1e-8, atol=1e-12)


def test_pooling_gives_the_gradient_of_ties_to_the_first() -> None:
    x = torch.tensor([[1.0, 1.0, 0.0, 2.0], [1.0, 0.0, 2.0, 2.0]]).view(1, 1, 2, 4)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    _pool(ours).sum().backward()
    F.max_pool2d(theirs, 2).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooling_is_torchs(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, 8).to(dtype)
    torch.testing.assert_close(_pool(x), F.max_pool2d(x, 2))


def test_size_and_settings_are_the_slides() -> None:
    assert sum(p.numel() for p in SlidesNetwork().parameters()) == 30 + 128 + 2 * 320 + 589952 + 129
    assert slides_macs() == 27648 * 9 + 2304 * 96 + 73728 * 9 + 18432 * 9 + 4608 * 128 + 128
    assert SETTINGS.keys() == set(QUALITIES)
    assert {name: s.learning_rate for name, s in SETTINGS.items()} == {
        "blur": 0.00278,
        "occlusion": 0.0032585,
        "make-up": 0.003,
        "illumination": 0.005,
        "expression": 0.0055,
        "pose": 0.005,
    }
    assert [s.batch_size for s in SETTINGS.values()] == [100, 50, 100, 100, 100, 100]
    assert {s.epochs for s in SETTINGS.values()} == {100}
