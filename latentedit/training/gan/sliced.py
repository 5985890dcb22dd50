"""Sliced Wasserstein distance between the frozen features of many fakes and of many reals.

A discriminator judges each picture by itself, so it hardly notices if all fakes resemble each
other. A distance between distributions does. It is measured along random directions, where optimal
transport only needs sorting (Rabin et al. 2011; for generators Deshpande et al. 2018). It compares
queues of recent features, because one batch alone says little about a distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GRID = 2
"""Cells along each side of a grid; means over its cells also describe the two coarsest stages."""

AXES = 4
"""Number of the reals' principal axes that are mixed into one direction."""


class SlicedFeatures(nn.Module):
    """Queues of recent features, and the distance of a new batch from where it should lie.

    Args:
        widths: channels of the frozen network's stages, finest first.
        reals: number of recent real faces that are remembered.
        fakes: number of recent fakes that are remembered: few, because the generator changes, and
            no more than `reals`.
        directions: number of random directions for each description, new ones in each step.
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
        """Stages [N, widths[i], h, w] -> descriptions, float32 [N, widths[i]].

        They are the means of all stages, then the mixed grid cells of the two coarsest stages.
        """
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
        """Put descriptions of real faces into the queues; the oldest ones drop out."""
        for index, described in enumerate(reals):
            _append(self.get_buffer(f"real_{index}"), described)

    def distance(self, fakes: Sequence[Tensor]) -> Tensor:
        """Return the mean squared distance of fakes from their places among the reals.

        Along each direction the fakes are ranked together with the remembered ones. A fake's place
        is the real value of the same rank. Then the fakes are remembered too. The distance is zero
        until the whitening has been estimated; then both queues are full.
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
    """Return W such that the covariance of features @ W is about the identity.

    Args:
        features: float [N, D].
        ridge: added to the variances, as a share of their mean, so that directions with almost no
            variance are not magnified.
    """
    spread, axes = torch.linalg.eigh(torch.cov(features.T))
    return axes * (spread + ridge * spread.mean()).rsqrt()
