"""Training the age estimator on UTKFace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.age import AgeConfig, AgeEstimator, expected_age
from latentedit.backbone import Backbone
from latentedit.errors import LatentEditError
from latentedit.images import to_tensor
from latentedit.pretrained import config_from_json
from latentedit.training.augment import affine, blur, colour, erase, flip, widen
from latentedit.training.data import FaceData
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.state import load_network
from latentedit.training.supervised import LabelledFaces, fit


@dataclass(frozen=True)
class AgeTask:
    """Label distribution learning with an expectation (Gao et al. 2018, DLDL-v2).

    Attributes:
        spread: standard deviation in years of the normal distribution around the true age.
        expectation: weight of the absolute error of the mean beside the cross-entropy.
    """

    spread: float = 2.5
    expectation: float = 0.2

    def augment(self, images: Tensor) -> Tensor:
        return erase(colour(blur(affine(widen(flip(images))))))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        years = torch.arange(outputs.shape[1], device=outputs.device)
        distance = (years - targets[:, None]) / self.spread
        wanted = (-0.5 * distance.square()).softmax(1)
        error = (expected_age(outputs) - targets).abs().mean()
        return F.cross_entropy(outputs, wanted) + self.expectation * error

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        error = float((expected_age(outputs) - targets).abs().mean())
        return {"score": -error, "mae": error}


class _Distribution(nn.Module):
    """The estimator with its distribution for an output, which the loss needs."""

    def __init__(self, estimator: AgeEstimator) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, images: Tensor) -> Tensor:
        return self.estimator.logits(images)


def train_age_estimator(
    data: FaceData,
    run_folder: str | Path,
    options: SupervisedOptions,
    *,
    validation: int,
    start: Backbone | None = None,
    command: str = "",
    resume: bool = False,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, figures: None,
) -> AgeEstimator:
    """Train the age estimator on all but the last `validation` faces.

    Args:
        start: a network of the same shape (the attribute classifier) whose stages are copied.

    Returns:
        the network with averaged weights, in eval mode.

    Raises:
        LatentEditError: the data has no ages, `start` has another shape, or see `fit`.
    """
    if "Age" not in data.label_names:
        raise LatentEditError("these faces have no ages: prepare them with 'prepare utkface'")
    train, held_out = data.split(validation)
    torch.manual_seed(options.seed)
    config = AgeConfig()
    estimator = AgeEstimator(config)
    if start is not None:
        _copy_stages(start, estimator)
    estimator.normalise_to(to_tensor(train.images[:: max(1, len(train) // 1000)]))
    with torch.no_grad():
        estimator.head.weight.mul_(0.1)  # near-uniform at first
    column = data.label_names.index("Age")
    result = fit(
        _Distribution(estimator),
        AgeTask(),
        LabelledFaces(
            train.images,
            torch.tensor(train.labels[:, column]).float(),
            f"{data.source}; the last {validation} held out",
        ),
        LabelledFaces(held_out.images, torch.tensor(held_out.labels[:, column]).float()),
        run_folder,
        options,
        network_options=asdict(config),
        command=command,
        resume=resume,
        on_step=on_step,
    )
    assert isinstance(result, _Distribution)
    return result.estimator


def load_age_run(run_folder: str | Path) -> AgeEstimator:
    """Return a run's averaged age estimator, in eval mode.

    Raises:
        LatentEditError: not an age estimator's run, or no state saved yet.
    """
    run = Run(run_folder)
    try:
        network = _Distribution(
            AgeEstimator(config_from_json(AgeConfig, run.read_options()["network"]))
        )
    except (KeyError, TypeError):
        raise LatentEditError(f"{run_folder} is not an age estimator's run") from None
    load_network(run.state, "averaged.module", network)
    return network.estimator.eval()


def _copy_stages(source: Backbone, target: Backbone) -> None:
    weights = {
        name: value for name, value in source.state_dict().items() if not name.startswith("head.")
    }
    try:
        target.load_state_dict(weights, strict=False)
    except RuntimeError:
        raise LatentEditError(
            "the network to start from has another shape: leave out --init"
        ) from None
