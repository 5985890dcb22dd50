from __future__ import annotations

import pytest
import torch
from torch import nn

from latentedit.training.gan.patches import GAIN, PatchDiscriminator


def test_a_score_sees_a_patch_and_nothing_else() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(width=4).eval()
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    scores = network(images)
    assert scores.shape == (1, 1, 16, 16)
    (slope,) = torch.autograd.grad(scores[0, 0, 8, 8], images)
    rows = slope.abs().sum((0, 1, 3)).nonzero().flatten()
    columns = slope.abs().sum((0, 1, 2)).nonzero().flatten()
    assert len(rows) == rows[-1] - rows[0] + 1 == 20
    assert len(columns) == 20


def test_layers_are_normalised_and_faint_detail_is_magnified() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(width=4)
    images = torch.rand(4, 3, 32, 32)
    for _ in range(100):  # power iterations
        network(images)
    network.eval()
    convolutions = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 5
    for layer in convolutions:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.01)
    with torch.no_grad():
        assert torch.equal(network(images), network.layers(GAIN * images))
