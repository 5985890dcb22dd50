"""Where and in what precision networks run."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import TypeVar

import torch
from torch import nn

from latentedit.errors import LatentEditError
from latentedit.io.launch import launch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h

Network = TypeVar("Network", bound=nn.Module)


def pick_device(name: str = "auto") -> torch.device:
    """Return the named device, or for ``auto`` CUDA, then MPS, then CPU.

    Each process that a launcher started on a computer takes a GPU of its own.

    Raises:
        LatentEditError: a name torch does not know, or a device that is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return _own_gpu()
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # "meta" exists, and computes nothing
    except (RuntimeError, AssertionError):
        raise LatentEditError(f"device {name!r} is not available: use auto or cpu") from None
    return device


def _own_gpu() -> torch.device:
    launched = launch()
    if launched.world_size == 1:
        return torch.device("cuda")
    device = torch.device("cuda", launched.local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)  # new streams belong to the current GPU
    return device


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type that ``float32`` or ``bfloat16`` names.

    Raises:
        LatentEditError: another name, or a device that is not made for bfloat16.
    """
    if name not in ("float32", "bfloat16"):
        raise LatentEditError(f"no precision {name!r}: give float32 or bfloat16")
    if name == "bfloat16" and not computes_bfloat16(device):
        raise LatentEditError(f"this {device.type} does not compute in bfloat16: use float32")
    return torch.float32 if name == "float32" else torch.bfloat16


def device_name(device: torch.device) -> str:
    """What a card calls a device, such as ``NVIDIA H200`` or ``cpu, 2 threads``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    # oneDNN also takes bfloat16 where AVX-512 has to imitate it, at a third of float32's speed
    has = torch.cpu.get_capabilities()
    computes = has.get("avx512_bf16", False) or has.get("amx_bf16", False)
    imitates = has.get("architecture") == "x86_64" and not computes
    return not imitates and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def place(network: Network, device: torch.device) -> Network:
    """Move a network to a device, its convolutions in the memory order that runs fastest."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def keep_memory() -> None:
    """Keep freed memory for the next tensor, where the C library is glibc.

    By default glibc gives large blocks back to the system. The system then clears every page again
    for the next tensor of the same size. In loops over small networks, that takes longer than some
    layers do.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def autocast(device: torch.device, enabled: bool = True) -> torch.autocast:
    """bfloat16 autocast: convolutions and products in bf16, weights and losses in fp32.

    Where a device only imitates bfloat16, which can take a hundred times as long, or is not known
    to compute it (MPS), all stays fp32.
    """
    enabled = enabled and computes_bfloat16(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
