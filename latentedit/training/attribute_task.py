"""Training the attribute classifier on CelebA's labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit import defaults
from latentedit.classifier import AttributeClassifier, ClassifierConfig
from latentedit.errors import LatentEditError
from latentedit.images import to_tensor
from latentedit.pretrained import config_from_json
from latentedit.training.data import FaceData
from latentedit.training.runs import Run
from latentedit.training.state import load_network
from latentedit.training.supervised import LabelledFaces, SupervisedOptions, fit


@dataclass(frozen=True)
class AttributeTask:
    """Forty independent yes-or-no questions: smoothed binary cross-entropy, mean accuracy.

    Attributes:
        smoothing: targets become `smoothing` and 1 - `smoothing`.
    """

    smoothing: float = 0.02

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


def train_classifier(
    data: FaceData,
    run_folder: str | Path,
    options: SupervisedOptions,
    *,
    validation: int = defaults.VALIDATION,
    command: str = "",
    resume: bool = False,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, figures: None,
) -> AttributeClassifier:
    """Train the classifier on all but the last `validation` faces.

    Returns:
        the network with averaged weights, in eval mode.

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
    network.normalise_to(to_tensor(train.images[:: max(1, len(train) // 1000)]))
    result = fit(
        network,
        AttributeTask(),
        LabelledFaces(train.images, torch.tensor(train.labels), source),
        LabelledFaces(held_out.images, torch.tensor(held_out.labels)),
        run_folder,
        options,
        network_options=asdict(config),
        command=command,
        resume=resume,
        on_step=on_step,
    )
    assert isinstance(result, AttributeClassifier)
    return result


def load_classifier_run(run_folder: str | Path) -> AttributeClassifier:
    """Return a run's averaged classifier, in eval mode.

    Raises:
        LatentEditError: not a classifier's run, or no state saved yet.
    """
    run = Run(run_folder)
    try:
        network = AttributeClassifier(
            config_from_json(ClassifierConfig, run.read_options()["network"])
        )
    except (KeyError, TypeError):
        raise LatentEditError(f"{run_folder} is not a classifier's run") from None
    load_network(run.state, "averaged.module", network)
    return network.eval()
