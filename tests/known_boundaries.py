"""Forty boundaries, and strategies for edits along them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.generators.latents import sample

DIM = 64
AUTO = {"Young": {"Gray_Hair": 0.9, "Male": 0.5}, "Male": {"Young": 1.0, "Bald": 0.25}}


def make_boundaries(seed: int = 0, generator_hash: str = "tiny") -> Boundaries:
    """Forty boundaries that lean on each other."""
    random = np.random.RandomState(seed)
    rows = random.standard_normal((40, DIM)) + 0.4 * random.standard_normal(DIM)
    return Boundaries(
        names=ATTRIBUTES,
        normals=rows / np.linalg.norm(rows, axis=1, keepdims=True),
        biases=random.standard_normal(40),
        generator_hash=generator_hash,
        auto=AUTO,
    )


BOUNDARIES = make_boundaries()
Z = sample(range(5), DIM)

names = st.sampled_from(ATTRIBUTES)
steps = st.floats(-20, 20)
hold_words = st.sampled_from(["auto", "none"])
holds = st.one_of(hold_words, st.dictionaries(names, st.floats(0, 1), max_size=5))
edits = st.dictionaries(names, steps, min_size=1, max_size=4)
