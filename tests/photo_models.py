"""A tiny model that takes photos, and photos with a drawn face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from portraits import draw_portrait
from tiny_generators import mobilestylegan

from latentedit.boundaries.model import Boundaries
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.photos.encoder import Encoder, EncoderConfig
from latentedit.pretrained.bundles import save_generator, save_part
from latentedit.pretrained.hashing import weights_hash

ENCODER = EncoderConfig(32, (8, 12), (1, 1), 4, 16, style=16, layers=8, groups=(0, 3, 5))
"""Of `mobilestylegan`."""


def tiny_encoder() -> Encoder:
    torch.manual_seed(1)
    return Encoder(ENCODER).eval().requires_grad_(False)


def write_bundle(folder: Path) -> Path:
    """A MobileStyleGAN with classifier, boundaries and encoder."""
    generator = mobilestylegan()
    torch.manual_seed(3)
    classifier = AttributeClassifier(ClassifierConfig(16, 4, (4, 8), (1, 1)))
    normals = np.random.RandomState(0).standard_normal((3, generator.latent_dim))
    boundaries = Boundaries(
        names=("Young", "Male", "Smiling"),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        biases=np.array([0.1, -0.2, 0.3]),
        generator_hash=weights_hash(generator),
        space="w",
        auto={"Young": {"Male": 0.5}},
    )
    save_generator(folder, generator, {"terms": "none"})
    save_part(folder, "classifier", classifier, classifier.config, {})
    encoder = tiny_encoder()
    card = {"generator_hash": weights_hash(generator)}
    save_part(folder, "encoder", encoder, encoder.config, card)
    boundaries.save(folder / "boundaries.safetensors")
    return folder


def draw_photo(faces: int = 1) -> NDArray[np.uint8]:
    """A photo, uint8 [300, 300 * faces, 3]; faces grow from the left."""
    parts = [draw_portrait((300, 300), (150.0, 140.0), 55.0 + 8 * n) for n in range(faces)]
    return np.concatenate(parts, axis=1)
