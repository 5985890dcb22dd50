"""The networks of a generator's run, their averages and optimisers; one step trains them all."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from latentedit.generators.progressive_w import Growing
from latentedit.inference.devices import autocast, place
from latentedit.training.gan.batches import Batch
from latentedit.training.gan.distillation import Distillation
from latentedit.training.gan.losses import Inputs, Objective
from latentedit.training.gan.matrices import MatrixMuon
from latentedit.training.gan.recorded import Recorder
from latentedit.training.gan.schedule import Phase
from latentedit.training.options import GeneratorOptions
from latentedit.training.state import average_name
from latentedit.training.workers import Workers

_BETAS = (0.0, 0.99)
"""Adam's betas (Karras et al. 2018, app. A.1)."""

_BETAS_ALONE = (0.9, 0.99)
"""The same without discriminators: what a student learns from stays the same, so momentum helps."""

_MOMENTUM, _MOMENTUM_ALONE = 0.9, 0.95
"""Muon's momentum, with discriminators and without them. Its steps go equally far in all
directions, so without momentum those in which there is only one batch's noise count as much."""

_YOUNG, _GROWN = 0.05, 0.1
"""Longest half-life of an average, in shares of all images seen (as in StyleGAN2-ADA), and of those
since the newest block came: its first weights are random, and must be forgotten soon."""

_ON_FEATURES = ("projected", "imagenet", "people")
"""Discriminators on frozen features; they have a learning rate of their own."""


