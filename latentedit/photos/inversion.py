"""Inversion: find the latents, one for each layer, with which a generator draws a given photo.

The encoder gives a first answer at once. Refining then optimises the latents, so that the drawn
face resembles the photo (Abdal et al. 2019, Image2StyleGAN). It works in the encoder's coordinates,
in which latents vary alike in every direction. A prior keeps the latents near each other and near
those that the generator was trained on, because edits work there (Zhu et al. 2020, In-domain GAN
inversion).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adam import adam

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array, to_tensor
from latentedit.photos.encoder import Encoder
from latentedit.photos.resemblance import Resemblance, Seen
from latentedit.photos.sketch import Sketch

FAMILIAR = 0.6
"""Mean square coordinate up to which latents are like samples'; photos' go a little beyond."""

WARM_STEPS, COOLED, LAST_RATE = 5, 0.45, 0.05
"""The learning rate rises over the first `WARM_STEPS` steps. It falls over the last share `COOLED`
of the steps, to the share `LAST_RATE` of its full value."""


@dataclass(frozen=True)
class InversionOptions:
    """How a photo is inverted.

    Attributes:
        passes: how often the encoder looks; each pass sees what the one before drew.
        steps: refining steps; None for as many as `seconds` allow.
        seconds: time for refining, above 0, used if `steps` is None.
        least: refining steps that are done even if `seconds` are over before, as on a slow
            computer: with fewer, the face is that of another person.
        learning_rate: Adam's, in standard deviations of the latents.
        spread: weight of the mean square distance of the layers' latents from their mean.
        far: weight of the mean square coordinate beyond `FAMILIAR`.

    Raises:
        LatentEditError: steps below 0, or seconds that are not above 0.
    """

    passes: int = 2
    steps: int | None = None
    seconds: float = defaults.REFINE_SECONDS
    least: int = defaults.REFINE_LEAST
    learning_rate: float = 0.04
    spread: float = 0.3
    far: float = 0.3

    def __post_init__(self) -> None:
        steps = 0 if self.steps is None else self.steps
        if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 0:
            raise LatentEditError(f"refining steps cannot be {self.steps}: give 0 or more")
        if not (isinstance(self.seconds, Real) and self.seconds > 0):
            raise LatentEditError(
                f"seconds for refining cannot be {self.seconds}: give more than 0, or 0 steps"
            )


@dataclass(frozen=True)
class Progress:
    """How far refining has come.

    Attributes:
        step: steps done.
        loss: loss of the best latents so far.
        share: share of the allowed steps or seconds that is done, 0 to 1.
        left: about how many seconds are left.
    """

    step: int
    loss: float
    share: float
    left: float


@dataclass(frozen=True, eq=False)
class Inversion:
    """The latents of a photo.

    Attributes:
        latents: float32 [L, D].
        steps: refining steps that led to them.
        loss: their loss, or NaN if nothing was refined.
        interrupted: whether refining was stopped before its time.
    """

    latents: NDArray[np.float32]
    steps: int
    loss: float
    interrupted: bool = False


def encode(
    encoder: Encoder, draw: Sketch, photos: Tensor, resemblance: Resemblance, passes: int = 1
) -> Tensor:
    """Encode aligned photos [N, 3, H, W] in [-1, 1] -> coordinates u [N, groups, S].

    After the first pass, the encoder compares the photos with what was drawn of them.
    """
    looks = resemblance.looks(photos)
    found = encoder.changes(looks)
    for _ in range(passes - 1):
        drawn = draw(encoder.latents(found))
        found = found + encoder.changes(looks, resemblance.looks(drawn.clamp(-1, 1)))
    return found


def invert(
    photo: UInt8Array,
    encoder: Encoder,
    draw: Sketch,
    resemblance: Resemblance,
    options: InversionOptions | None = None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Inversion:
    """Find the latents of one photo; a pure function.

    A KeyboardInterrupt ends refining; the best latents so far are returned.

    Args:
        photo: uint8 [S, S, 3], aligned as the generator's faces are.
        encoder: the encoder of this generator.
        draw: the generator, at the encoder's resolution.
        resemblance: the loss that refining lowers; it also gives the encoder's inputs.
        options: see `InversionOptions`.
        on_step: called after each step.

    Raises:
        LatentEditError: the encoder belongs to a generator of another shape.
    """
    refining = Refinement(photo, encoder, draw, resemblance, options)
    if refining.options.steps == 0:
        return refining.first
    interrupted = False
    try:
        while not refining.done:
            refining.look()
            refining.move()
            on_step(refining.progress)
        refining.finish()
    except KeyboardInterrupt:
        interrupted = True
    return replace(refining.found, interrupted=interrupted)


class Refinement:
    """An inversion whose steps the caller takes: `look`, `move`, `look`, `move`, and so on.

    The encoder answers when the object is made. Each refining step has two halves, so that other
    work can be done between them.

    Args:
        photo, encoder, draw, resemblance, options: see `invert`.

    Attributes:
        options: see `InversionOptions`.
        first: the encoder's answer.
        step: refining steps done so far.

    Raises:
        LatentEditError: the encoder belongs to a generator of another shape.
    """

    def __init__(
        self,
        photo: UInt8Array,
        encoder: Encoder,
        draw: Sketch,
        resemblance: Resemblance,
        options: InversionOptions | None = None,
    ) -> None:
        space, config = draw.space, encoder.config
        if (space.layers, space.dim) != (config.layers, config.style):
            raise LatentEditError(
                f"this encoder gives latents [{config.layers}, {config.style}], the model takes "
                f"[{space.layers}, {space.dim}]: use the encoder of this model"
            )
        self.options = options = options or InversionOptions()
        self._parts = encoder, draw, resemblance
        with torch.inference_mode():
            wanted = to_tensor(photo[None], encoder.mean.device)
            found = encode(encoder, draw, wanted, resemblance, options.passes).float()
            latents = encoder.latents(found)[0].cpu().numpy()
        self.first = Inversion(latents, 0, float("nan"))
        self.step = 0
        self._wanted: Tensor | None = wanted.clone()
        self._goal: Seen | None = None
        self._loss: Tensor | None = None
        self._best = found.clone()[:, encoder.group_of_layers()[: draw.layers]]
        self._best_loss = float("inf")
        self._moving = self._best.clone().requires_grad_()
        self._moments = torch.zeros_like(self._best), torch.zeros_like(self._best)
        self._moves = torch.zeros(())
        self._begun: float | None = None

    @property
    def done(self) -> bool:
        """Whether the allowed steps, or seconds, are used up."""
        return self._share >= 1

    @property
    def progress(self) -> Progress:
        """How far refining has come."""
        spent, share = self._spent, max(self._share, 1e-6)
        return Progress(self.step, self._best_loss, min(share, 1), max(spent / share - spent, 0.0))

    @property
    def found(self) -> Inversion:
        """The best latents so far."""
        with torch.no_grad():
            latents = all_layers(self._parts[0], self._best)[0]
        loss = self._best_loss if self.step else float("nan")
        return Inversion(latents.detach().cpu().numpy(), self.step, loss)

    def look(self) -> None:
        """The first half of a step: draw, and compare with the photo."""
        resemblance = self._parts[2]
        with torch.enable_grad():
            if self._goal is None:
                assert self._wanted is not None
                with torch.no_grad():
                    self._goal = resemblance.look(self._wanted)
                self._wanted = None
                self._begun = time.perf_counter()
            self._loss = self._compared(self._goal)

    def finish(self) -> None:
        """Look at the latents of the last step, too; call it after all steps."""
        if self._goal is not None:
            with torch.no_grad():
                self._keep_better(self._compared(self._goal))

    def _compared(self, goal: Seen) -> Tensor:
        """Return the loss of the present latents."""
        encoder, draw, resemblance = self._parts
        drawn = draw(all_layers(encoder, self._moving))
        loss: Tensor = resemblance(drawn, goal)[0] + prior(self._moving, self.options)
        return loss

    def _keep_better(self, loss: Tensor) -> None:
        if float(loss.detach()) < self._best_loss:
            self._best, self._best_loss = self._moving.detach().clone(), float(loss.detach())

    def move(self) -> None:
        """The second half of a step: change the latents, so that they draw the photo better."""
        loss, self._loss = self._loss, None
        assert loss is not None
        with torch.enable_grad():
            (grad,) = torch.autograd.grad(loss, [self._moving])  # not of the weights
        self._keep_better(loss)
        warm, cooled = (self.step + 1) / WARM_STEPS, max((1 - self._share) / COOLED, 0) + LAST_RATE
        self._descend(grad, self.options.learning_rate * min(1, warm, cooled))
        self.step += 1

    @torch.no_grad()
    def _descend(self, grad: Tensor, rate: float) -> None:
        """Take a step of Adam.

        The class `torch.optim.Adam` is not used: the first one imports PyTorch's compiler, which
        takes more than a second.
        """
        mean, square = self._moments
        adam(
            [self._moving],
            [grad],
            [mean],
            [square],
            [],
            [self._moves],
            amsgrad=False,
            beta1=0.9,
            beta2=0.99,
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    @property
    def _spent(self) -> float:
        return 0.0 if self._begun is None else time.perf_counter() - self._begun

    @property
    def _share(self) -> float:
        """Share that is done of the steps asked for, or else of the seconds allowed."""
        options = self.options
        if options.steps is not None:
            return self.step / options.steps if options.steps > 0 else 1.0
        return min(self._spent / options.seconds, self.step / max(options.least, 1))


def all_layers(encoder: Encoder, coordinates: Tensor) -> Tensor:
    """u of the first layers [N, l, S] -> w+ [N, L, S]; layers after these repeat the last one."""
    rest = encoder.config.layers - coordinates.shape[1]
    last = coordinates[:, -1:].expand(-1, rest, -1)
    return encoder.mean + torch.cat((coordinates, last), 1) @ encoder.basis.T


def prior(coordinates: Tensor, options: InversionOptions) -> Tensor:
    """Return a penalty that keeps coordinates [N, l, S] near each other and near samples'."""
    apart = (coordinates - coordinates.mean(1, keepdim=True)).square().mean()
    far = (coordinates.square().mean((1, 2)) - FAMILIAR).clamp_min(0).mean()
    return options.spread * apart + options.far * far
