"""Training the attribute classifier on CelebA's labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit import defaults
from latentedit.classifier import AttributeClassifier, ClassifierConfig
from latentedit.devices import pick_device
from latentedit.errors import LatentEditError
from latentedit.files import read_json, write_json
from latentedit.training.augment import affine, blur, colour, erase, flip
from latentedit.training.calibration import fit_temperatures
from latentedit.training.data import FaceData, Joined
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.supervised import LabelledFaces, fit, load_averaged, normalise, predict

TEMPERATURES = "temperatures.json"


@dataclass(frozen=True)
class AttributeTask:
    """Forty independent yes-or-no questions: smoothed binary cross-entropy, mean accuracy.

    Targets are 1 yes, 0 no, -1 not known, or a probability between.

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
        asked = known.any(0)  # without attributes that nobody labelled
        accuracy = (right.sum(0) / known.sum(0))[asked].mean()
        return {"score": float(accuracy), "validation_loss": float(self.loss(outputs, targets))}


@dataclass(frozen=True)
class Teaching:
    """Distillation (Hinton et al. 2015): soft targets beside the labels.

    Attributes:
        teachers: classifiers whose mean probability, over mirrored pictures too, is the target.
        weight: of the teachers where a label is known; elsewhere they alone count.
        unlabelled: further faces, taught by the teachers alone.
    """

    teachers: Sequence[AttributeClassifier]
    weight: float = 0.6
    unlabelled: FaceData | None = None


def train_classifier(
    data: FaceData,
    run_folder: str | Path,
    options: SupervisedOptions,
    *,
    validation: int = defaults.VALIDATION,
    teaching: Teaching | None = None,
    command: str = "",
    resume: bool = False,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, figures: None,
) -> AttributeClassifier:
    """Train the classifier on all but the last `validation` faces, then scale its temperatures.

    Returns:
        the network with averaged weights, calibrated on the held-out faces, in eval mode.

    Raises:
        LatentEditError: the data has no labels, or see `fit`.
    """
    if not data.label_names or not (data.labels >= 0).any():
        raise LatentEditError("these faces have no labels: prepare them with 'prepare celeba'")
    train, held_out = data.split(validation)
    torch.manual_seed(options.seed)
    source = f"{data.source}; the last {validation} held out"
    config = ClassifierConfig(attributes=data.label_names)
    network = AttributeClassifier(config)
    normalise(network, train.images)
    faces = LabelledFaces(train.images, torch.tensor(train.labels), source)
    if teaching:
        Run(run_folder).check(resume)  # before the teachers' work, not after
        faces = taught(faces, teaching, options)
    known = torch.tensor(held_out.labels)
    result = fit(
        network,
        AttributeTask(),
        faces,
        LabelledFaces(held_out.images, known),
        run_folder,
        options,
        network_options=asdict(config),
        command=command,
        resume=resume,
        on_step=on_step,
    )
    assert isinstance(result, AttributeClassifier)
    device = pick_device(options.device)
    temperatures = fit_temperatures(
        predict(result, held_out.images, device, bf16=options.bf16), known
    )
    write_json(Path(run_folder) / TEMPERATURES, temperatures.tolist())
    return _scaled(result, temperatures)


def taught(faces: LabelledFaces, teaching: Teaching, options: SupervisedOptions) -> LabelledFaces:
    """Mix the teachers' probabilities into labels, and add the unlabelled faces.

    Raises:
        LatentEditError: unlabelled faces of another size.
    """
    labels, source = faces.targets, faces.source
    images = faces.images
    if teaching.unlabelled is not None:
        more = teaching.unlabelled
        images = Joined((faces.images, more.images))
        unknown = labels.new_full((len(more), labels.shape[1]), -1)
        labels = torch.cat((labels, unknown))
        source = f"{source}; beside them, unlabelled: {more.source}"
    device = pick_device(options.device)
    soft = torch.stack(
        [
            torch.sigmoid(predict(teacher, images, device, bf16=options.bf16, mirrored=mirrored))
            for teacher in teaching.teachers
            for mirrored in (False, True)
        ]
    ).mean(0)
    mixed = torch.lerp(labels.float(), soft, teaching.weight)
    return LabelledFaces(images, torch.where(labels >= 0, mixed, soft), source)


def load_classifier_run(run_folder: str | Path) -> AttributeClassifier:
    """Return a run's averaged classifier, calibrated if it was finished, in eval mode.

    Raises:
        LatentEditError: not a classifier's run, or no state saved yet.
    """
    network = load_averaged(run_folder, ClassifierConfig, AttributeClassifier, "a classifier's run")
    temperatures = Path(run_folder) / TEMPERATURES
    if temperatures.exists():
        network = _scaled(network, torch.tensor(read_json(temperatures), dtype=torch.float64))
    return network


@torch.no_grad()
def _scaled(network: AttributeClassifier, temperatures: Tensor) -> AttributeClassifier:
    """Divide the logits by temperatures [K]; the last layer is linear and takes them in."""
    network.head.weight.div_(temperatures[:, None])
    network.head.bias.div_(temperatures)
    return network
