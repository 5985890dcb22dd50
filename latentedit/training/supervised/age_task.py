"""Training the age estimator on UTKFace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.classifiers.age import AgeConfig, AgeEstimator, expected_age, tight_view
from latentedit.classifiers.backbone import Backbone
from latentedit.data.face_file import FaceData, Joined
from latentedit.errors import LatentEditError
from latentedit.inference.devices import pick_device
from latentedit.training.augment import affine, blur, colour, erase, flip, reframe
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.supervised.loop import (
    LabelledFaces,
    fit,
    load_averaged,
    normalise,
    predict,
    start_from,
)


@dataclass(frozen=True)
class AgeTask:
    """Label distribution learning with an expectation (Gao et al. 2018, DLDL-v2).

    Targets are float [N, 2]: years, and 1 for UTKFace's framing or 0 for the shared frame.

    Attributes:
        spread: standard deviation in years of the normal distribution around the true age.
        expectation: weight of the absolute error of the mean beside the cross-entropy.
    """

    spread: float = 2.5
    expectation: float = 0.2

    def augment(self, images: Tensor, targets: Tensor) -> Tensor:
        return erase(colour(blur(affine(reframe(flip(images), targets[:, 1] > 0.5)))))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        years = torch.arange(outputs.shape[1], device=outputs.device)
        distance = (years - targets[:, :1]) / self.spread
        wanted = (-0.5 * distance.square()).softmax(1)
        error = (expected_age(outputs) - targets[:, 0]).abs().mean()
        return F.cross_entropy(outputs, wanted) + self.expectation * error

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        error = float((expected_age(outputs) - targets[:, 0]).abs().mean())
        return {"score": -error, "mae": error}


@dataclass(frozen=True)
class AgeTeaching:
    """Self-training: unlabelled faces in the shared frame, and the estimator that labels them.

    Real frames show hair and background where a padded chip shows none. The teacher learned on
    chips; its estimates from several views carry its knowledge over to whole frames.
    """

    teacher: AgeEstimator
    unlabelled: FaceData


def taught(
    faces: LabelledFaces, teaching: AgeTeaching, options: SupervisedOptions
) -> LabelledFaces:
    """Add unlabelled faces, labelled with the teacher's mean estimate.

    The mean is over four views: the tight and the wide framing, mirrored or not.

    Raises:
        LatentEditError: unlabelled faces of another size.
    """
    more = teaching.unlabelled
    device = pick_device(options.device)
    years = torch.stack(
        [
            predict(view, more.images, device, bf16=options.bf16, mirrored=mirrored)
            for view in (teaching.teacher, _Tight(teaching.teacher))
            for mirrored in (False, True)
        ]
    ).mean(0)
    return LabelledFaces(
        Joined((faces.images, more.images)),
        torch.cat((faces.targets, _targets(years, chips=False))),
        f"{faces.source}; beside them, unlabelled: {more.source}",
    )


class _Tight(nn.Module):
    """The estimator looking at shared frames in UTKFace's framing."""

    def __init__(self, estimator: AgeEstimator) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, images: Tensor) -> Tensor:
        return self.estimator(tight_view(images))


def _targets(years: Tensor, *, chips: bool) -> Tensor:
    return torch.stack((years.float(), torch.full((len(years),), float(chips))), 1)


class _Distribution(nn.Module):
    """The estimator with the logits of all years as output, which the loss needs."""

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
    teaching: AgeTeaching | None = None,
    command: str = "",
    resume: bool = False,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, figures: None,
) -> AgeEstimator:
    """Train the age estimator on all but the last `validation` faces.

    Args:
        start: a network of the same shape (the attribute classifier, or an age estimator) whose
            stages are copied.
        teaching: further faces without known ages, and the estimator that labels them.

    Returns:
        the network with averaged weights, in eval mode.

    Raises:
        LatentEditError: the data has no ages, `start` has another shape, or see `fit`.
    """
    check_ages(data)
    train, held_out = data.split(validation)
    torch.manual_seed(options.seed)
    config = AgeConfig()
    estimator = AgeEstimator(config)
    normalise(estimator, train.images)
    with torch.no_grad():
        estimator.head.weight.mul_(0.1)  # at first all ages are about equally likely
    if start is not None:
        start_from(start, estimator)
    column = data.label_names.index("Age")
    faces = LabelledFaces(
        train.images,
        _targets(torch.tensor(train.labels[:, column]), chips=True),
        f"{data.source}; the last {validation} held out",
    )
    if teaching:
        Run(run_folder).check(resume)  # before the teacher's work, not after
        faces = taught(faces, teaching, options)
    result = fit(
        _Distribution(estimator),
        AgeTask(),
        faces,
        LabelledFaces(
            held_out.images, _targets(torch.tensor(held_out.labels[:, column]), chips=True)
        ),
        run_folder,
        options,
        network_options=asdict(config),
        command=command,
        resume=resume,
        on_step=on_step,
    )
    assert isinstance(result, _Distribution)
    return result.estimator


def check_ages(data: FaceData) -> None:
    """Refuse faces that no age estimator can learn from.

    Raises:
        LatentEditError: they have no ages.
    """
    if "Age" not in data.label_names:
        raise LatentEditError("these faces have no ages: prepare them with 'prepare utkface'")


def load_age_run(run_folder: str | Path) -> AgeEstimator:
    """Return a run's averaged age estimator, in eval mode.

    Raises:
        LatentEditError: not an age estimator's run, or no state saved yet.
    """
    network = load_averaged(
        run_folder,
        AgeConfig,
        lambda config: _Distribution(AgeEstimator(config)),
        "an age estimator's run",
    )
    return network.estimator
