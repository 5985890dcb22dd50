"""Temperature scaling: making probabilities mean what they say (Guo et al. 2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fit_temperatures(logits: Tensor, targets: Tensor) -> Tensor:
    """Find the temperature of each output that gives the least cross-entropy.

    Args:
        logits: float [N, K] on faces that the network was not trained on.
        targets: [N, K]; 1 yes, 0 no, -1 not known.

    Returns:
        float64 [K], between 0.1 and 10; 1 where an output has no label, or only one answer.
    """
    logits, known = logits.double(), targets >= 0
    soft = targets.clamp(min=0).double()
    both = ((soft == 1) & known).any(0) & ((soft == 0) & known).any(0)
    log_scale = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_scale], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        losses = F.binary_cross_entropy_with_logits(
            logits * log_scale.exp(), soft, reduction="none"
        )
        value = (losses * known).sum(0)[both].sum() / max(len(logits), 1)
        value.backward()
        return value

    if both.any():
        optimizer.step(loss)
    temperatures = torch.exp(-log_scale.detach()).clamp(0.1, 10)
    return torch.where(both, temperatures, torch.ones_like(temperatures))
