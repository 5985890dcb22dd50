"""SeFa's and GANSpace's directions, and anyone's, each matched to the attribute."""

from __future__ import annotations

from functools import partial

import numpy as np

from latentedit.boundaries import unsupervised
from latentedit.evaluation.methods.base import Find, Float64Array, Found, Material
from latentedit.evaluation.methods.matching import best_match, screen

DIRECTIONS = 20
"""That are tried for every attribute, the first ones."""

STEP = 2.0
"""Back and forth, in standard deviations of the latents."""

PCA_LATENTS = 4000


def unlabelled(method: str) -> Find:
    """The best of the first `DIRECTIONS` directions of one of `unsupervised.METHODS`.

    SeFa (Shen and Zhou 2021, equation 8) factorises the weights by which all layers look at the
    latent; GANSpace (Haerkoenen et al. 2020, section 2.2) takes principal components of w, or of
    the first layer's features where latents are z. Papers choose the layers that move by hand; here
    all layers do.
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
    """The direction among rows [K, D] that fits an attribute best, on its side.

    Raises:
        LatentEditError: none changes the attribute.
    """
    moves = np.array([material.scaled(row) for row in rows])
    best, side = best_match(screen(material, list(moves), STEP), material.column(attribute))
    return Found(side * moves[best], f"direction {best + 1} of {len(rows)}")
