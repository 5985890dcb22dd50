"""Try a foreign generator before it is accepted: draw a few faces, alone and together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentedit.errors import LatentEditError

FACES = 4
"""Number of latents that a generator is tried with: seeds 0 to 3."""

_OUTSIDE = 0.5
"""Largest share of values that may lie outside the value range. The range is widened by a quarter
at each end, because networks without a tanh overshoot it."""


@torch.inference_mode()
def try_generator(
    draw: Callable[[Tensor], Tensor],
    latents: Tensor,
    value_range: tuple[float, float] | None = (-1.0, 1.0),
) -> list[str]:
    """Draw some latents alone, one of them twice, and all together; check the pictures.

    Args:
        draw: latents float [N, D] -> pictures float [N, 3, R, R], as the network gives them.
        latents: float [N, D], `FACES` of them.
        value_range: the values of black and white; None skips this check.

    Returns:
        Hints for the generator's user; often none.

    Raises:
        LatentEditError: the pictures hold NaN or infinity, or values far outside the value range.
            Or one latent gives different pictures, alone each time or in a batch, or all latents
            give the same picture.
    """
    alone = [_finite(draw(latent[None])) for latent in latents]
    images = torch.cat(alone)
    low, high = value_range or (float(images.min()), float(images.max()))
    seen = f"its values run from {float(images.min()):.3g} to {float(images.max()):.3g}"
    advice = f"{seen}, and black was to be {low:g}, white {high:g}: give another value range"
    margin = (high - low) / 4
    outside = ((images < low - margin) | (images > high + margin)).float().mean()
    if value_range is not None and outside > _OUTSIDE:
        raise LatentEditError(f"the generator's pictures are nearly all black or white: {advice}")

    def levels(pictures: Tensor) -> Tensor:
        return ((pictures - low) * (255 / ((high - low) or 1))).clamp(0, 255)

    def differ(one: Tensor, other: Tensor) -> float:
        return float((levels(one) - levels(other)).abs().max())

    again = _finite(draw(latents[:1]))
    if (step := differ(again, alone[0])) > 1:
        raise LatentEditError(
            f"the generator draws another picture of the same latent each time (up to {step:.0f} "
            "of 255 apart): fix the noise inside it, and export it in eval mode"
        )
    if all(differ(other, alone[0]) <= 1 for other in alone[1:]):
        raise LatentEditError(
            f"the generator draws the same picture of every latent: {advice}"
            if value_range is not None and images.std() > 0
            else f"the generator draws the same picture of every latent ({seen}): give another file"
        )
    if (step := differ(_finite(draw(latents)), images)) > 2:
        raise LatentEditError(
            f"the generator draws a face otherwise in a batch (up to {step:.0f} of 255 apart): "
            "export it in eval mode, without normalisation over the batch"
        )
    if value_range is not None and low < 0 <= float(images.min()):
        return [f"{seen}: where black is 0 and not {low:g}, give that as the value range"]
    return []


def _finite(images: Tensor) -> Tensor:
    if not torch.isfinite(images).all():
        raise LatentEditError("the generator gives NaN or infinity: export it again, in float32")
    return images.float()
