"""Load networks to start from or to learn from, out of a bundle or a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from latentedit.classifiers.age import AgeEstimator
    from latentedit.classifiers.attributes import AttributeClassifier
    from latentedit.classifiers.backbone import Backbone
    from latentedit.classifiers.portrait import PortraitNetwork


def load_backbone(folder: Path, *loaders: Callable[[Path], Backbone]) -> Backbone:
    """Load the network to start from with the first of `loaders` that can.

    Raises:
        LatentEditError: none of the loaders can; the error is the last one's.
    """
    first, *others = loaders
    try:
        return first(folder)
    except LatentEditError:
        if not others:
            raise
        return load_backbone(folder, *others)


def load_age_estimator(folder: Path) -> AgeEstimator:
    """Load the age estimator of a bundle or of a run."""
    from latentedit.pretrained.bundles import load_age_estimator
    from latentedit.training.supervised.age_task import load_age_run

    if (folder / "age.json").is_file():
        return load_age_estimator(folder)[0]
    return load_age_run(folder)


def load_classifier(folder: Path) -> AttributeClassifier:
    """Load the classifier of a bundle or of a run."""
    from latentedit.pretrained.bundles import load_classifier
    from latentedit.training.supervised.attribute_task import load_classifier_run

    if (folder / "classifier.json").is_file():
        return load_classifier(folder)[0]
    return load_classifier_run(folder)


def load_portrait(folder: Path) -> PortraitNetwork:
    """Load the portrait network of a bundle or of a run."""
    from latentedit.pretrained.bundles import load_portrait
    from latentedit.training.supervised.portrait_task import load_portrait_run

    if (folder / "portrait.json").is_file():
        return load_portrait(folder)[0]
    return load_portrait_run(folder)
