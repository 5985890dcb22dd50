"""Muon trains matrices and convolutions; what it leaves is Adam's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentedit.training.gan.matrices import MatrixMuon, as_matrix

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_convolution_is_a_matrix_in_the_same_memory(layout: torch.memory_format) -> None:
    weight = torch.randn(6, 4, 3, 3).contiguous(memory_format=layout)
    matrix = as_matrix(weight, weight)
    assert matrix.shape == (6, 36)
    matrix[2] = 7
    assert weight[2].eq(7).all()
    for each in LAYOUTS:  # values in any layout get the order of the weight
        gradient = weight.clone(memory_format=each)
        torch.testing.assert_close(as_matrix(gradient, weight), matrix)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_steps_rows_are_about_orthogonal(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(6, 4, 3, 3).contiguous(memory_format=layout))
    optimizer = MatrixMuon([weight], 0.01)
    weight.grad = torch.randn(6, 4, 3, 3) @ torch.diag(torch.tensor([100.0, 1, 1]))
    downhill = weight.grad.clone()
    optimizer.step_matrices()
    assert weight.grad is None
    rows = weight.detach().flatten(1)
    singular = torch.linalg.svdvals(rows)
    assert singular.max() < 2 * singular.min()
    assert float((rows * downhill.flatten(1)).sum()) < 0
    assert 0.0005 < float(rows.square().mean().sqrt()) < 0.005  # a fifth of the rate, as Adam's


def test_vectors_and_layers_of_few_outputs_are_left() -> None:
    layers = nn.ModuleDict({"colours": nn.Conv2d(8, 3, 1), "dense": nn.Linear(8, 8)})
    layers["dense"].register_parameter("shift", nn.Parameter(torch.zeros(8, 1, 1)))
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    optimizer = MatrixMuon(layers.parameters(), 0.1)
    for weight in layers.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step_matrices()
    changed = [name for name, value in layers.state_dict().items() if not value.equal(before[name])]
    assert changed == ["dense.weight"]
    left = {name for name, weight in layers.named_parameters() if weight.grad is not None}
    assert left == {"colours.weight", "colours.bias", "dense.bias", "dense.shift"}
