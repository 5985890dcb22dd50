from __future__ import annotations

import pytest
import torch
from torch import nn

from latentedit.classifiers.backbone import Backbone, BackboneConfig, ResidualBlock

TINY = BackboneConfig(resolution=16, stem=4, widths=(8, 6), blocks=(1, 2))


@pytest.fixture
def network() -> Backbone:
    torch.manual_seed(0)
    return Backbone(TINY, 5).eval()


def test_stages_halve_the_resolution_and_the_last_is_averaged(network: Backbone) -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    stages = network.features(images)
    assert [tuple(stage.shape) for stage in stages] == [(2, 8, 8, 8), (2, 6, 4, 4)]
    torch.testing.assert_close(network.pooled(images), stages[-1].mean((2, 3)))
    torch.testing.assert_close(network.logits(images), network.head(network.pooled(images)))
    assert network.features(images, 8)[0].shape == (2, 8, 4, 4)


@pytest.mark.parametrize("edge", [7, 16, 33])
def test_pictures_of_any_size_are_resized_inside(network: Backbone, edge: int) -> None:
    assert network.logits(torch.zeros(1, 3, edge, edge)).shape == (1, 5)


def test_normalisation_is_set_from_faces_and_saved(network: Backbone) -> None:
    faces = torch.rand(50, 3, 16, 16) * torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
    network.normalise_to(faces)
    seen: list[torch.Tensor] = []
    network.stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.logits(faces)
    torch.testing.assert_close(seen[0].mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[0].std((0, 2, 3)), torch.ones(3), rtol=0, atol=1e-4)
    assert {"mean", "std"} <= network.state_dict().keys()


def test_a_block_passes_its_input_where_its_convolutions_are_silent() -> None:
    block = ResidualBlock(4, 4, 1).eval()
    nn.init.zeros_(block.norm1.weight)
    x = torch.rand(1, 4, 6, 6)
    torch.testing.assert_close(block(x), x)
