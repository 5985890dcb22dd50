"""Training the classifier on CelebA's attributes, or on UTKFace's genders and races."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit import defaults
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.backbone import Backbone
from latentedit.data.face_file import FaceData
from latentedit.data.utkface import LABELS, as_questions
from latentedit.errors import LatentEditError
from latentedit.io.files import write_json
from latentedit.training.augment import affine, blur, colour, erase, flip
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.supervised.calibration import CALIBRATION, calibration, read_calibration
from latentedit.training.supervised.loop import (
    LabelledFaces,
    fit,
    load_averaged,
    normalise,
    predict,
    start_from,
)
from latentedit.training.supervised.teaching import Teaching, taught
from latentedit.training.workers import Workers


@dataclass(frozen=True)
class AttributeTask:
    """Independent yes-or-no questions: smoothed binary cross-entropy, mean accuracy.

    Targets are 1 yes, 0 no, -1 not known, or a probability between 0 and 1.

    Attributes:
        smoothing: targets become `smoothing` and 1 - `smoothing`.
    """

    smoothing: float = 0.02

    def augment(self, images: Tensor, targets: Tensor) -> Tensor:
        return erase(colour(blur(affine(flip(images)))))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        known = targets >= 0
        soft = targets.clamp(min=0).float() * (1 - 2 * self.smoothing) + self.smoothing
        losses = F.binary_cross_entropy_with_logits(outputs, soft, reduction="none")
        return (losses * known).sum() / known.sum().clamp(min=1)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        known = targets >= 0
        right = ((outputs > 0) == (targets > 0)) & known
        asked = known.any(0)  # leave out attributes that nobody labelled
        accuracy = (right.sum(0) / known.sum(0))[asked].mean()
        return {"score": float(accuracy), "validation_loss": float(self.loss(outputs, targets))}


def train_classifier(
    data: FaceData,
    run_folder: str | Path,
    options: SupervisedOptions,
    *,
    validation: int = defaults.VALIDATION,
    start: Backbone | None = None,
    teaching: Teaching | None = None,
    command: str = "",
    resume: bool = False,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, figures: None,
) -> AttributeClassifier:
    """Train the classifier on all but the last `validation` faces, then calibrate it on those.

    Args:
        data: labelled faces; from UTKFace's labels it learns `utkface.QUESTIONS`.
        start: a classifier to go on from, or another network of the same shape whose stages are
            copied.
        teaching: teachers, and further faces without labels.

    Returns:
        the network with averaged weights, calibrated on the held-out faces, in eval mode.

    Raises:
        LatentEditError: the data has no labels, `start` has another shape, or see `fit`.
    """
    check_labels(data)
    if data.label_names == LABELS:
        data = as_questions(data)
    train, held_out = data.split(validation)
    workers = Workers(options.device)
    torch.manual_seed(options.seed)
    source = f"{data.source}; the last {validation} held out"
    config = ClassifierConfig(attributes=data.label_names)
    network = AttributeClassifier(config)
    normalise(network, train.images)
    if start is not None:
        start_from(start, network)
    faces = LabelledFaces(train.images, torch.tensor(train.labels), source)
    if teaching:
        Run(run_folder).check(resume)  # before the teachers' work, not after
        faces = taught(faces, teaching, run_folder, workers, bf16=options.bf16)
    known = torch.tensor(held_out.labels)
    result = fit(
        network,
        AttributeTask(),
        faces,
        LabelledFaces(held_out.images, known),
        run_folder,
        options,
        network_options=asdict(config),
        workers=workers,
        command=command,
        resume=resume,
        on_step=on_step,
    )
    assert isinstance(result, AttributeClassifier)
    if workers.leads:  # each process has its own batch norm statistics; the leader's are saved
        logits = predict(result, held_out.images, workers.device, bf16=options.bf16)
        write_json(Path(run_folder) / CALIBRATION, calibration(logits, known))
    workers.wait()
    return _calibrated(result, run_folder)


def check_labels(data: FaceData) -> None:
    """Refuse faces that no classifier can learn from.

    Raises:
        LatentEditError: they have no labels.
    """
    if not data.label_names or not (data.labels >= 0).any():
        raise LatentEditError("these faces have no labels: prepare them with 'prepare celeba'")


def load_classifier_run(run_folder: str | Path) -> AttributeClassifier:
    """Return a run's averaged classifier, calibrated if it was finished, in eval mode.

    Raises:
        LatentEditError: not a classifier's run, or no state saved yet.
    """
    network = load_averaged(run_folder, ClassifierConfig, AttributeClassifier, "a classifier's run")
    return _calibrated(network, run_folder)


@torch.no_grad()
def _calibrated(network: AttributeClassifier, run_folder: str | Path) -> AttributeClassifier:
    """Scale and shift the logits by changing the last layer, which is linear."""
    if fitted := read_calibration(run_folder):
        weight, bias = network.head.weight, network.head.bias
        scale, shift = (bias.new_tensor(fitted[name]) for name in ("scale", "shift"))
        weight.mul_(scale[:, None])
        bias.mul_(scale).add_(shift)
    return network
