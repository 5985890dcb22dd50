"""Distillation: soft targets from classifiers that were trained before (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData, Faces, Joined
from latentedit.io.files import atomic_path, make_folder
from latentedit.pretrained.hashing import weights_hash
from latentedit.training.supervised.loop import LabelledFaces, predict
from latentedit.training.workers import Workers

SOFT_TARGETS = "soft_targets.safetensors"


@dataclass(frozen=True)
class Teaching:
    """The teachers, how much they count, and further faces that they label.

    Attributes:
        teachers: classifiers whose mean probability, over mirrored pictures too, is the target.
        weight: weight of the teachers if a label is known; if not, they alone count.
        unlabelled: further faces, which the teachers alone label.
    """

    teachers: Sequence[AttributeClassifier]
    weight: float = 0.6
    unlabelled: FaceData | None = None


def taught(
    faces: LabelledFaces,
    teaching: Teaching,
    run_folder: str | Path,
    workers: Workers,
    *,
    bf16: bool = True,
) -> LabelledFaces:
    """Mix the teachers' probabilities into labels, and add the unlabelled faces.

    The teachers' answers are kept in the run's folder, for a run that is resumed.

    Raises:
        LatentEditError: unlabelled faces of another size, or the folder cannot be written.
    """
    labels, source = faces.targets, faces.source
    images = faces.images
    if teaching.unlabelled is not None:
        more = teaching.unlabelled
        images = Joined((faces.images, more.images))
        unknown = labels.new_full((len(more), labels.shape[1]), -1)
        labels = torch.cat((labels, unknown))
        source = f"{source}; beside them, unlabelled: {more.source}"
    kept = Path(run_folder) / SOFT_TARGETS
    lesson = " ".join([*map(weights_hash, teaching.teachers), source])
    soft = _read(kept, lesson, len(images))
    if soft is None:
        soft = _ask(teaching.teachers, images, workers.device, bf16)
        if workers.leads:
            make_folder(kept.parent)
            with atomic_path(kept) as temporary:
                save_file({"targets": soft}, temporary, metadata={"lesson": lesson})
    mixed = torch.lerp(labels.float(), soft, teaching.weight)
    return LabelledFaces(images, torch.where(labels >= 0, mixed, soft), source)


def _ask(
    teachers: Sequence[AttributeClassifier], images: Faces, device: torch.device, bf16: bool
) -> Tensor:
    """Return mean probabilities, float32 [N, K], over all teachers and mirrored faces too."""
    answers = [
        torch.sigmoid(predict(teacher, images, device, bf16=bf16, mirrored=mirrored))
        for teacher in teachers
        for mirrored in (False, True)
    ]
    return torch.stack(answers).mean(0)


def _read(path: Path, lesson: str, count: int) -> Tensor | None:
    """Return the kept answers of the same teachers to the same faces; None if there are none."""
    try:
        with safe_open(str(path), framework="pt") as file:
            targets: Tensor = file.get_tensor("targets")
            same = file.metadata().get("lesson") == lesson and len(targets) == count
    except (OSError, SafetensorError):
        return None
    return targets if same else None
