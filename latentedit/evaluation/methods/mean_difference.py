"""The difference of mean latents: faces with the attribute less faces without."""

from __future__ import annotations

import numpy as np

from latentedit.errors import LatentEditError
from latentedit.evaluation.methods.base import Found, Material

LEAST = 0.02
"""Share of the reference on either side, at the least: rarer ones are the most extreme faces."""


def mean_difference(material: Material, attribute: str) -> Found:
    """A global direction as StyleCLIP's, with a classifier's labels where that has texts.

    The mean latent of the reference's faces with the attribute less that of those without
    (Radford et al. 2016, section 6.3.2, averages exemplars' z so; Patashnik et al. 2021 take global
    directions from CLIP's texts). Where less than `LEAST` of the
    faces are on one side, the `LEAST` of the faces with the most extreme logits are.
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
