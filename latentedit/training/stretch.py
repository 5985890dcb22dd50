"""Directions of latent space along which generated people should differ more than they do.

A generator gives up rare kinds of faces first. What a classifier of UTKFace's races answers follows
latents in part linearly; along those directions latents can be stretched (`Generator.stretched`),
as psi does along all.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from latentedit import defaults, latents
from latentedit.age import tight_view
from latentedit.classifier import AttributeClassifier
from latentedit.devices import pick_device
from latentedit.generator import Generator
from latentedit.inference import prepare
from latentedit.training.utkface import RACES, check_people

FACES = 4000
"""Samples that the directions are fitted to."""

_RIDGE = 200.0
"""A twentieth of what the squares of 4,000 latents sum to: steadies the fit of 512 numbers."""
_BATCH = 64


@torch.inference_mode()
def race_directions(
    generator: Generator, people: AttributeClassifier, *, faces: int = FACES, device: str = "auto"
) -> NDArray[np.float64]:
    """Find directions that what a classifier of races says follows linearly.

    Args:
        generator: any.
        people: of `utkface.QUESTIONS`.
        faces: samples.
        device: auto, cpu, cuda, mps.

    Returns:
        Orthonormal columns, float64 [latent_dim, 4], the one that moves the answers most first.

    Raises:
        LatentEditError: a classifier of something else.
    """
    check_people(people)
    place = pick_device(device)
    render, answer = (prepare(copy.deepcopy(n).to(place).eval()) for n in (generator, people))
    first = defaults.STRETCH_FIRST_SEED
    z = latents.sample(range(first, first + faces), generator.config.latent_dim)
    parts = torch.from_numpy(z).to(place).split(_BATCH)
    logits = torch.cat([answer(tight_view(render(part))) for part in parts])
    columns = [people.config.attributes.index(name) for name in RACES]
    answers = logits[:, columns].cpu().double().numpy()
    follow = Ridge(alpha=_RIDGE).fit(z.astype(np.float64), answers)
    return np.asarray(np.linalg.svd(follow.coef_, full_matrices=False)[2].T)
