"""The slides' network: its layers, size and settings."""

from __future__ import annotations

import torch

from latentedit.classifiers.portrait import QUALITIES
from latentedit.portrait.baseline import SETTINGS, SlidesNetwork, slides_macs


def test_pixels_are_scaled_and_every_layer_counts() -> None:
    torch.manual_seed(0)
    net = SlidesNetwork().eval()
    images = torch.rand(2, 3, 96, 96) * 255
    assert net(images).shape == (2,)
    gradients = torch.autograd.grad(net(images).sum(), list(net.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    with torch.no_grad():
        plain = net.features(images)
        net.depthwise0.weight.mul_(255)
        torch.testing.assert_close(net.features(images / 255), plain)


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
