"""A student beside its teacher: the teacher's faces count as the real ones.

Both draw the same seeds at the same truncation, so faces can also be compared one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from latentedit.data.face_file import FaceData
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.traces import Track, no_bar
from latentedit.evaluation.generators.report import FaceSet
from latentedit.generators.mapped import MappedGenerator
from latentedit.inference import descriptors
from latentedit.inference.renderer import Renderer
from latentedit.io.images import UInt8Array, to_tensor, to_uint8
from latentedit.io.resampling import resize


def draw_teachers_faces(
    teacher: FaceEditor,
    seeds: range,
    edge: int,
    *,
    psi: float | None = None,
    track: Track = no_bar,
) -> FaceData:
    """Draw a teacher's faces as a student sees them: in the shared frame, at the student's size.

    Args:
        teacher: a model with a mapping network.
        seeds: of the faces.
        edge: of the pictures, in pixels.
        psi: truncation; the teacher's own by default.

    Raises:
        LatentEditError: the teacher has no mapping network, or its faces are too small.
    """
    generator = teacher.generator
    if not isinstance(generator, MappedGenerator):
        raise LatentEditError(
            f"{teacher.name} has no mapping network, so it teaches nobody: give --data, a file of "
            "real faces"
        )
    frame = generator.frame
    if frame.least(edge) > generator.resolution:
        raise LatentEditError(f"{teacher.name} draws no faces of {edge} pixels in the shared frame")
    w = generator.in_space("w")
    renderer = Renderer(
        w if psi is None else w.truncated(psi),
        device=str(teacher.device),
        batch_size=teacher.batch_size,
        precision=teacher.precision_name,
    )
    size, step, images = generator.source_of(frame.least(edge)), renderer.batch_size, []
    for start in track(range(0, len(seeds), step), -(-len(seeds) // step), "Teacher's faces"):
        drawn = renderer.render(renderer.sample(seeds[start : start + step]), size)
        images.append(to_uint8(resize(frame.cut(to_tensor(drawn)), edge)))
    count = len(seeds)
    return FaceData(
        np.concatenate(images),
        np.empty((count, 0), np.int8),
        tuple(map(str, seeds)),
        (),
        f"pictures of {teacher.name}, seeds {seeds[0]:,} to {seeds[-1]:,}, "
        f"psi {renderer.generator.config.truncation:g}",
    )


def compare_pairs(student: UInt8Array, teacher: FaceSet) -> dict[str, Any]:
    """Compare the two pictures of each latent.

    Args:
        student: uint8 [N, R, R, 3] in the shared frame.
        teacher: the same latents' faces, pictures of the same shape.

    Returns:
        ``n``; ``psnr`` in dB, the mean over pictures; ``identity``, the mean distance of dlib's
        descriptors; ``one_person``, the share of pairs below `descriptors.ONE_PERSON`.

    Raises:
        LatentEditError: the extra ``evaluate`` is not installed.
    """
    difference = student.astype(np.float32) - teacher.images.astype(np.float32)
    squares = np.square(difference).mean((1, 2, 3)).clip(min=1e-6)
    apart = np.linalg.norm(descriptors.describe(student) - teacher.features["dlib"], axis=1)
    return {
        "n": len(student),
        "psnr": float((10 * np.log10(255**2 / squares)).mean()),
        "identity": float(apart.mean()),
        "one_person": float((apart < descriptors.ONE_PERSON).mean()),
    }
