"""Every key of a checkpoint is accounted for: used, named as unused, or an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator

Shape = tuple[int | None, ...]
"""A shape; None stands for any size, because the key that would tell it is missing."""

_MOST_NAMED = 6
_LONGEST = 120


class Reading(NamedTuple):
    """What a reader made of a file.

    Attributes:
        network: in eval mode.
        keys: how many tensors of the file it is made of.
        notes: what the user should know.
        unused: reason by name for everything else in the file.
    """

    network: FaceGenerator
    keys: int
    notes: list[str]
    unused: dict[str, str] = {}  # noqa: RUF012 - never changed


def account(
    state: Mapping[str, Any], expected: Mapping[str, Shape], what: str
) -> dict[str, Tensor]:
    """Check that a state dictionary holds exactly the expected tensors.

    Args:
        state: what is in the file.
        expected: shape by key.
        what: file and format, for the message.

    Returns:
        The tensors as float32 on the CPU, by key.

    Raises:
        LatentEditError: one message with all keys that are missing, extra, of another shape, or no
            plain tensors of finite floating-point numbers.
    """
    missing = [key for key in expected if key not in state]
    extra = [key for key in state if key not in expected]
    wrong = []
    tensors: dict[str, Tensor] = {}
    for key, shape in expected.items():
        if key not in state:
            continue
        problem = _problem(state[key], shape)
        if problem:
            wrong.append(f"{key} {problem}")
        else:
            tensors[key] = state[key].detach().float().contiguous()
    if missing or extra or wrong:
        parts = (("missing", missing), ("unknown", extra), ("wrong", wrong))
        found = "; ".join(f"{title}: {_few(keys)}" for title, keys in parts if keys)
        raise LatentEditError(f"{what} does not fit: {found}")
    return tensors


def _problem(value: Any, shape: Shape) -> str:
    if type(value) not in (Tensor, torch.nn.Parameter) or not value.is_floating_point():
        return "is no tensor of floating-point numbers"
    if value.layout is not torch.strided or value.is_quantized:
        return "is no dense tensor"
    if not fits(value, shape):
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        return f"has shape {list(value.shape)}, not [{sizes}]"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return "claims more values than the file holds"
    if not torch.isfinite(value).all():
        return "holds NaN or infinity"
    return ""


def fits(value: Tensor, shape: Shape) -> bool:
    """Whether a tensor has a shape in which None stands for any size."""
    return value.ndim == len(shape) and all(
        wanted in (None, size) for size, wanted in zip(value.shape, shape, strict=True)
    )


def size_of(state: Mapping[str, Any], key: str, axis: int) -> int | None:
    """Size of one axis of a tensor; None if there is no such tensor or axis."""
    value = state.get(key)
    if not isinstance(value, Tensor) or value.ndim <= axis:
        return None
    return value.shape[axis]


def _few(keys: Iterable[str]) -> str:
    keys = [" ".join(key.split())[:_LONGEST] for key in keys]  # the file chose the names
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    return ", ".join(keys[:_MOST_NAMED]) + more
