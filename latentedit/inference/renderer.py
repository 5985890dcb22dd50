"""A generator at work: seeds -> latents -> pictures."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from latentedit import defaults
from latentedit.generators.adapters import LatentGenerator, as_network
from latentedit.generators.base import FaceGenerator, LatentSpace, at_size, check_latents
from latentedit.inference.batches import in_batches, pick_batch_size
from latentedit.inference.devices import (
    autocast,
    computes_bfloat16,
    pick_device,
    pick_precision,
    place,
)
from latentedit.inference.prepare import prepare
from latentedit.io.images import UInt8Array, to_uint8
from latentedit.pretrained.hashing import weights_hash


class Renderer:
    """Draws latents, and samples them.

    Args:
        generator: one of this package, or any object with the protocol of
            `adapters.LatentGenerator`.
        device: auto, cpu, cuda, mps.
        batch_size: latents that go through the generator together, always exactly so many.
        precision: number format that it computes in, ``float32`` or ``bfloat16``.

    Attributes:
        generator: in eval mode, on the device.
        hash: of its weights.
        device: where it runs.
        batch_size: see above.
        precision: see above.

    Raises:
        LatentEditError: no such device or precision, or a generator without the protocol.
    """

    def __init__(
        self,
        generator: FaceGenerator | LatentGenerator,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = defaults.PRECISION,
    ) -> None:
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self.batch_size = pick_batch_size(batch_size, self.device)
        network = as_network(generator)
        self.hash = weights_hash(network)
        self.generator: FaceGenerator = place(network, self.device).eval()

    def with_batch_size(self, batch_size: int) -> Self:
        """This renderer, sharing its generator, with another `batch_size`."""
        other = copy(self)
        other.batch_size = pick_batch_size(batch_size, self.device)
        other.__dict__.pop("quick", None)  # it has the old one
        return other

    def with_precision(self, precision: str) -> Self:
        """This renderer, sharing its generator, in another `precision`.

        Raises:
            LatentEditError: the device does not compute in it.
        """
        other = copy(self)
        other.precision = pick_precision(precision, self.device)
        for old in ("_fast", "quick"):
            other.__dict__.pop(old, None)
        return other

    @cached_property
    def quick(self) -> Self:
        """This renderer, in bfloat16 where that is faster on the device."""
        gains = self.precision != torch.bfloat16 and computes_bfloat16(self.device)
        return self.with_precision("bfloat16") if gains else self

    @property
    def space(self) -> LatentSpace:
        """The latent space that the generator is used in."""
        return self.generator.space

    @property
    def resolution(self) -> int:
        """Edge of the whole pictures in pixels."""
        return self.generator.resolution

    def sample(self, seeds: Iterable[int]) -> NDArray[np.float32]:
        """Return one latent a seed; see `FaceGenerator.sample`."""
        return self.generator.sample(seeds)

    @torch.inference_mode()
    def render(self, latents: ArrayLike, size: int | None = None) -> UInt8Array:
        """Draw latents [N, D], or [N, L, D] -> uint8 [N, size, size, 3], RGB.

        A latent gives the same picture alone and beside others; see `in_batches`.

        Args:
            latents: of the generator's `space`.
            size: edge of the pictures, up to `resolution`, which is the default. Where the
                generator has previews, smaller pictures are drawn from the next larger one.

        Raises:
            LatentEditError: latents of another shape or space, not finite, or no such size.
        """
        checked = check_latents(self.space, latents)
        source = self.generator.source_of(self.resolution if size is None else size)
        images = []
        plain = self._fast is self.generator
        with autocast(self.device, enabled=plain and self.precision != torch.float32):
            for rows, count in in_batches(checked, self.batch_size):
                drawn = self._draw(torch.from_numpy(rows).to(self.device), source)
                images.append(to_uint8(at_size(drawn, size)[:count]))
        return np.concatenate(images)

    def _draw(self, latents: Tensor, source: int) -> Tensor:
        """Draw whole pictures, or previews; only generators with previews are given a size."""
        whole = source == self.resolution
        images: Tensor = self._fast(latents) if whole else self._fast(latents, source)
        return images

    @cached_property
    def _fast(self) -> nn.Module:
        return prepare(self.generator, self.precision)
