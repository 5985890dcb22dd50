"""The difference of mean latents: faces with the attribute minus faces without it."""

from __future__ import annotations

import numpy as np

from latentedit.errors import LatentEditError
from latentedit.evaluation.methods.base import Found, Material

LEAST = 0.02
"""Smallest share of the reference on either side; a rarer side takes the most extreme faces."""


def mean_difference(material: Material, attribute: str) -> Found:
    """Return a global direction like StyleCLIP's, from a classifier's labels instead of texts.

    It is the mean latent of the reference's faces with the attribute, minus the mean latent of
    those without it. Radford et al. 2016, section 6.3.2, average exemplars' z in this way;
    Patashnik et al. 2021 take global directions from CLIP's texts. If less than `LEAST` of the
    faces are on one side, the faces with the most extreme logits, `LEAST` of all, are used there.
    """
    logits = material.reference.logits[:, material.column(attribute)]
    count = max(1, round(LEAST * len(logits)))
    order = np.argsort(logits, kind="stable")
    positive, negative = logits > 0, logits <= 0
    if positive.sum() < count:
        positive = np.isin(np.arange(len(logits)), order[-count:])
    if negative.sum() < count:
        negative = np.isin(np.arange(len(logits)), order[:count])
    latents = material.reference.latents.astype(np.float64)
    difference = latents[positive].mean(0) - latents[negative].mean(0)
    if not np.linalg.norm(difference) > 0:
        raise LatentEditError("both sides of the reference have the same mean")
    return Found(material.scaled(difference), f"{positive.sum()} with, {negative.sum()} without")
