"""Sliced Wasserstein distance between the frozen features of many fakes and of many reals.

A discriminator judges each picture by itself and hardly notices that the fakes resemble each other;
a distance between distributions does. It is taken along random directions, where optimal transport
is a matter of sorting (Rabin et al. 2011; for generators Deshpande et al. 2018), between queues of
recent features, because one batch alone says little about a distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRID = 2
"""The two coarsest stages are also described by their means over a grid of so many cells a side."""

AXES = 4
"""Principal axes of the reals that make up a direction."""


class SlicedFeatures(nn.Module):
    """Queues of recent features and the distance of a new batch's from where they should lie.

    Args:
        widths: channels of the frozen network's stages, finest first.
        reals: recent real faces that are remembered.
        fakes: recent fakes that are remembered; few, as the generator moves on, and no more than
            reals.
        directions: random directions for each description, drawn anew each step.
        refresh: steps between two estimates of the whitening.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        reals: int = 512,
        fakes: int = 256,
        directions: int = 64,
        refresh: int = 64,
    ) -> None:
        super().__init__()
        self.directions, self.refresh = directions, refresh
        self.widths = (*widths, *widths[-2:])
        for index, width in enumerate(widths[-2:]):
            mixing = torch.randn(width * GRID**2, width) / (width * GRID**2) ** 0.5
            self.register_buffer(f"mixing_{index}", mixing)
        for index, width in enumerate(self.widths):
            self.register_buffer(f"real_{index}", torch.zeros(reals, width))
            self.register_buffer(f"fake_{index}", torch.zeros(fakes, width))
            self.register_buffer(f"whitening_{index}", torch.zeros(width, width))

    def describe(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Stages [N, widths[i], h, w] -> descriptions, float32 [N, widths[i]] and two of a grid."""
        means = [stage.float().mean((2, 3)) for stage in stages]
        for index, stage in enumerate(stages[-2:]):
            cells = F.adaptive_avg_pool2d(stage.float(), GRID).flatten(1)
            means.append((cells @ self.get_buffer(f"mixing_{index}")).float())
        return tuple(means)

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Before every `refresh`-th step estimate the whitening, once the reals' queue is full."""
        if step % self.refresh:
            return
        for index in range(len(self.widths)):
            queue = self.get_buffer(f"real_{index}")
            if queue.any(1).all():
                self.get_buffer(f"whitening_{index}").copy_(_whitening(queue))

    @torch.no_grad()
    def remember(self, reals: Sequence[Tensor]) -> None:
        """Put descriptions of real faces in place of the oldest."""
        for index, described in enumerate(reals):
            _append(self.get_buffer(f"real_{index}"), described)

    def distance(self, fakes: Sequence[Tensor]) -> Tensor:
        """Mean squared distance of fakes from their places among the reals, then remember them.

        Along each direction the fakes and the remembered ones are ranked together, and a fake's
        place is the real value of the same rank. Zero until the reals have been whitened, when
        both queues are full.
        """
        distances = []
        for index, described in enumerate(fakes):
            real, fake, whitening = (
                self.get_buffer(f"{name}_{index}") for name in ("real", "fake", "whitening")
            )
            with torch.autocast(described.device.type, enabled=False):
                distances.append(_sliced(described, fake, real, whitening, self.directions))
            _append(fake, described.detach())
        return torch.stack(distances).mean()


def _sliced(batch: Tensor, others: Tensor, real: Tensor, whitening: Tensor, count: int) -> Tensor:
    """Mean squared distance of `batch`, ranked with `others`, from `real` in `count` directions."""
    # a direction of many axes sees little more than the total variance (central limit theorem)
    mixing = torch.randn(len(whitening), count, device=batch.device)
    mixing = mixing * (torch.rand_like(mixing).argsort(0) < AXES)
    directions = whitening @ F.normalize(mixing, dim=0)
    along = batch @ directions  # [N, count]
    with torch.no_grad():
        rank = torch.cat((along, others @ directions)).argsort(0).argsort(0)[: len(batch)]
        share = (rank + 0.5) / (len(batch) + len(others))
        places = (real @ directions).sort(0).values.gather(0, (share * len(real)).long())
    return (along - places).square().mean()


def _append(queue: Tensor, rows: Tensor) -> None:
    queue.copy_(torch.cat((queue, rows))[-len(queue) :])


def _whitening(features: Tensor, *, ridge: float = 0.1) -> Tensor:
    """W such that features @ W has about the identity for a covariance.

    Args:
        features: float [N, D].
        ridge: added to the variances, as a share of their mean, so that directions without
            variance are not blown up.
    """
    spread, axes = torch.linalg.eigh(torch.cov(features.T))
    return axes * (spread + ridge * spread.mean()).rsqrt()
