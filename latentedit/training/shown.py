"""What shows of latents: the pixels and the person that they decide of, linearly.

An encoder that learns latents from pairs cannot find all of their coordinates in a picture, and
most of them show little. A linear map from latents to small pictures and to descriptors of whose
face it is, fitted to pairs, says which differences of latents can be seen; it costs a product of
matrices where drawing would cost a hundred times as much.
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
"""Pairs that the map is fitted to, at most."""

EDGE = 32
"""Of the pictures that it gives."""

RIDGE = 4.0
"""Of the fit, in coordinates' mean square times their number."""

BATCH = 64


@dataclass(frozen=True)
class ShownWeights:
    """What counts how much, each in shares of what all latents differ by.

    Attributes:
        pixels: of small pictures.
        identity: of descriptors.
        plain: of the coordinates themselves.
    """

    pixels: float = 1.0
    identity: float = 1.0
    plain: float = 0.3


class Shown:
    """Compares latents by what shows of them.

    Attributes:
        map: from the coordinates of all groups to each part, by its weight: [G S, K].
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
            encoder: whose coordinates and groups are used.
            pairs: to learn from.
            rows: how many of them may be learnt from; at most `EXAMPLES` are.
            look: at pictures; see `Resemblance.looks`.
            weights: see `ShownWeights`.
            on_progress: called with how many pairs were looked at, of how many.
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
        """Mean square of what shows of a difference of coordinates [N, G, S]; see `grouped`."""
        return ((found - wanted).flatten(1) @ self.map).square().sum(1).mean()


def grouped(encoder: Encoder, latents: Tensor) -> Tensor:
    """w+ [N, L, S] -> coordinates of the mean of each group of layers, [N, G, S]."""
    coordinates, group = encoder.coordinates(latents), encoder.group_of_layers()
    return torch.stack(
        [coordinates[:, group == each].mean(1) for each in range(len(encoder.config.groups))], 1
    )


def _share(mapped: Tensor, known: Tensor) -> Tensor:
    """The map, scaled so that what it gives of known coordinates has a mean square of 1."""
    power = (known @ mapped).square().sum(1).mean()
    return mapped / power.clamp_min(1e-12) ** 0.5
