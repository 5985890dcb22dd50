"""Saving and restoring a training run: networks, optimisers and random state in one file.

The safetensors file is replaced atomically. So a run folder holds one consistent state, even if the
run is killed at any moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path

ALONE = "discriminators_alone"
"""Entry in the progress of a state that holds discriminators, but no generator."""

SAVE_EVERY = 60.0
"""Seconds after which a run's state is saved, even between the saves that its options ask for."""

SAVE_SHARE = 0.02
"""Share of a run's time that saving by time may take, so that large states are saved less often."""

MOST_DETAIL = 200
"""Most characters of PyTorch's message that an error repeats; it names every weight."""


class StateKeeper:
    """Saves a run's state, and says when it is time to.

    Args:
        path: the state file.
        networks: see `save_state`.
        optimizers: see `save_state`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
    ) -> None:
        self._path, self._networks, self._optimizers = path, networks, optimizers
        self._next = time.monotonic() + SAVE_EVERY

    @property
    def due(self) -> bool:
        """Whether it is time to save.

        It is `SAVE_EVERY` seconds after the last save, or later if that was slow, see `SAVE_SHARE`.
        """
        return time.monotonic() >= self._next

    def save(self, progress: Mapping[str, Any]) -> None:
        """Save the state; see `save_state`."""
        started = time.monotonic()
        save_state(
            self._path, networks=self._networks, optimizers=self._optimizers, progress=progress
        )
        ended = time.monotonic()
        self._next = ended + max(SAVE_EVERY, (ended - started) / SAVE_SHARE)


def save_state(
    path: str | Path,
    *,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    progress: Mapping[str, Any],
) -> None:
    """Write everything a run needs to go on.

    Args:
        path: the state file, replaced atomically.
        networks: saved as ``<name>.<parameter>``.
        optimizers: saved as ``<name>.<parameter index>.<slot>``.
        progress: JSON values: images seen, options and the like.
    """
    tensors: dict[str, Tensor] = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        tensors["rng.mps"] = torch.mps.get_rng_state()
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            tensors[f"{name}.{key}"] = value.detach().contiguous().clone()
    for name, optimizer in optimizers.items():
        for index, slots in optimizer.state_dict()["state"].items():
            for slot, value in slots.items():
                tensors[f"{name}.{index}.{slot}"] = torch.as_tensor(value).contiguous().clone()
    write_state(path, tensors, progress)


def write_state(
    path: str | Path, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]
) -> None:
    """Replace a state file by these tensors, named as in `save_state`, and this progress."""
    with atomic_path(path) as temporary:
        save_file(dict(tensors), temporary, metadata={"progress": json.dumps(dict(progress))})


def read_progress(path: str | Path) -> dict[str, Any]:
    """Return the `progress` that `save_state` was given.

    Raises:
        LatentEditError: missing or not a state file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(json.loads(file.metadata()["progress"]))
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError):
        raise LatentEditError(
            f"{path} is not a training state: give another run, or begin this one without --resume"
        ) from None


def read_state(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a state file's progress and all its tensors, named as in `save_state`.

    A packed state has no generator of its own: the average that it keeps is returned as generator.

    Raises:
        LatentEditError: missing or not a state file.
    """
    progress = read_progress(path)
    with safe_open(str(path), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if not any(key.startswith("generator.") for key in tensors):
        kept = {key: value for key, value in tensors.items() if is_average(key)}
        tensors |= {f"generator.{key.split('.', 1)[1]}": value for key, value in kept.items()}
    return progress, tensors


def load_state(
    path: str | Path,
    *,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
) -> dict[str, Any]:
    """Restore what `save_state` wrote, random state included, and return its `progress`.

    Raises:
        LatentEditError: missing, not a state file, or made with other networks.
    """
    progress, tensors = read_state(path)
    torch.set_rng_state(tensors.pop("rng.cpu"))
    cuda_state = tensors.pop("rng.cuda", None)
    if cuda_state is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(cuda_state)
    mps_state = tensors.pop("rng.mps", None)
    if mps_state is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(mps_state)
    tensors.pop("objective.sliced._step", None)  # in states of older versions
    for name, network in networks.items():
        _load(network, with_prefix(tensors, name), path)
    for name, optimizer in optimizers.items():
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in with_prefix(tensors, name).items():
            index, slot = key.split(".", 1)
            if int(index) >= len(weights):
                raise LatentEditError(
                    f"{path} was made with other options, of more networks: give the options "
                    "in the run's options.json"
                )
            like = weights[int(index)]
            if value.shape == like.shape:  # fused optimisers need the same memory layout
                value = torch.empty_like(like, dtype=value.dtype, device="cpu").copy_(value)
            slots.setdefault(int(index), {})[slot] = value
        for place, moments in slots.items():
            if "exp_avg_sq_rows" in moments:  # a packed state
                rows, columns = (moments.pop(f"exp_avg_sq_{of}") for of in ("rows", "columns"))
                product = torch.outer(rows, columns).view(weights[place].shape)
                moments["exp_avg_sq"] = torch.empty_like(weights[place], device="cpu").copy_(
                    product
                )
            if "exp_avg_sq" in moments:
                moments.setdefault("exp_avg", torch.zeros_like(moments["exp_avg_sq"]))
        state = optimizer.state_dict()
        optimizer.load_state_dict({"state": slots, "param_groups": state["param_groups"]})
    return progress


def factor(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows [O] and columns [I ...] whose outer product approximates `moments` [O, I, ...].

    The outer product has the same means along rows and columns as `moments`.
    """
    flat = moments.flatten(1)
    return flat.mean(1), flat.mean(0) / flat.mean().clamp_min(1e-30)


def check_whole(progress: Mapping[str, Any], folder: str | Path) -> None:
    """Check that a generator run's state has the generator.

    Raises:
        LatentEditError: it holds discriminators alone, see `packing.pack_discriminators`.
    """
    if progress.get(ALONE):
        raise LatentEditError(
            f"{folder} holds discriminators alone: start another run from these and their "
            f"generator, with --init {folder} --init BUNDLE"
        )


def load_network(path: str | Path, name: str, network: nn.Module) -> dict[str, Any]:
    """Load one network of a state file into `network` and return the file's `progress`.

    Raises:
        LatentEditError: missing, not a state file, or another network.
    """
    progress = read_progress(path)
    prefix = f"{name}."
    with safe_open(str(path), framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
        weights = {key[len(prefix) :]: file.get_tensor(key) for key in keys}
    _load(network, weights, path)
    return progress


def average_name(ema_kimg: float) -> str:
    """Return the name of an average among a state's networks; it must hold no dot."""
    return f"average_{round(ema_kimg * 1000)}"


def is_average(name: str) -> bool:
    """Whether this is the name of an average, or of a tensor of one."""
    return name.startswith("average_")


def _load(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        detail = shorten(" ".join(str(error).split()), MOST_DETAIL, placeholder=" ...")
        raise LatentEditError(
            f"{path} was made with other options: {detail}; --resume without a recipe and settings "
            "keeps the run's own"
        ) from None


def with_prefix(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors of one network or optimiser, without its name in front of theirs."""
    prefix = f"{name}."
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
