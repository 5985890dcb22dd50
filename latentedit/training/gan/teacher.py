"""A larger generator as a teacher: its pictures in the shared frame, and the latents they show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from latentedit import defaults
from latentedit.boundaries.whitening import Whitening
from latentedit.data.face_file import FaceData, create_face_data, open_face_data
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.base import FaceGenerator, Frame
from latentedit.generators.mapped import MappedGenerator
from latentedit.generators.progressive_w import ProgressiveW, ProgressiveWConfig
from latentedit.inference.renderer import Renderer
from latentedit.io.images import UInt8Array, to_tensor, to_uint8
from latentedit.io.resampling import resize
from latentedit.io.sharing import making
from latentedit.training.options import GeneratorOptions
from latentedit.training.pairs import Progress, Shard, read_tensors, render_pairs, shard_files

WHITENED_FROM = 20_000
"""Number of latents that the student's whitening is computed from."""

_BATCH = 1000


@dataclass(frozen=True)
class Teacher:
    """What a student learns from.

    Attributes:
        name: name of the model.
        hash: hash of its generator's weights.
        terms: terms of the model, in words.
        generator: its generator, used in w.
        faces: its pictures in the shared frame, at the student's resolution.
        latents: float32 [N, D], w of each picture.
        paired: bool [N], whether this latent alone made the picture; other pictures mix two.
        folder: of its pairs.
    """

    name: str
    hash: str
    terms: str
    generator: MappedGenerator
    faces: FaceData
    latents: NDArray[np.float32]
    paired: NDArray[np.bool_]
    folder: Path

    @property
    def _mapping(self) -> tuple[int, ...]:
        """Widths of the mapping network: its input's, then each layer's."""
        weights = [layer.weight for layer in cast(Iterable[nn.Linear], self.generator.mapping)]
        return (weights[0].shape[1], *(len(weight) for weight in weights))

    def student_config(self, options: GeneratorOptions) -> ProgressiveWConfig:
        """Return the shape of its students."""
        return ProgressiveWConfig(
            options.resolution,
            options.fmap_base,
            options.fmap_max,
            mapping=self._mapping,
            truncation=self.generator.truncation,
            smooths=options.smooths,
        )

    @torch.inference_mode()
    def instruct(self, student: ProgressiveW) -> None:
        """Give a student the teacher's mapping, mean and whitening."""
        student.mapping.load_state_dict(self.generator.mapping.state_dict())
        student.mean.copy_(self.generator.mean)
        first = defaults.WHITENING_FIRST_SEED
        z = torch.from_numpy(latents.sample(range(first, first + WHITENED_FROM), self._mapping[0]))
        rows = z.to(self.generator.mean.device).split(_BATCH)
        w = np.concatenate([self.generator.map(each).float().cpu().numpy() for each in rows])
        undone = Whitening.of(w).undone(np.eye(w.shape[1]))
        student.whitening.copy_(torch.from_numpy(undone.astype(np.float32)))


def open_teacher(
    name: str,
    generator: FaceGenerator,
    card: Mapping[str, Any],
    folder: Path,
    options: GeneratorOptions,
    on_progress: Progress,
) -> Teacher:
    """Let a generator draw what a student learns from; existing pairs are kept.

    Args:
        name: name of the model.
        generator: one that maps z to w, and whose layers take a latent each.
        card: the model's card.
        folder: folder of its pairs, see `render_pairs`. It also gets a training file of the same
            pictures, cut to the shared frame and made smaller.
        options: of the student's run.
        on_progress: see `pairs.Progress`.

    Raises:
        LatentEditError: the generator has no mapping network, its faces are smaller than the
            student's, `pairs_psi` is not two numbers, or see `render_pairs`.
    """
    if not isinstance(generator, MappedGenerator):
        raise LatentEditError(
            f"a generator of kind {generator.kind} has no w to learn from: give --teacher one with "
            "a mapping network, such as ffhq1024"
        )
    if len(options.pairs_psi) != 2:
        raise LatentEditError("pairs_psi must be two numbers, the least and the most psi")
    least, most = options.pairs_psi
    needed = generator.frame.least(options.resolution)
    if options.pairs_size < needed:
        raise LatentEditError(
            f"pictures of {options.pairs_size} pixels show faces too small for "
            f"{options.resolution}: set pairs_size to {needed} or more"
        )
    generator = generator.in_space("w")
    renderer = Renderer(generator, device=options.device)
    renderer = renderer.quick if options.bf16 else renderer
    render_pairs(
        renderer,
        folder,
        options.pairs,
        options.pairs_size,
        on_progress,
        mixed=options.pairs_mixed,
        psi=(least, most),
    )
    files = shard_files(folder, options.pairs)
    shards = [read_tensors(file, "first", "cuts") for file in files]
    first, cuts = (np.concatenate(parts) for parts in zip(*shards, strict=True))
    source = f"pictures of {name}"
    faces = _cut_faces(files, len(cuts), source, generator.frame, options.resolution)
    return Teacher(
        name,
        renderer.hash,
        str(card.get("terms", "The teacher's own terms apply.")),
        generator,
        faces,
        first,
        cuts == generator.space.layers,
        folder,
    )


def _cut_faces(
    files: list[Path], count: int, source: str, frame: Frame, resolution: int
) -> FaceData:
    """Return the training file of the pairs' pictures; write it unless it has `count` of them."""
    path = files[0].parent / f"shared{resolution}.faces"

    def whole() -> FaceData | None:
        faces = open_face_data(path) if path.is_file() else None
        return faces if faces and len(faces) == count else None

    if faces := whole():
        return faces
    with making(path, waits=True):
        if faces := whole():
            return faces
        with create_face_data(path, resolution=resolution, label_names=(), source=source) as writer:
            for face in _cut(files, frame, resolution):
                writer.append(face, (), f"{len(writer):07d}")
    return open_face_data(path)


def _cut(files: list[Path], frame: Frame, resolution: int) -> Iterator[UInt8Array]:
    """Yield the pictures of pairs, each cut to the shared frame and made smaller."""
    for file in files:
        shard = Shard.read(file)
        for row in range(len(shard.files)):
            picture = frame.cut(to_tensor(shard.picture(row)[None]))
            yield to_uint8(resize(picture, resolution))[0]
