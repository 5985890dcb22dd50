"""A tiny model with reference latents whose logits are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.whitening import Whitening
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing.editor import FaceEditor
from latentedit.evaluation.methods.base import Material, Reference
from latentedit.generators.base import FaceGenerator
from latentedit.io.folders import ResumableFolder
from latentedit.pretrained.hashing import weights_hash


def boundaries_of(generator: FaceGenerator, *, whitened: bool = False) -> Boundaries:
    """Random ones of all 40 attributes; Young is held against Male and Gray_Hair by auto."""
    random = np.random.RandomState(0)
    normals = random.standard_normal((len(ATTRIBUTES), generator.latent_dim))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    spread = random.standard_normal((400, generator.latent_dim)) @ np.diag(
        np.linspace(0.2, 2, generator.latent_dim)
    )
    return Boundaries(
        names=ATTRIBUTES,
        normals=normals,
        biases=np.linspace(-0.2, 0.2, len(ATTRIBUTES)),
        generator_hash=weights_hash(generator),
        space=generator.space.name,
        auto={"Young": {"Male": 0.8, "Gray_Hair": 0.5}},
        whitening=Whitening.of(spread) if whitened else None,
    )


def material_of(
    generator: FaceGenerator, classifier: AttributeClassifier, folder: Path
) -> Material:
    """Of a generator; the logits of its reference are their latents' distances from boundaries."""
    boundaries = boundaries_of(generator)
    editor = FaceEditor(generator, classifier, boundaries=boundaries, name="tiny")
    latents = editor.sample(range(1000, 1300))
    logits = boundaries.distances(latents).astype(np.float32)
    return Material(
        editor,
        boundaries,
        Reference(latents, logits, "known"),
        ResumableFolder(folder, "card.json", {}, content="measurement"),
        range(2),
        editor.judged_size,
    )
