"""Which differences of latents can be seen, in pixels and in identity, by a linear map.

An encoder that learns latents from pairs cannot find all of their coordinates in a picture, and
most coordinates change the picture little. A linear map from latents to small pictures and to
descriptors of identity, fitted to pairs, says which differences of latents can be seen. It costs
one product of matrices; drawing would cost a hundred times as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentedit.io.images import reduced, to_tensor
from latentedit.photos.encoder import Encoder, Looks
from latentedit.training.pairs import Pairs

EXAMPLES = 20_000
"""Largest number of pairs that the map is fitted to."""

EDGE = 32
"""Edge in pixels of the small pictures that the map gives."""

RIDGE = 4.0
"""Ridge of the fit, as a multiple of the coordinates' mean square times their number."""

BATCH = 64


@dataclass(frozen=True)
class ShownWeights:
    """Weights of the map's parts; each part is first scaled to a mean square of 1 over the pairs.

    Attributes:
        pixels: weight of small pictures.
        identity: weight of descriptors.
        plain: weight of the coordinates themselves.
    """

    pixels: float = 1.0
    identity: float = 1.0
    plain: float = 0.3


class Shown:
    """Compares latents by their visible differences.

    Attributes:
        map: [G S, K], from the coordinates of all groups to all parts, each times its weight's
            root.
    """

    def __init__(self, mapped: Tensor) -> None:
        self.map = mapped

    @classmethod
    def fit(
        cls,
        encoder: Encoder,
        pairs: Pairs,
        rows: int,
        look: Callable[[Tensor], Looks],
        weights: ShownWeights | None = None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Shown:
        """Fit the map to the first pairs.

        Args:
            encoder: the encoder whose coordinates and groups are used.
            pairs: the pairs to fit to.
            rows: number of pairs that may be used, from the first on; at most `EXAMPLES` are.
            look: returns what an encoder looks at in pictures, see `Resemblance.looks`.
            weights: see `ShownWeights`.
            on_progress: called with the number of pairs looked at, and of all that are used.
        """
        weights = weights or ShownWeights()
        rows = min(rows, EXAMPLES)
        inputs, pixels, people = [], [], []
        for start in range(0, rows, BATCH):
            chosen = np.arange(start, min(start + BATCH, rows))
            pictures = np.stack([pairs.picture(int(row)) for row in chosen])
            small = np.stack([reduced(picture, EDGE) for picture in pictures])
            with torch.inference_mode():
                looks = look(to_tensor(pictures, encoder.mean.device))
                inputs.append(grouped(encoder, pairs.latents(chosen).to(encoder.mean.device)))
            pixels.append(to_tensor(small).flatten(1))
            if looks.descriptors is not None:
                people.append(looks.descriptors)
            on_progress(int(chosen[-1]) + 1, rows)
        known = torch.cat(inputs).flatten(1)
        eye = torch.eye(known.shape[1], device=known.device)
        ridge = RIDGE * known.square().mean() * known.shape[1]
        solver = torch.linalg.cholesky(known.T @ known + ridge * eye)
        parts = [weights.plain**0.5 * _share(eye, known)]
        for weight, found in ((weights.pixels, pixels), (weights.identity, people)):
            if found:
                wanted = torch.cat(found).to(known)
                mapped = torch.cholesky_solve(known.T @ (wanted - wanted.mean(0)), solver)
                parts.append(weight**0.5 * _share(mapped, known))
        return cls(torch.cat(parts, 1).clone())

    def __call__(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean square of the visible difference of coordinates [N, G, S].

        For the coordinates see `grouped`.
        """
        return ((found - wanted).flatten(1) @ self.map).square().sum(1).mean()


def grouped(encoder: Encoder, latents: Tensor) -> Tensor:
    """w+ [N, L, S] -> coordinates [N, G, S], the mean over each group of layers."""
    coordinates, group = encoder.coordinates(latents), encoder.group_of_layers()
    return torch.stack(
        [coordinates[:, group == each].mean(1) for each in range(len(encoder.config.groups))], 1
    )


def _share(mapped: Tensor, known: Tensor) -> Tensor:
    """Scale a map so that its outputs for known coordinates have a mean square of 1."""
    power = (known @ mapped).square().sum(1).mean()
    return mapped / power.clamp_min(1e-12) ** 0.5
