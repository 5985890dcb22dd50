"""A discriminator of small patches, for detail that only few faces are sharp enough to show."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

GAIN = 4.0
"""Factor of the pictures: fine detail is faint, and a normalised network cannot magnify it."""


class PatchDiscriminator(nn.Module):
    """Images [N, 3, r, r] -> a score map [N, 1, r / 4, r / 4] (Isola et al. 2017).

    Every score sees only 20x20 pixels. So sharp faces of one sort can teach the detail of faces of
    all sorts. Spectrally normalised (Miyato et al. 2018), for the hinge loss.

    Args:
        width: channels of the first features; they double with each halving of the edge.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(3, width, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 4 * width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(4 * width, 4 * width, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(4 * width, 1, 1)),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(GAIN * images)
