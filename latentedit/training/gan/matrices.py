"""Muon (Jordan et al. 2024) for weight matrices and convolutions.

PyTorch's `torch.optim.Muon` takes matrices alone. A convolution's weights [O, I, h, w] are shown to
it as a matrix of O rows, in the same memory.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

LEAST_ROWS = 4
"""Fewest rows of a matrix that Muon trains. Layers with fewer outputs, such as those that give
colours, are Adam's: their rows are not meant to be orthogonal."""


class MatrixMuon(torch.optim.Muon):
    """Muon for those of some weights that are matrices or convolutions.

    Its steps are as large as Adam's at the same learning rate (Liu et al. 2025, eq. 4). After each
    step these weights have no gradient, so that another optimiser leaves them alone.

    Args:
        weights: vectors among them, and matrices of fewer than `LEAST_ROWS` rows, are left out.
        learning_rate: of the matrices.
    """

    def __init__(self, weights: Iterable[Tensor], learning_rate: float) -> None:
        self._weights = [each for each in weights if _is_matrix(each)]
        super().__init__(
            [as_matrix(each.detach(), each) for each in self._weights],
            lr=learning_rate,
            weight_decay=0,
            adjust_lr_fn="match_rms_adamw",
        )

    def step_matrices(self) -> None:
        """Take a step by the weights' gradients, and drop these."""
        (group,) = self.param_groups
        for matrix, weight in zip(group["params"], self._weights, strict=True):
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad, weight)
            weight.grad = None
        self.step()  # type: ignore[no-untyped-call]


def _is_matrix(weight: Tensor) -> bool:
    return weight.ndim in (2, 4) and len(weight) >= LEAST_ROWS  # a bias may be [O, 1, 1]


def as_matrix(values: Tensor, weight: Tensor) -> Tensor:
    """Show values of a weight's shape [O, ...] as [O, I], in the order of the weight's memory.

    The weight's own values are not copied.
    """
    if weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.flatten(1)
