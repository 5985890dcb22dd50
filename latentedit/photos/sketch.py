"""Small pictures that gradients go back through, for losses and encoders to look at."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from latentedit.generators.base import FaceGenerator, LatentSpace, at_size


class Sketch:
    """Draws latents at one size, differentiably.

    Args:
        generator: it is left as it is; used in a space whose layers take a latent each.
        size: edge of the pictures.
        dtype: that it computes in. bfloat16 is faster where the machine has it: half the memory to
            move, which is what most of a step takes.

    Attributes:
        size: see above.
        space: of the latents.
        layers: how many of a latent's layers such pictures show.
    """

    def __init__(
        self, generator: FaceGenerator, size: int, dtype: torch.dtype = torch.float32
    ) -> None:
        self.size, self._dtype = size, dtype
        self.space: LatentSpace = generator.space
        self.layers: int = generator.layers_of(size)
        network: nn.Module = deepcopy(generator).eval().requires_grad_(False).to(dtype)
        self._generator: FaceGenerator = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, latents: Tensor) -> Tensor:
        """w+ [N, L, S] -> pictures float32 [N, 3, size, size], about [-1, 1]."""
        source = self._generator.source_of(self.size)
        drawn = self._generator.synthesize(latents.to(self._dtype), source)
        return at_size(drawn.float(), self.size)
