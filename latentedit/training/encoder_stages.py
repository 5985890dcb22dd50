"""The two stages of an encoder's training: first from pairs, then from photos."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.random import RandomState
from torch import Tensor, nn

from latentedit.data.face_file import FaceData
from latentedit.generators.base import FaceGenerator
from latentedit.inference.devices import autocast, computes_bfloat16
from latentedit.io.images import to_tensor
from latentedit.photos.encoder import Encoder
from latentedit.photos.inversion import InversionOptions, prior
from latentedit.photos.resemblance import Resemblance
from latentedit.photos.sketch import Sketch
from latentedit.training.options import EncoderOptions
from latentedit.training.pairs import Pairs
from latentedit.training.shown import Shown, grouped
from latentedit.training.wear import wear

WARM_STEPS = 200
"""First steps of the `PairStage`, in which the learning rate rises."""

PHOTOS = 0.75
"""Share of photos in the `FaceStage`; its other faces are pictures of pairs."""

AGAIN = 0.5
"""Share of the steps of the `FaceStage` in which the encoder corrects its own first result."""


class PairStage:
    """Steps that learn the latents of pairs; visible differences of latents count most.

    Attributes:
        shown: see `Shown`.
    """

    def __init__(
        self,
        encoder: Encoder,
        optimizer: torch.optim.Optimizer,
        pairs: Pairs,
        shown: Shown,
        resemblance: Resemblance,
        options: EncoderOptions,
    ) -> None:
        self._encoder, self._optimizer, self._options = encoder, optimizer, options
        self._resemblance, self.shown = resemblance, shown
        self._feed = Feed(pairs, options)

    def step(self, step: int) -> float:
        """Learn from one batch; return its loss."""
        options, device = self._options, self._encoder.mean.device
        pictures, latents = (part.to(device) for part in self._feed.batch(step))
        rate = options.learning_rate * min(1, (step + 1) / WARM_STEPS)
        self._encoder.train()
        with autocast(device, options.bf16):
            with torch.no_grad():
                looks = self._resemblance.looks(pictures)
            found = self._encoder.changes(looks)
        loss = self.shown(found.float(), grouped(self._encoder, latents))
        descend(self._encoder, self._optimizer, loss, rate * cosine(step / options.steps))
        return float(loss.detach())


class FaceStage:
    """Steps that make the generator's pictures of the found latents resemble photos.

    Batch norms keep their statistics: batches are small, and photos differ from drawn pictures.
    """

    def __init__(
        self,
        encoder: Encoder,
        optimizer: torch.optim.Optimizer,
        pairs: Pairs,
        photos: FaceData | None,
        generator: FaceGenerator,
        resemblance: Resemblance,
        options: EncoderOptions,
    ) -> None:
        self._encoder, self._optimizer, self._options = encoder, optimizer, options
        self._pairs, self._photos, self._resemblance = pairs, photos, resemblance
        self._prior = InversionOptions()
        halves = options.bf16 and computes_bfloat16(encoder.mean.device)
        dtype = torch.bfloat16 if halves else torch.float32
        self._draw = Sketch(generator, encoder.config.resolution, dtype)

    def step(self, step: int) -> float:
        """Learn from one batch; return its loss."""
        options, encoder = self._options, self._encoder.eval()
        random = RandomState([options.seed, 1, step])
        photos, worn = self._batch(random)
        before: Tensor | None = None
        with autocast(worn.device, options.bf16), torch.no_grad():
            wanted = self._resemblance.look(photos)
            looks, drawn = self._resemblance.looks(worn), None
            if random.uniform() < AGAIN:
                before = encoder.changes(looks).float()
                drawn = self._resemblance.looks(self._draw(encoder.latents(before)).clamp(-1, 1))
        with autocast(worn.device, options.bf16):
            found = encoder.changes(looks, drawn).float()
        found = found if before is None else before + found
        pictures = self._draw(encoder.latents(found))
        with autocast(worn.device, options.bf16):
            loss = self._resemblance(pictures, wanted).mean()
        loss = loss + prior(found, self._prior)
        done = (step - options.steps) / max(options.face_steps, 1)
        descend(encoder, self._optimizer, loss, options.face_learning_rate * cosine(done))
        return float(loss.detach())

    def _batch(self, random: RandomState) -> tuple[Tensor, Tensor]:
        """Return faces [n, 3, S, S], and the same faces with wear.

        Photos have wear already; half of them are mirrored.
        """
        known = len(self._pairs) - self._options.validation
        faces, worn = [], []
        for _ in range(self._options.face_batch_size):
            if self._photos is not None and random.uniform() < PHOTOS:
                face = np.array(self._photos.images[random.randint(len(self._photos))])
                face = face[:, ::-1] if random.uniform() < 0.5 else face
                worn.append(face)
            else:
                face = self._pairs.picture(random.randint(known))
                worn.append(wear(face, random))
            faces.append(face)
        device = self._encoder.mean.device
        return to_tensor(np.stack(faces), device), to_tensor(np.stack(worn), device)


def cosine(done: float) -> float:
    """Return the rate's factor, which falls from 1 to 0; `done` is the share of steps taken."""
    return 0.5 + 0.5 * math.cos(math.pi * done)


def descend(encoder: Encoder, optimizer: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    """Take one step of the optimiser at this rate; the gradient's norm is cut to 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
    optimizer.step()


class Feed:
    """Batches of pictures with wear and their latents, prepared one step ahead.

    A batch depends only on the seed and the step, so a resumed run gets the same batches.
    """

    def __init__(self, pairs: Pairs, options: EncoderOptions) -> None:
        self._pairs, self._options = pairs, options
        self._worker = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[tuple[Tensor, Tensor]]] | None = None

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return pictures [n, 3, S, S] in [-1, 1] and w+ [n, L, D] for one step."""
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = step, self._worker.submit(self._made, step)
        made = self._ahead[1].result()
        self._ahead = step + 1, self._worker.submit(self._made, step + 1)
        return made

    def _made(self, step: int) -> tuple[Tensor, Tensor]:
        random = RandomState([self._options.seed, step])
        known = len(self._pairs) - self._options.validation
        rows = random.randint(0, known, self._options.batch_size)
        pictures = np.stack([wear(self._pairs.picture(row), random) for row in rows])
        return to_tensor(pictures), self._pairs.latents(rows)
