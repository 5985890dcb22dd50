"""A small network that predicts the classifier's logits from a latent, without rendering the face.

Fitting it to a pool takes about a minute on one core. It answers a few hundred times faster than
generator and classifier. It also has gradients, so holds can be searched with it. What a search
finds is then checked on rendered faces (`holds`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

FloatArray = NDArray[np.float32]

WIDTH = 512
BATCH = 512
MOST_STEPS = 3000
PASSES = 60
"""Training ends after `PASSES` passes over the latents, or after `MOST_STEPS` if that is sooner."""

_RATE, _DECAY = 1e-3, 0.05
_HELD_OUT = 10
"""One in this many latents is held out."""


class Surrogate(nn.Module):
    """Latents [N, D] -> logits [N, K]: the sum of a linear map and a network of two hidden layers.

    The first layer is linear. So to move many latents along one direction v, one product with its
    weight is enough: ``first(z + s v) = first(z) + s (first.weight v)``.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, latent_dim: int, outputs: int, width: int = WIDTH) -> None:
        super().__init__()
        self.outputs = outputs
        self.first = nn.Linear(latent_dim, width + outputs)
        self.second = nn.Linear(width, width)
        self.third = nn.Linear(width, outputs)
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("shift", torch.zeros(outputs))

    def forward(self, z: Tensor) -> Tensor:
        return self.rest(self.first(z))

    def rest(self, first: Tensor) -> Tensor:
        """Turn the first layer's output [N, width + K] into logits [N, K]."""
        hidden, straight = first.split([first.shape[1] - self.outputs, self.outputs], dim=1)
        hidden = functional.gelu(self.second(functional.gelu(hidden)))
        return (straight + self.third(hidden)) * self.scale + self.shift


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted surrogate.

    Attributes:
        network: in eval mode, without gradients of its weights.
        r2: coefficient of determination of each logit on latents it was not fitted to, [K].
    """

    network: Surrogate
    r2: FloatArray


def fit_surrogate(latents: FloatArray, logits: FloatArray, *, width: int = WIDTH) -> Fit:
    """Fit a surrogate by squared error on standardised logits (AdamW, cosine decay).

    Starts from the linear least squares solution. The last tenth of the latents is held out.

    Args:
        latents: float32 [N, D].
        logits: the classifier's, float32 [N, K].
        width: of the hidden layers.
    """
    count = len(latents) - held_out(len(latents))
    shift, scale = logits[:count].mean(0), logits[:count].std(0) + 1e-3
    targets = torch.from_numpy((logits - shift) / scale)
    z = torch.from_numpy(latents)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Surrogate(latents.shape[1], logits.shape[1], width)
        _start_linear(network, z[:count], targets[:count])
        _train(network, z[:count], targets[:count])
    network.scale.copy_(torch.from_numpy(scale))
    network.shift.copy_(torch.from_numpy(shift))
    network.eval().requires_grad_(False)
    seen = network(z[count:]).numpy()
    missed = np.square(seen - logits[count:]).mean(0)
    r2 = 1 - missed / (logits[count:].var(0) + 1e-9)
    return Fit(network, r2.astype(np.float32))


def held_out(count: int) -> int:
    """Return how many of `count` latents, the last ones, are held out of the fit."""
    return max(1, count // _HELD_OUT)


def load_surrogate(weights: Mapping[str, FloatArray]) -> Surrogate:
    """Make a surrogate from the weights of its `state_dict`; further entries are ignored."""
    width, outputs = len(weights["second.bias"]), len(weights["third.bias"])
    network = Surrogate(weights["first.weight"].shape[1], outputs, width)
    known = network.state_dict()
    network.load_state_dict({key: torch.from_numpy(weights[key]) for key in known})
    return network.eval().requires_grad_(False)


def _start_linear(network: Surrogate, z: Tensor, targets: Tensor) -> None:
    """Set the straight part to the least squares solution, with a little ridge."""
    inputs = torch.cat((z, torch.ones(len(z), 1)), dim=1).double()
    gram = inputs.T @ inputs
    gram.diagonal().add_(1e-3 * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, inputs.T @ targets.double()).float()  # [D + 1, K]
    with torch.no_grad():
        network.first.weight[-network.outputs :] = solution[:-1].T
        network.first.bias[-network.outputs :] = solution[-1]
        network.third.weight.mul_(0.1)


def _train(network: Surrogate, z: Tensor, targets: Tensor) -> None:
    size = min(BATCH, len(z))
    steps = min(MOST_STEPS, PASSES * -(-len(z) // size))
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(z), (size,))
        optimizer.zero_grad(set_to_none=True)
        loss = functional.mse_loss(network(z[rows]), targets[rows])
        loss.backward()
        optimizer.step()
        schedule.step()
