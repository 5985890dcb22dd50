from __future__ import annotations

import torch
from torch import nn

from latentedit.generators.progressive import Generator
from latentedit.pretrained.hashing import weights_hash


def small() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_equal_weights_have_one_hash_however_they_are_stored() -> None:
    first, second = small(), small().to(memory_format=torch.channels_last)
    assert second[0].weight.stride() != first[0].weight.stride()
    assert weights_hash(first) == weights_hash(second)
    assert len(weights_hash(first)) == 16
    assert set(weights_hash(first)) <= set("0123456789abcdef")


def test_the_hash_does_not_drift() -> None:
    # boundaries on disk carry this hash: a new way to compute it would orphan them all
    linear = nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.arange(6.0).view(2, 3))
        linear.bias.copy_(torch.tensor([0.5, -0.5]))
    assert weights_hash(linear) == "f60f49980feeb209"


def test_any_one_value_changes_it(tiny_generator: Generator) -> None:
    before = weights_hash(tiny_generator)
    for parameter in tiny_generator.parameters():
        value = parameter.data.view(-1)[-1].clone()
        parameter.data.view(-1)[-1] = torch.nextafter(value, torch.tensor(1e9))
        assert weights_hash(tiny_generator) != before
        parameter.data.view(-1)[-1] = value
    assert weights_hash(tiny_generator) == before


def test_buffers_names_shapes_and_types_count() -> None:
    network = small()
    hashes = {weights_hash(network)}
    network[1].running_mean[0] += 1
    hashes.add(weights_hash(network))
    hashes.add(weights_hash(network.double()))
    hashes.add(weights_hash(nn.ModuleDict({"other": network})))
    flat, square = nn.ParameterList([torch.zeros(4)]), nn.ParameterList([torch.zeros(2, 2)])
    hashes |= {weights_hash(flat), weights_hash(square)}
    assert len(hashes) == 6
