"""The portrait network: shapes, where its answers come from, calibration."""

from __future__ import annotations

import pytest
import torch

from latentedit.classifiers.portrait import QUALITIES, PortraitConfig, PortraitNetwork

TINY = PortraitConfig(resolution=32, stem=4, widths=(8, 8), blocks=(1, 1))


def network(config: PortraitConfig = TINY) -> PortraitNetwork:
    torch.manual_seed(0)
    return PortraitNetwork(config).eval()


def test_any_size_gives_six_logits() -> None:
    for size in (20, 32, 50):
        assert network()(torch.rand(3, 3, size, size) * 2 - 1).shape == (3, len(QUALITIES))


def test_the_shipped_shape_fits_five_megabytes() -> None:
    values = sum(value.numel() for value in PortraitNetwork().state_dict().values())
    assert 4 * values < 5_000_000


def test_maps_add_up_to_the_logits() -> None:
    net, images = network(), torch.rand(2, 3, 32, 32) * 2 - 1
    net.calibrate(torch.full((6,), 2.0), torch.linspace(-1, 1, 6))
    logits, maps = net.look(images)
    assert maps.shape == (2, 6, 4, 4)
    torch.testing.assert_close(logits, net(images))
    whole = maps.mean((2, 3)) + net.head.bias * net.scale + net.shift
    torch.testing.assert_close(whole, logits)


def test_calibrations_follow_each_other() -> None:
    net, images = network(), torch.rand(2, 3, 32, 32)
    plain = net(images)
    scale, shift = torch.linspace(0.5, 2, 6), torch.linspace(-1, 1, 6)
    net.calibrate(scale, shift)
    net.calibrate(scale, shift)
    torch.testing.assert_close(net(images), (plain * scale + shift) * scale + shift)
    assert {"scale", "shift"} <= net.state_dict().keys()
    with pytest.raises(RuntimeError):
        net.calibrate(torch.ones(5), torch.zeros(6))
