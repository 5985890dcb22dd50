"""Hash a network's weights, independent of how they are stored."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weights_hash(network: nn.Module) -> str:
    """Return 16 hex digits of the SHA-256 over all names, shapes and values.

    Two networks have the same hash exactly when their state dictionaries are equal. Of a generator
    only its own weights count (`FaceGenerator.own_weights`).
    """
    digest = hashlib.sha256()
    weights = getattr(network, "own_weights", network.state_dict)()
    for name, value in sorted(weights.items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
