"""Age estimators that everybody can check, and a model with one of them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from latentedit.boundaries.model import Boundaries
from latentedit.editing.editor import FaceEditor
from latentedit.generators.progressive import Generator
from latentedit.pretrained.bundles import load_classifier, load_generator
from latentedit.pretrained.model import BOUNDARIES_FILE


class Brightness:
    """Mean brightness, 0 to 100."""

    def __call__(self, images: Tensor) -> Tensor:
        return (images.mean((1, 2, 3)) + 1) * 50


class Steep:
    """The same, 0 to 1000, so that a step is worth years."""

    def __call__(self, images: Tensor) -> Tensor:
        return (images.mean((1, 2, 3)) + 1) * 500


def judged_by(
    estimator: Brightness | Steep, bundle: Path, *, classifies: bool = False
) -> FaceEditor:
    generator, _ = load_generator(bundle)
    assert isinstance(generator, Generator)
    return FaceEditor(
        generator,
        load_classifier(bundle)[0] if classifies else None,
        age_estimator=estimator,
        boundaries=Boundaries.load(bundle / BOUNDARIES_FILE),
    )
