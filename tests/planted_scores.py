"""A classifier that everybody can check."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from latentedit.editing.editor import FaceEditor


def scoring(
    attribute: str, logits: Callable[[NDArray[np.uint8]], NDArray[np.float64]]
) -> Callable[[FaceEditor, NDArray[np.uint8]], NDArray[np.float32]]:
    """Stand in for `FaceEditor.score`: one attribute by its logits, one half for all others."""

    def score(editor: FaceEditor, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores = np.full((len(images), len(editor.attributes)), 0.5, np.float32)
        scores[:, editor.attributes.index(attribute)] = 1 / (1 + np.exp(-logits(images)))
        return scores

    return score
