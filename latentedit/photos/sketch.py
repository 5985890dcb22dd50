"""Draw small pictures, for losses and encoders; gradients flow back through them."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from latentedit.generators.base import FaceGenerator, LatentSpace, at_size


class Sketch:
    """Draws latents at one size, differentiably.

    Args:
        generator: a copy of it is used; each of its layers takes a latent of its own.
        size: edge of the pictures.
        dtype: the type to compute in. bfloat16 is faster where the hardware has it: it halves the
            memory to move, which takes most of a step's time.

    Attributes:
        size: see above.
        space: the latents' space.
        layers: how many of a latent's layers pictures of this size use.
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
