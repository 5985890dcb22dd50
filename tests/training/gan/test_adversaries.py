"""One step of generator and discriminators: how strongly each of two losses pulls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from generator_runs import TINY
from torch import Tensor

from latentedit.generators.progressive import Generator
from latentedit.training.gan.adversaries import Adversaries
from latentedit.training.gan.batches import Batch
from latentedit.training.gan.distillation import Distillation
from latentedit.training.gan.losses import Inputs, NonSaturatingR1
from latentedit.training.gan.objectives import build_objective
from latentedit.training.gan.schedule import Phase
from latentedit.training.options import GeneratorOptions
from latentedit.training.workers import Workers

pytestmark = pytest.mark.usefixtures("one_thread")


def learn(options: GeneratorOptions, times: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Take a step in which discriminators are so many times as sure; return all weights."""

    class Surer(NonSaturatingR1):
        def generator_loss(self, fake: Inputs, alpha: float) -> Tensor:
            return times * super().generator_loss(fake, alpha)

    torch.manual_seed(0)
    generator = Generator(options.generator)
    objective = build_objective(options, None)
    assert objective is not None
    adversaries = Adversaries(
        options, generator, Surer(objective.networks["pixel"]), Workers("cpu"), Distillation(1)
    )
    faces, wanted = torch.rand(2, 8, 3, 16, 16) * 2 - 1
    batch = Batch(torch.randn(8, 512), faces, wanted=wanted)
    figures = adversaries.step(batch, Phase(16, 1.0), 1, images=8)
    return torch.cat([weight.detach().flatten() for weight in generator.parameters()]), figures


def share_moved(a: Tensor, b: Tensor) -> float:
    """The share of weights that went another way: Adam's first steps differ in their sign alone."""
    return float(((a - b).abs() > 1e-3).float().mean())


@pytest.mark.parametrize("balanced", [True, False])
def test_discriminators_that_are_surer_pull_no_harder_if_balanced(balanced: bool) -> None:
    options = replace(TINY, start=16, adversarial_weight=0.5, balanced=balanced)
    weights, figures = learn(options, 1)
    surer, others = learn(options, 1000)
    if not balanced:
        assert share_moved(surer, weights) > 0.05
        return
    assert share_moved(surer, weights) < 0.01
    assert float(figures["balance"] / others["balance"]) == pytest.approx(1000, rel=1e-3)


def test_without_weight_only_the_teacher_counts() -> None:
    options = replace(TINY, start=16, adversarial_weight=1e-9, balanced=True)
    alone = learn(replace(options, balanced=False), 1)[0]
    assert share_moved(learn(options, 1)[0], alone) < 0.01
    heavier = learn(replace(options, adversarial_weight=1.0), 1)[0]
    assert share_moved(heavier, learn(options, 1)[0]) > 0.05