class Adversaries:
    """A generator and what it is trained against.

    Args:
        options: of the run.
        generator: on the workers' device; weights that need no gradient stay as they are.
        objective: its networks are moved to that device; None for no discriminators.
        workers: processes that share each batch.
        distillation: adds to the generator's loss how far its pictures are from those that a batch
            says are wanted.
    """

    def __init__(
        self,
        options: GeneratorOptions,
        generator: Growing,
        objective: Objective | None,
        workers: Workers,
        distillation: Distillation | None = None,
    ) -> None:
        self.options, self.generator, self.objective = options, generator, objective
        self.distillation, self._workers = distillation, workers
        self._networks = objective.networks if objective else nn.ModuleDict()
        place(self._networks, workers.device)
        self._learning = _trained(generator)
        self.averages = {
            average_name(kimg): copy.deepcopy(generator).eval() for kimg in options.ema_kimg
        }
        self._following = {name: _trained(average) for name, average in self.averages.items()}
        for average in self.averages.values():
            average.requires_grad_(False)
        self._trained = {name: _trained(network) for name, network in self._networks.items()}
        records = workers.device.type == "cuda" and workers.count == 1 and options.cuda_graphs
        records = records and options.matrix_learning_rate == 0  # Muon's steps cannot be recorded
        self._recorder = Recorder() if records else None
        adam = partial(torch.optim.Adam, betas=_BETAS, fused=True, capturable=records)
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "generator_optimizer": adam(self._learning, options.learning_rate)
        }
        if objective is not None:
            self._optimizers["discriminator_optimizer"] = adam(self._rates_of_discriminators())
        self._muon: MatrixMuon | None = None
        if options.matrix_learning_rate > 0:
            self._muon = MatrixMuon(self._learning, options.matrix_learning_rate)
            self._optimizers["matrix_optimizer"] = self._muon
        for group in self._groups:
            group["peak"] = group["lr"]
            if records:  # a recorded step reads the rate from memory
                group["lr"] = torch.tensor(group["peak"], device=workers.device)

    def _rates_of_discriminators(self) -> list[dict[str, Any]]:
        return [
            {
                "params": weights,
                "lr": self.options.projected_learning_rate
                if name in _ON_FEATURES
                else self.options.discriminator_learning_rate,
            }
            for name, weights in self._trained.items()
            if weights
        ]

    @property
    def shown(self) -> Growing:
        """The average that samples are drawn from."""
        return self.averages[average_name(self.options.ema_kimg[0])]

    @property
    def parts(self) -> dict[str, Any]:
        """Networks and optimisers by name, as `state.save_state` takes them."""
        return {
            "networks": {
                "generator": self.generator,
                **self.averages,
                **{f"objective.{name}": network for name, network in self._networks.items()},
            },
            "optimizers": self._optimizers,
        }

    def set_rate(self, share: float) -> None:
        """Set all learning rates to a share of their peaks."""
        for group in self._groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(group["peak"] * share)
            else:
                group["lr"] = group["peak"] * share

    def step(
        self,
        batch: Batch,
        phase: Phase,
        number: int,
        *,
        images: int,
        freeze: bool = False,
        alone: bool = False,
    ) -> dict[str, Tensor]:
        """Train the discriminators, if there are any, then the generator, on one batch.

        Args:
            batch: at the phase's resolution.
            phase: of the growth.
            number: number of steps before this one.
            images: number of images that the weights have seen after this step, in earlier runs
                too; it sets the pace of the averages.
            freeze: leave the generator as it is.
            alone: leave the discriminators out.

        Returns:
            Figures for the log: scalars that the device may still be computing.
        """
        objective = None if alone else self.objective
        for group in self._optimizers["generator_optimizer"].param_groups:
            group["betas"] = _BETAS if objective else _BETAS_ALONE
        for group in self._muon.param_groups if self._muon else ():
            group["momentum"] = _MOMENTUM if objective else _MOMENTUM_ALONE
        if objective is not None:
            objective.before_step(number)
        learn = partial(self._learn, objective=objective, phase=phase, number=number, freeze=freeze)
        tensors = (batch.latents, batch.faces, batch.seen, batch.wanted)
        if self._recorder is not None and phase.alpha == 1:
            penalised = objective is not None and objective.penalises(number)
            figures = self._recorder((phase.resolution, freeze, alone, penalised), learn, *tensors)
        elif self._recorder is not None:  # a resolution fades in: drop the last one's recordings
            self._recorder.forget()
            figures = learn(*tensors)
        else:
            figures = learn(*tensors)
        if not freeze:
            for kimg, weights in zip(self.options.ema_kimg, self._following.values(), strict=True):
                half_life = min(kimg * 1000, _YOUNG * images, _GROWN * phase.age)
                _follow(weights, self._learning, half_life, self.options.batch_size)
        return figures

    def _learn(
        self,
        latents: Tensor,
        real: Tensor,
        seen_by_features: Tensor | None,
        wanted: Tensor | None,
        *,
        objective: Objective | None,
        phase: Phase,
        number: int,
        freeze: bool,
    ) -> dict[str, Tensor]:
        figures: dict[str, Tensor] = {}
        judged = taught = None
        with torch.set_grad_enabled(not freeze), self._autocast():
            fake = self.generator(latents, resolution=phase.resolution, alpha=phase.alpha)
        if objective is not None:
            inputs, figures = self._judge(objective, fake, real, seen_by_features, phase, number)
            with parametrize.cached(), torch.set_grad_enabled(not freeze):
                self._normalise()
                with self._autocast():
                    judged = objective.generator_loss(inputs, phase.alpha)
            figures["generator_loss"] = judged.detach()
        if self.distillation is not None and wanted is not None:
            with torch.set_grad_enabled(not freeze), self._autocast():
                taught, apart = self.distillation(fake, wanted)
            figures |= {**apart, "distillation_loss": taught.detach()}
        if not freeze:
            optimizer = self._optimizers["generator_optimizer"]
            optimizer.zero_grad(set_to_none=True)
            figures |= self._backward(fake, judged, taught)
            self._workers.average_gradients(self._learning)
            if self._muon is not None:
                self._muon.step_matrices()
            optimizer.step()
        return figures

    def _backward(
        self, fake: Tensor, judged: Tensor | None, taught: Tensor | None
    ) -> dict[str, Tensor]:
        """Pass the gradient of the generator's losses to its weights; return figures.

        Args:
            fake: the generator's pictures.
            judged: the discriminators' loss.
            taught: the distance from the teacher's pictures.
        """
        weight = self.options.adversarial_weight
        if judged is None or taught is None or not self.options.balanced:
            losses = [] if judged is None else [weight * judged]
            losses += [] if taught is None else [taught]
            torch.stack(losses).sum().backward()
            return {}
        # discriminators that know the student well pull ever harder; so their pull is measured
        (push,) = torch.autograd.grad(judged, fake)
        (pull,) = torch.autograd.grad(taught, fake)
        squares = torch.stack([each.float().square().sum() for each in (push, pull)])
        lengths = self._workers.average(squares).sqrt()
        share = lengths[1] / lengths[0].clamp_min(torch.finfo(lengths.dtype).tiny)
        fake.backward(weight * share.to(push.dtype) * push + pull)
        return {"balance": share}

    def _judge(
        self,
        objective: Objective,
        fake: Tensor,
        real: Tensor,
        seen_by_features: Tensor | None,
        phase: Phase,
        number: int,
    ) -> tuple[Inputs, dict[str, Tensor]]:
        """Train the discriminators; return what they see of the fakes, and figures."""
        self._train_discriminators(True)
        with parametrize.cached():
            self._normalise()
            with self._autocast():
                real_inputs = objective.inputs(real, seen_by_features)
                fake_inputs = objective.inputs(fake)
                loss, figures = objective.discriminator_loss(
                    real_inputs, fake_inputs.detach(), phase.alpha, number
                )
        optimizer = self._optimizers["discriminator_optimizer"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._workers.average_gradients(w for weights in self._trained.values() for w in weights)
        optimizer.step()
        self._train_discriminators(False)
        return fake_inputs, figures | {"discriminator_loss": loss.detach()}

    def _autocast(self) -> torch.autocast:
        return autocast(self._workers.device, self.options.bf16)

    def _normalise(self) -> None:
        """Compute spectrally normalised weights once for all uses, in full precision."""
        for module in self._networks.modules():
            if parametrize.is_parametrized(module, "weight"):
                _ = module.weight

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [group for each in self._optimizers.values() for group in each.param_groups]

    def _train_discriminators(self, on: bool) -> None:
        for weights in self._trained.values():
            for weight in weights:
                weight.requires_grad_(on)


@torch.no_grad()
def _follow(average: list[Tensor], weights: list[Tensor], half_life: float, batch: int) -> None:
    share = 1 - 0.5 ** (batch / half_life) if half_life > 0 else 1.0
    torch._foreach_lerp_(average, weights, share)


def _trained(network: nn.Module) -> list[Tensor]:
    """Return the network's weights that need a gradient."""
    return [weight for weight in network.parameters() if weight.requires_grad]
