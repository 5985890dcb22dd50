"""What a run learns from: faces (some are held out), latents, and random batches of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentedit.data.face_file import FaceData
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.io.images import to_range, to_tensor
from latentedit.io.resampling import downsample, upsample
from latentedit.training.augment import flip
from latentedit.training.gan.schedule import Phase
from latentedit.training.workers import Workers

SHARE_FOR_FACES = 0.25
"""Share of a GPU's free memory that a training file may take, at most."""

MEASURED, HELD_OUT_BATCH = 256, 32
"""Largest number of held-out pairs that are measured, and how many make one batch."""


@dataclass(frozen=True)
class RunFaces:
    """A run's training files without the faces that are held out.

    Attributes:
        shown: what discriminators see.
        features: what discriminators on frozen features see instead; None if they see `shown`.
        source: where both come from, in words.
        judged: what the pixel discriminator sees, either `shown` or `features`.
        held_out: faces of the same file as `judged` that are never trained on.
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
        feature_data: faces that frozen features look at instead, or None.
        validation: how many faces of each file are held out.
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


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        latents: float [N, D], from which fakes are drawn.
        faces: real ones, [N, 3, r, r] at the phase's resolution.
        seen: faces that frozen features look at instead; None if they look at `faces`.
        wanted: a teacher's pictures of the latents, [N, 3, r, r]; None without a teacher.
    """

    latents: Tensor
    faces: Tensor
    seen: Tensor | None = None
    wanted: Tensor | None = None


class Source(Protocol):
    """Where batches come from."""

    def draw(self, count: int, phase: Phase) -> Batch:
        """Return a random batch; each of several processes gets its share of the same batch."""
        ...

    def examples(self, count: int, phase: Phase) -> Batch:
        """Return the latents of the samples, always the same; with `wanted` if taught."""
        ...

    def held_out(self, phase: Phase) -> Iterator[Batch]:
        """Yield batches that are never trained on; none without a teacher."""
        ...


class Photographs:
    """Faces of training files, and random latents.

    Args:
        faces: of the run.
        latent_dim: D of the generator, which is used in z.
        workers: processes that share each batch.
    """

    def __init__(self, faces: RunFaces, latent_dim: int, workers: Workers) -> None:
        self._latent_dim, self._workers = latent_dim, workers
        self._shown = Pictures(faces.shown, workers.device)
        self._features = Pictures(faces.features, workers.device) if faces.features else None

    def draw(self, count: int, phase: Phase) -> Batch:
        faces = self._faces(self._shown, count, phase)
        seen = self._faces(self._features, count, phase) if self._features else None
        z = self._workers.share(torch.randn(count, self._latent_dim))
        return Batch(z.to(self._workers.device), faces, seen)

    def _faces(self, pictures: Pictures, count: int, phase: Phase) -> Tensor:
        rows = self._workers.share(torch.randint(len(pictures), (count,)).sort().values)
        return pictures.at(rows, phase, mirrored=True)

    def examples(self, count: int, phase: Phase) -> Batch:
        z = torch.from_numpy(latents.sample(range(count), self._latent_dim))
        faces = self._shown.at(torch.arange(0), phase)
        return Batch(z.to(self._workers.device), faces)

    def held_out(self, phase: Phase) -> Iterator[Batch]:
        return iter(())


class TeachersPairs:
    """A teacher's pictures with the latents that made them; all of them count as real faces.

    Args:
        faces: the teacher's pictures, split.
        values: float32 [N, D], the latent of each picture.
        paired: bool [N], whether this latent alone made the picture.
        workers: processes that share each batch.

    Raises:
        LatentEditError: there is no pair to learn from, or none to measure with.
    """

    def __init__(
        self,
        faces: RunFaces,
        values: NDArray[np.float32],
        paired: NDArray[np.bool_],
        workers: Workers,
    ) -> None:
        self._latents, self._workers = torch.from_numpy(values), workers
        self._shown = Pictures(faces.shown, workers.device)
        self._others = Pictures(faces.held_out, workers.device)
        learnt = len(self._shown)
        self._pairs = torch.from_numpy(np.flatnonzero(paired[:learnt]))
        self._kept = torch.from_numpy(np.flatnonzero(paired[learnt:]))
        if not len(self._pairs) or not len(self._kept):
            raise LatentEditError(
                "no picture is made from one latent alone: lower pairs_mixed, and draw the pairs "
                "into another folder"
            )

    def draw(self, count: int, phase: Phase) -> Batch:
        share, device = self._workers.share, self._workers.device
        rows = share(self._pairs[torch.randint(len(self._pairs), (count,))].sort().values)
        real = share(torch.randint(len(self._shown), (count,)).sort().values)
        wanted = self._shown.at(rows, phase)
        faces = self._shown.at(real, phase, mirrored=True)
        return Batch(self._latents[rows].to(device), faces, wanted=wanted)

    def examples(self, count: int, phase: Phase) -> Batch:
        return self._unseen(self._kept[:count], phase)

    def held_out(self, phase: Phase) -> Iterator[Batch]:
        for rows in self._kept[:MEASURED].split(HELD_OUT_BATCH):
            yield self._unseen(rows, phase)

    def _unseen(self, rows: Tensor, phase: Phase) -> Batch:
        wanted = self._others.at(rows, phase)
        w = self._latents[len(self._shown) + rows].to(self._workers.device)
        return Batch(w, wanted, wanted=wanted)


class Pictures:
    """Pictures of a training file; where a GPU has room, the file is copied to it once."""

    def __init__(self, data: FaceData, device: torch.device) -> None:
        self._data, self._device = data, device
        self._copy: Tensor | None = None
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if len(data) * data.resolution**2 * 3 < SHARE_FOR_FACES * free:
                self._copy = torch.from_numpy(np.array(data.images)).to(device)

    def __len__(self) -> int:
        return len(self._data)

    def at(self, rows: Tensor, phase: Phase, *, mirrored: bool = False) -> Tensor:
        """Return pictures [N, 3, r, r] at the phase's resolution, or the file's if it is smaller.

        Args:
            rows: int [N].
            phase: of the growth.
            mirrored: mirror each of them with probability 1/2.
        """
        if self._copy is None:
            images = to_tensor(self._data.images[rows.numpy()], self._device)
        else:
            images = to_range(self._copy[rows.to(self._device)])
        images = flip(images) if mirrored else images
        images = downsample(images, max(1, self._data.resolution // phase.resolution))
        if phase.alpha < 1 and images.shape[-1] == phase.resolution:
            # the detail of real pictures fades in like the networks' (Karras et al. 2018, sec. 2)
            images = torch.lerp(upsample(downsample(images)), images, phase.alpha)
        return images
