"""Directions without labels, of SeFa, GANSpace or a file, matched to the attribute."""

from __future__ import annotations

from functools import partial

import numpy as np

from latentedit.boundaries import unsupervised
from latentedit.evaluation.methods.base import Find, Float64Array, Found, Material
from latentedit.evaluation.methods.matching import best_match, screen

DIRECTIONS = 20
"""How many directions, the first ones, are tried for every attribute."""

STEP = 2.0
"""Step back and forth at which directions are tried, in standard deviations of the latents."""

PCA_LATENTS = 4000


def unlabelled(method: str) -> Find:
    """Use the best of the first `DIRECTIONS` directions of one of `unsupervised.METHODS`.

    SeFa (Shen and Zhou 2021, equation 8) factorises the weights that all layers apply to the
    latent. GANSpace (Haerkoenen et al. 2020, section 2.2) takes principal components of w, or of
    the first layer's features where latents are z. The papers choose by hand which layers move;
    here all layers move.
    """
    return partial(_unlabelled, method=method)


def _unlabelled(material: Material, attribute: str, method: str) -> Found:
    space = material.editor.generator.space.dim
    if method == "sefa":
        count = min(DIRECTIONS, *material.editor.generator.first_weights().shape)
        rows, _ = unsupervised.sefa(material.editor.generator, count)
    else:
        kept = material.folder.keep(
            f"{method}-{DIRECTIONS}-{PCA_LATENTS}",
            lambda: {
                "rows": unsupervised.pca(
                    material.editor, min(DIRECTIONS, space), count=PCA_LATENTS
                )[0]
            },
        )
        rows = kept["rows"]
    return matched(material, attribute, rows)


def matched(material: Material, attribute: str, rows: Float64Array) -> Found:
    """Return the direction among rows [K, D] that fits an attribute best, signed to add it.

    Raises:
        LatentEditError: no direction changes the attribute.
    """
    moves = np.array([material.scaled(row) for row in rows])
    best, side = best_match(screen(material, list(moves), STEP), material.column(attribute))
    return Found(side * moves[best], f"direction {best + 1} of {len(rows)}")
