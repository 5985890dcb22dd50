"""The faces that a run learns from: which are held out, and random batches of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentedit.data.face_file import FaceData
from latentedit.io.images import to_range, to_tensor
from latentedit.io.resampling import downsample, upsample
from latentedit.training.augment import flip
from latentedit.training.gan.schedule import Phase
from latentedit.training.workers import Workers

SHARE_FOR_FACES = 0.25
"""Of a GPU's free memory, that training files may take."""


@dataclass(frozen=True)
class RunFaces:
    """A run's training files without the faces that are held out.

    Attributes:
        shown: what discriminators see.
        features: what those on frozen features see instead; None where it is the same.
        source: of both, in words.
        judged: what the pixel discriminator sees, one of the two.
        held_out: faces of the same file that nobody is trained on.
    """

    shown: FaceData
    features: FaceData | None
    source: str
    judged: FaceData
    held_out: FaceData


def hold_out(
    data: FaceData, feature_data: FaceData | None, validation: int, *, patches: bool
) -> RunFaces:
    """Hold out the last faces of each training file.

    Args:
        data: a run's faces.
        feature_data: those that frozen features look at instead.
        validation: how many are held out.
        patches: whether the pixel discriminator sees `feature_data` too, see `losses.Projected`.

    Raises:
        LatentEditError: too few faces.
    """
    source = f"{data.source}; the last {validation} held out"
    shown, held_out = data.split(validation)
    if feature_data is None:
        return RunFaces(shown, None, source, shown, held_out)
    source += f"; for frozen features {feature_data.source}; the last {validation} held out"
    features, others = feature_data.split(validation)
    judged = (features, others) if patches else (shown, held_out)
    return RunFaces(shown, features, source, *judged)


class Batches:
    """Random batches of a training file; where a GPU has room, the file is copied to it once."""

    def __init__(self, data: FaceData, workers: Workers) -> None:
        self._data, self._workers = data, workers
        self._copy: Tensor | None = None
        if workers.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(workers.device)
            if len(data) * data.resolution**2 * 3 < SHARE_FOR_FACES * free:
                self._copy = torch.from_numpy(np.array(data.images)).to(workers.device)

    def draw(self, count: int, phase: Phase) -> Tensor:
        """Mirrored by chance, at the phase's resolution or smaller where the file's is."""
        drawn = torch.randint(len(self._data), (count,)).sort().values
        rows, device = self._workers.share(drawn), self._workers.device
        if self._copy is None:
            images = to_tensor(self._data.images[rows.numpy()], device)
        else:
            images = to_range(self._copy[rows.to(device)])
        images = downsample(flip(images), max(1, self._data.resolution // phase.resolution))
        if phase.alpha < 1 and images.shape[-1] == phase.resolution:
            # fade in the reals' detail as the networks' (Karras et al. 2018, sec. 2)
            images = torch.lerp(upsample(downsample(images)), images, phase.alpha)
        return images
