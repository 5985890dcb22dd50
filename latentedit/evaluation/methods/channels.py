"""StyleSpace: one channel of one layer's style."""

from __future__ import annotations

import numpy as np

from latentedit.errors import LatentEditError
from latentedit.evaluation.methods.base import Float64Array, Found, Material, Reference
from latentedit.evaluation.methods.matching import best_match, screen

CANDIDATES = 5
"""Channels that are tried for an attribute: those that best tell its faces from others."""

EXEMPLARS = 30
"""Faces with the most extreme logits, which stand for the attribute, as in the paper."""

STEP = 10.0
"""Step back and forth at which channels are tried, in standard deviations of the channel."""

REACH = 40.0
"""Longest step. One channel out of thousands must move far before anything shows."""


def channel(material: Material, attribute: str) -> Found:
    """Move the one channel of style space that fits an attribute best (Wu et al. 2021).

    Candidates are the channels with the largest `relevances` in exemplars (the paper's "Detecting
    attribute-specific channels"). One of them is chosen as other directions are, see
    `matching.best_match`.

    A style is linear in its layer's latent, s = A w + b. If w moves by A's pseudoinverse times d,
    one channel moves by d, and no other channel of the layer moves.

    Raises:
        LatentEditError: the generator has no styles, or see `best_match`.
    """
    generator, column = material.editor.generator, material.column(attribute)
    layers = material.editor.layers
    shown = generator.layers_of(material.size)
    if generator.source_of(material.size) != generator.resolution:
        shown -= 1  # the last layer's latent makes the preview's colours too
    weights = [each.detach().double().cpu().numpy() for each in generator.style_weights()][:shown]
    reference = material.reference
    order = np.argsort(reference.logits[:, column], kind="stable")
    count = min(EXEMPLARS, max(2, len(order) // 10))
    exemplars = reference.latents[order[-count:]].astype(np.float64)
    relevance = [relevances(reference, each, exemplars) for each in weights]
    places = [(layer, number) for layer, each in enumerate(weights) for number in range(len(each))]
    ranked = np.argsort(-np.concatenate(relevance), kind="stable")[:CANDIDATES]
    moves = []
    for row in ranked:
        layer, number = places[row]
        moves.append(single_channel(reference, weights[layer], layer, number, layers))
    best, side = best_match(screen(material, moves, STEP), column)
    layer, number = places[ranked[best]]
    return Found(side * moves[best], f"layer {layer}, channel {number}", REACH)


def relevances(reference: Reference, weight: Float64Array, exemplars: Float64Array) -> Float64Array:
    """Say how well each channel of a layer tells exemplars from all faces (Wu et al. 2021).

    A style's difference is from the mean face's style, in standard deviations of that style.

    Args:
        reference: latents of all faces.
        weight: of the layer's style, [C, D]; the bias plays no part.
        exemplars: latents of the exemplars, [E, D].

    Returns:
        |mean| / standard deviation of the differences over exemplars, [C].
    """
    spreads = np.maximum(reference.spread(weight), 1e-12)
    differences = (exemplars - reference.mean) @ weight.T / spreads
    return np.abs(differences.mean(0)) / np.maximum(differences.std(0), 1e-12)


def single_channel(
    reference: Reference, weight: Float64Array, layer: int, number: int, layers: int
) -> Float64Array:
    """Return the move [L, D] of one channel by its standard deviation, and of no other channel.

    Raises:
        LatentEditError: the layer's channels are not independent.
    """
    target = np.zeros(len(weight))
    target[number] = reference.spread(weight[number])
    step = np.linalg.lstsq(weight, target, rcond=None)[0]
    if np.abs(weight @ step - target).max() > 1e-3 * target[number]:
        raise LatentEditError(f"channels of layer {layer} do not move alone")
    move = np.zeros((layers, len(step)))
    move[layer] = step
    return move
