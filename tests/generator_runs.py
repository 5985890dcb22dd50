"""Tiny runs of the generator's training, for the tests of several modules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open
from torch import Tensor

from latentedit.data.face_file import FaceData
from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator
from latentedit.training.gan.adversarial import train_generator
from latentedit.training.options import GeneratorOptions

TINY = GeneratorOptions(
    objective="r1",
    resolution=16,
    fmap_base=64,
    fmap_max=8,
    discriminator_fmap_base=64,
    discriminator_fmap_max=8,
    start=8,
    stable_kimg=(0.04,),
    fade_kimg=(0.08,),
    total_kimg=0.16,
    decay_kimg=0.1,
    batch_size=8,
    ema_kimg=(0.05,),
    save_kimg=0.04,
    device="cpu",
    bf16=False,
)


def train(
    data: FaceData, folder: Path, options: GeneratorOptions = TINY, **changes: object
) -> Generator:
    return train_generator(data, folder, options, **{"validation": 40, **changes})


def refused(*arguments: object, **changes: object) -> str:
    """The one line in which a run is refused."""
    with pytest.raises(LatentEditError) as caught:
        train(*arguments, **changes)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def contents(run: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """All tensors and the progress of a run's state."""
    with safe_open(str(run / "state.safetensors"), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["progress"])
