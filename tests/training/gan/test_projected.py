from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from latentedit.training.gan.projected import ProjectedDiscriminator

WIDTHS = (3, 5, 7)


@pytest.fixture
def network() -> ProjectedDiscriminator:
    torch.manual_seed(0)
    return ProjectedDiscriminator(WIDTHS, channels=6)


def stages(count: int = 2, edge: int = 16) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(count, c, edge >> i, edge >> i) for i, c in enumerate(WIDTHS)]


def test_mixing_keeps_sizes_and_gives_all_stages_one_width(
    network: ProjectedDiscriminator,
) -> None:
    mixed = network.mix(stages())
    assert [tuple(stage.shape) for stage in mixed] == [(2, 6, 16, 16), (2, 6, 8, 8), (2, 6, 4, 4)]


def test_coarse_stages_are_mixed_into_finer_ones_and_not_back(
    network: ProjectedDiscriminator,
) -> None:
    before = network.mix(stages())
    for changed in range(3):
        inputs = stages()
        inputs[changed] = inputs[changed] + 1
        differs = [not torch.equal(a, b) for a, b in zip(before, network.mix(inputs), strict=True)]
        assert differs == [stage <= changed for stage in range(3)]


def test_there_is_one_score_map_a_stage_down_to_one_size(network: ProjectedDiscriminator) -> None:
    scores = network(network.mix(stages(edge=32)))
    assert [tuple(map.shape) for map in scores] == [(2, 1, 16, 16), (2, 1, 16, 16), (2, 1, 8, 8)]


def test_only_the_heads_learn(network: ProjectedDiscriminator) -> None:
    learning = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert learning
    assert all(name.startswith("heads.") for name in learning)
    fixed = {name for name, _ in network.named_parameters()} - learning
    assert all(name.startswith(("mix_channels.", "mix_scales.")) for name in fixed)
    sum(score.sum() for score in network(network.mix(stages()))).backward()
    for name, weight in network.named_parameters():
        assert (weight.grad is not None) == (name in learning)


def test_gradients_reach_the_frozen_networks_stages(network: ProjectedDiscriminator) -> None:
    inputs = [stage.requires_grad_() for stage in stages()]
    sum(score.sum() for score in network(network.mix(inputs))).backward()
    assert all(stage.grad.abs().sum() > 0 for stage in inputs)


def test_heads_are_spectrally_normalised(network: ProjectedDiscriminator) -> None:
    features = network.mix(stages())
    with torch.no_grad():
        for _ in range(50):  # each forward pass is one step of the power iteration
            network(features)
    convolutions = [m for m in network.heads.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) >= 6
    for convolution in convolutions:
        largest = torch.linalg.svdvals(convolution.weight.detach().flatten(1))[0]
        assert float(largest) == pytest.approx(1, abs=0.05)


def test_the_random_projections_are_part_of_the_state() -> None:
    torch.manual_seed(0)
    first = ProjectedDiscriminator(WIDTHS, channels=6)
    second = ProjectedDiscriminator(WIDTHS, channels=6)
    inputs = stages()
    assert not torch.equal(first.mix(inputs)[0], second.mix(inputs)[0])
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.mix(inputs)[0], second.mix(inputs)[0])
