from __future__ import annotations

import ctypes

import pytest
import torch
from torch import nn

from latentedit.errors import LatentEditError
from latentedit.inference import devices
from latentedit.inference.devices import (
    autocast,
    computes_bfloat16,
    device_name,
    keep_memory,
    pick_device,
    pick_precision,
    place,
)


def test_auto_prefers_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device().type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"


def test_launched_processes_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for local_rank in range(3):  # more processes than GPUs share them
        for name, value in {"RANK": 4 + local_rank, "WORLD_SIZE": 8}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("LOCAL_RANK", str(local_rank))
        assert pick_device() == torch.device("cuda", local_rank % 2)
    assert [device.index for device in chosen] == [0, 1, 0]


def test_cpu_by_name() -> None:
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "meta", "cpu cpu"])
def test_a_device_that_cannot_compute_is_refused(name: str) -> None:
    with pytest.raises(LatentEditError, match=f"{name!r} is not available: use auto or cpu"):
        pick_device(name)


def test_place_keeps_values_and_changes_the_memory_order() -> None:
    network = nn.Conv2d(3, 4, 3)
    before = network.weight.detach().clone()
    assert place(network, torch.device("cpu")) is network
    assert torch.equal(network.weight, before)
    assert network.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("computes", [True, False])
def test_autocast_computes_in_bf16_only_when_wanted_and_worthwhile(
    computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    cpu = torch.device("cpu")
    monkeypatch.setattr(devices, "computes_bfloat16", lambda device: computes)
    with autocast(cpu):
        assert network(images).dtype == (torch.bfloat16 if computes else torch.float32)
    with autocast(cpu, enabled=False):
        assert network(images).dtype == torch.float32


@pytest.mark.parametrize(
    ("has", "computes"),
    [
        ({"architecture": "x86_64", "avx512_f": True}, False),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, True),
        ({"architecture": "aarch64"}, True),
    ],
)
def test_bf16_that_is_only_imitated_does_not_count(
    has: dict[str, object], computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert computes_bfloat16(torch.device("cpu")) == computes


def test_names_for_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_name(torch.device("cpu")) == f"cpu, {torch.get_num_threads()} threads"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU {device.index}")
    assert device_name(torch.device("cuda:1")) == "the GPU 1"
    assert device_name(torch.device("mps")) == "mps"


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert pick_precision("float32", cpu) == torch.float32
    assert pick_precision("float32", torch.device("mps")) == torch.float32
    if computes_bfloat16(cpu):
        assert pick_precision("bfloat16", cpu) == torch.bfloat16


def test_precisions_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LatentEditError, match="float32 or bfloat16"):
        pick_precision("half", torch.device("cpu"))
    with pytest.raises(LatentEditError, match="this mps does not compute in bfloat16"):
        pick_precision("bfloat16", torch.device("mps"))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(LatentEditError, match="this cpu does not"):
        pick_precision("bfloat16", torch.device("cpu"))


def test_memory_is_kept_where_that_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_memory()
    assert torch.ones(1 << 20).sum() == 1 << 20

    def no_library(name: object) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    keep_memory()
