"""A small network that says what the classifier would say of a latent's face, without rendering it.

Fitted to a pool in about a minute on one core, it answers a few hundred times faster than generator
and classifier do, and it has gradients, so what an edit does can be searched. What a search finds
with it is judged on real faces (`holds`).
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
"""Training ends after so many passes over the latents, or so many steps if those are fewer."""

_RATE, _DECAY = 1e-3, 0.05
_HELD_OUT = 10
"""One latent of so many is held out."""


class Surrogate(nn.Module):
    """Latents [N, D] -> logits [N, K]: a linear map and beside it two hidden layers.

    Its first layer is linear, so that moving many latents along one direction costs one row of it:
    ``first(z + s v) = first(z) + s (first.weight v)``.
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
        """From what the first layer gave, [N, width + K], to logits [N, K]."""
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
    """How many of so many latents, the last ones, are not fitted to."""
    return max(1, count // _HELD_OUT)


def load_surrogate(weights: Mapping[str, FloatArray]) -> Surrogate:
    """Make a surrogate of what its `state_dict` held; further entries are left alone."""
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
