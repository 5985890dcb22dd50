"""The networks of a generator's run, their averages and optimisers; one step trains them all."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from latentedit.generators.progressive import Generator
from latentedit.inference.devices import autocast, place
from latentedit.training.gan.losses import Objective
from latentedit.training.gan.recorded import Recorder
from latentedit.training.gan.schedule import Phase
from latentedit.training.options import GeneratorOptions
from latentedit.training.state import average_name
from latentedit.training.workers import Workers

_BETAS = (0.0, 0.99)
"""Adam's (Karras et al. 2018, app. A.1)."""

_ON_FEATURES = ("projected", "imagenet", "people")
"""Discriminators on frozen features, which have a rate of their own."""


class Adversaries:
    """A generator and what it is trained against.

    Args:
        options: of the run.
        generator: on the workers' device.
        objective: its networks are placed there.
        workers: processes that share each batch.
    """

    def __init__(
        self,
        options: GeneratorOptions,
        generator: Generator,
        objective: Objective,
        workers: Workers,
    ) -> None:
        self.options, self.generator, self.objective = options, generator, objective
        self._workers, networks = workers, place(objective.networks, workers.device)
        self.averages = {
            average_name(kimg): copy.deepcopy(generator).eval().requires_grad_(False)
            for kimg in options.ema_kimg
        }
        self._trained = {
            name: [weight for weight in network.parameters() if weight.requires_grad]
            for name, network in networks.items()
        }
        records = workers.device.type == "cuda" and workers.count == 1 and options.cuda_graphs
        self._recorder = Recorder() if records else None
        adam = partial(torch.optim.Adam, betas=_BETAS, fused=True, capturable=records)
        self._generator_optimizer = adam(generator.parameters(), options.learning_rate)
        self._discriminator_optimizer = adam(
            [
                {
                    "params": weights,
                    "lr": options.projected_learning_rate
                    if name in _ON_FEATURES
                    else options.discriminator_learning_rate,
                }
                for name, weights in self._trained.items()
                if weights
            ]
        )
        for group in self._groups:
            group["peak"] = group["lr"]
            if records:  # a recorded step reads the rate from memory
                group["lr"] = torch.tensor(group["peak"], device=workers.device)

    @property
    def shown(self) -> Generator:
        """The average that samples are drawn from."""
        return self.averages[average_name(self.options.ema_kimg[0])]

    @property
    def parts(self) -> dict[str, Any]:
        """Networks and optimisers by name, as `state.save_state` takes them."""
        return {
            "networks": {
                "generator": self.generator,
                **self.averages,
                **{
                    f"objective.{name}": network
                    for name, network in self.objective.networks.items()
                },
            },
            "optimizers": {
                "generator_optimizer": self._generator_optimizer,
                "discriminator_optimizer": self._discriminator_optimizer,
            },
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
        z: Tensor,
        real: Tensor,
        seen_by_features: Tensor | None,
        phase: Phase,
        number: int,
        *,
        images: int,
        freeze: bool = False,
    ) -> dict[str, Tensor]:
        """Train the discriminators, then the generator, on one batch.

        Args:
            z: latents [N, D].
            real: faces [N, 3, r, r] at the phase's resolution.
            seen_by_features: other faces, for frozen features.
            phase: of the growth.
            number: of steps before this one.
            images: seen when it is over, by the weights; sets the averages' pace.
            freeze: leave the generator as it is.

        Returns:
            Figures for the log, scalars that may still be being computed.
        """
        self.objective.before_step(number)
        learn = partial(self._learn, phase=phase, number=number, freeze=freeze)
        if self._recorder is not None and phase.alpha == 1:
            key = (phase.resolution, freeze, self.objective.penalises(number))
            figures = self._recorder(key, learn, z, real, seen_by_features)
        elif self._recorder is not None:  # a resolution fades in: the last one's are not wanted
            self._recorder.forget()
            figures = learn(z, real, seen_by_features)
        else:
            figures = learn(z, real, seen_by_features)
        if not freeze:
            for kimg, average in zip(self.options.ema_kimg, self.averages.values(), strict=True):
                _follow(average, self.generator, kimg, self.options.batch_size, images)
        return figures

    def _learn(
        self,
        z: Tensor,
        real: Tensor,
        seen_by_features: Tensor | None,
        *,
        phase: Phase,
        number: int,
        freeze: bool,
    ) -> dict[str, Tensor]:
        device, objective, workers = self._workers.device, self.objective, self._workers
        self._train_discriminators(True)
        with parametrize.cached():
            self._normalise()
            with autocast(device, self.options.bf16):
                with torch.set_grad_enabled(not freeze):
                    fake = self.generator(z, resolution=phase.resolution, alpha=phase.alpha)
                real_inputs = objective.inputs(real, seen_by_features)
                fake_inputs = objective.inputs(fake)
                loss, figures = objective.discriminator_loss(
                    real_inputs, fake_inputs.detach(), phase.alpha, number
                )
        self._discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        workers.average_gradients(w for weights in self._trained.values() for w in weights)
        self._discriminator_optimizer.step()

        self._train_discriminators(False)
        with parametrize.cached(), torch.set_grad_enabled(not freeze):
            self._normalise()
            with autocast(device, self.options.bf16):
                generator_loss = objective.generator_loss(fake_inputs, phase.alpha)
        if not freeze:
            self._generator_optimizer.zero_grad(set_to_none=True)
            generator_loss.backward()
            workers.average_gradients(self.generator.parameters())
            self._generator_optimizer.step()
        return figures | {
            "discriminator_loss": loss.detach(),
            "generator_loss": generator_loss.detach(),
        }

    def _normalise(self) -> None:
        """Compute spectrally normalised weights once for all uses, in full precision."""
        for module in self.objective.networks.modules():
            if parametrize.is_parametrized(module, "weight"):
                _ = module.weight

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return self._generator_optimizer.param_groups + self._discriminator_optimizer.param_groups

    def _train_discriminators(self, on: bool) -> None:
        for weights in self._trained.values():
            for weight in weights:
                weight.requires_grad_(on)


@torch.no_grad()
def _follow(
    average: nn.Module, generator: nn.Module, ema_kimg: float, batch: int, seen: int
) -> None:
    half_life = min(ema_kimg * 1000, 0.05 * seen)  # short at first, as in StyleGAN2-ADA
    weight = 1 - 0.5 ** (batch / half_life)
    torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), weight)
