"""Generators under all the names that training code gives them, and what lies beside them."""

from __future__ import annotations

import collections
import datetime
import enum
import pathlib
import pickle
import random
import types
import uuid

import checkpoint_writers as writers
import numpy as np
import pytest
import torch

from latentedit.checkpoints import convert
from latentedit.checkpoints.layouts import AVERAGES, PLAIN, find_network
from latentedit.checkpoints.objects import Settings, Skipped
from latentedit.checkpoints.tensors import load_torch
from latentedit.errors import LatentEditError

STATE = writers.pggan_state("higan", [6, 4])
ZEROS = {key: torch.zeros_like(value) for key, value in STATE.items()}
WANTED = writers.pggan_images(STATE, "higan", writers.latents())


def agrees(path) -> bool:
    with torch.inference_mode():
        return bool((convert(path).network(writers.latents()) - WANTED).abs().max() < 1e-4)


def save(path, value):
    torch.save(value, path)
    return path


def prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize("name", [*AVERAGES, *PLAIN, "somebody_elses_name"])
def test_wrappers(tmp_path, name):
    path = save(tmp_path / "a.pt", {"epoch": 3, name: STATE, "optimizer": {"state": {}}})
    assert agrees(path)
    assert set(convert(path).unused) == {"epoch", "optimizer"}


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("plain", ["generator", "state_dict", "netG"])
def test_of_two_the_moving_average_is_taken(tmp_path, average, plain):
    assert agrees(save(tmp_path / "a.pt", {plain: ZEROS, average: STATE}))
    together = {**prefixed(ZEROS, f"{plain}."), **prefixed(STATE, f"{average}.")}
    assert agrees(save(tmp_path / "b.pt", {"state_dict": together}))


@pytest.mark.parametrize(
    "prefix", ["module.", "generator.", "decoder.", "_orig_mod.", "model.G.", "module.generator."]
)
def test_prefixes(tmp_path, prefix):
    beside = {"discriminator.0.weight": torch.zeros(3), "discriminator.0.bias": torch.zeros(3)}
    path = save(tmp_path / "a.pt", {"state_dict": {**prefixed(STATE, prefix), **beside}})
    assert agrees(path)
    assert convert(path).unused == {"discriminator.": "2 other values"}
    from safetensors.torch import save_file

    save_file(prefixed(STATE, prefix), tmp_path / "a.safetensors")
    assert agrees(tmp_path / "a.safetensors")


@pytest.mark.parametrize("layout", ["rosinality", "basicsr", "genforce", "nvidia"])
@pytest.mark.parametrize("prefix", ["", "generator."])
def test_stylegan2_of_every_layout(tmp_path, layout, prefix):
    state, mean = writers.rosinality_state([8, 6, 4]), torch.linspace(-1, 1, 16)
    w = writers.rosinality_map(state, writers.latents(size=16))
    stored = {
        "rosinality": lambda: state,
        "basicsr": lambda: writers.basicsr_stylegan2(state),
        "genforce": lambda: writers.genforce_stylegan2(state, mean),
        "nvidia": lambda: writers.nvidia_stylegan2(state, mean),
    }[layout]()
    path = save(tmp_path / "a.pt", {"params_ema": prefixed(stored, prefix)})
    with torch.inference_mode():
        found = convert(path).network(writers.latents(size=16))
    assert (found - writers.rosinality_images(state, w)).abs().max() < 1e-4


def test_a_decoder_beside_its_encoder_keeps_the_mean_of_every_layer(tmp_path):
    state, mean = writers.rosinality_state([8, 4]), torch.linspace(-1, 1, 16)
    checkpoint = {
        "state_dict": {
            "encoder.input_layer.0.weight": torch.zeros(3),
            **prefixed(state, "decoder."),
        },
        "latent_avg": mean.repeat(4, 1),
        "opts": {"exp_dir": pathlib.PurePosixPath("/tmp/x")},
    }
    converted = convert(save(tmp_path / "e4e.pt", checkpoint))
    assert torch.equal(converted.network.mean, mean)
    assert set(converted.unused) == {"encoder.", "opts"}
    checkpoint["latent_avg"] = torch.arange(64.0).reshape(4, 16)
    converted = convert(save(tmp_path / "psp.pt", checkpoint))
    assert any("differs from layer to layer" in note for note in converted.notes)


class Mode(enum.Enum):
    TRAIN = "train"


class Options:
    def __init__(self) -> None:
        self.lr, self.mode = 0.1, Mode.TRAIN


BESIDE = {
    "numpy float": np.float64(12.5),
    "numpy integer": np.int64(3),
    "numpy bool": np.bool_(True),
    "array": np.arange(6).reshape(2, 3),
    "empty array": np.zeros((0, 3)),
    "array of objects": np.array([{}, None], dtype=object),
    "python's generator": random.getstate(),
    "numpy's generator": np.random.RandomState(0).get_state(),
    "numpy's new generator": np.random.default_rng(0),
    "torch's generator": torch.get_rng_state(),
    "path": pathlib.PurePosixPath("/tmp/x"),
    "real path": pathlib.Path("/tmp/x"),
    "time": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    "time span": datetime.timedelta(days=3),
    "date": datetime.date(2026, 1, 2),
    "defaultdict": collections.defaultdict(int, a=1),
    "counter": collections.Counter("aab"),
    "queue": collections.deque([1, 2], maxlen=3),
    "set": {1, 2},
    "frozen set": frozenset((1, 2)),
    "complex": 1 + 2j,
    "identifier": uuid.UUID(int=3),
    "namespace": types.SimpleNamespace(a=1),
    "own class": Options(),
    "own choice": Mode.TRAIN,
    "a class": Options,
    "a function": torch.relu,
    "size": torch.Size((1, 2)),
    "device": torch.device("cpu"),
    "dtype": torch.float16,
    "odd keys": {1.5: 1, None: 2, (1, "a"): 3, True: 4, b"x": 5, Mode.TRAIN: 6},
    "whole module": torch.nn.Linear(2, 2),
    "integers": {0: torch.zeros(1), 1: torch.zeros(1)},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", BESIDE)
def test_what_commonly_lies_beside_weights(tmp_path, name, legacy):
    checkpoint = {"g_ema": STATE, name: BESIDE[name]}
    torch.save(checkpoint, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    assert agrees(tmp_path / "a.pt")
    assert list(convert(tmp_path / "a.pt").unused) == [name]


def test_values_come_out_as_they_are(tmp_path):
    found = load_torch(save(tmp_path / "a.pt", BESIDE))
    assert (found["numpy float"], found["numpy integer"]) == (12.5, 3)
    np.testing.assert_array_equal(found["array"], BESIDE["array"])
    assert found["defaultdict"] == {"a": 1}
    assert found["path"] == Skipped("pathlib.PurePosixPath")
    assert isinstance(found["own class"], Settings)
    assert found["own class"].get("lr", None) == 0.1
    state = found["whole module"].state_dict()
    assert torch.equal(state["weight"], BESIDE["whole module"].weight)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int64", "bool", "complex64"])
@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_are_what_torch_reads(tmp_path, dtype, legacy):
    whole = (100 * torch.randn(6, 5)).to(getattr(torch, dtype))
    parts = {
        "whole": whole,
        "turned": whole.T,
        "row": whole[3],
        "none": whole[:0],
        "one": whole[1, 2],
    }
    torch.save(parts, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    found = load_torch(tmp_path / "a.pt")
    for name, part in parts.items():
        assert found[name].dtype == part.dtype
        assert torch.equal(found[name], part), name


def test_a_whole_network_that_somebody_pickled(tmp_path):
    class Generator(torch.nn.Module):
        pass

    with writers.fake_module("my_code.networks", Generator=Generator):
        torch.save(writers.module_tree(STATE, Generator), tmp_path / "a.pt")
        data = pickle.dumps({"netG": writers.module_tree(STATE, Generator)})
    (tmp_path / "a.pkl").write_bytes(data)
    assert agrees(tmp_path / "a.pt")
    assert agrees(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nvidias_snapshots(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    reference, mean = writers.rosinality_state([8, 6, 4]), torch.linspace(-1, 1, 16)
    state = writers.nvidia_stylegan2(reference, mean)
    path = tmp_path / "network-snapshot-000200.pkl"
    writers.write_nvidia_snapshot(path, state, protocol=protocol)
    converted = convert(path)
    assert converted.format == "NVIDIA StyleGAN2"
    assert converted.keys == len(state)
    assert set(converted.unused) == {"training_set_kwargs", "G", "D", "augment_pipe"}
    w = writers.rosinality_map(reference, writers.latents(size=16))
    with torch.inference_mode():
        found = converted.network(writers.latents(size=16))
    assert (found - writers.rosinality_images(reference, w)).abs().max() < 1e-4
    assert [each.name for each in tmp_path.iterdir()] == [path.name]  # its source did not run


@pytest.mark.parametrize(
    ("options", "words"), [({"classes": 5}, "5 classes"), ({"rate": 1.0}, "learned at rate 1")]
)
def test_nvidias_snapshots_of_other_networks(tmp_path, options, words):
    state = writers.nvidia_stylegan2(writers.rosinality_state([8, 4]), torch.zeros(16))
    writers.write_nvidia_snapshot(tmp_path / "a.pkl", state, **options)
    with pytest.raises(LatentEditError, match=words):
        convert(tmp_path / "a.pkl")


@pytest.mark.parametrize("layout", ["rosinality", "nvidia", "nvidia with its key", "genforce"])
def test_class_conditional_networks(tmp_path, layout):
    reference, mean = writers.rosinality_state([8, 4]), torch.zeros(16)
    if layout == "rosinality":
        state, key = reference, "style.1.weight"
    elif layout == "genforce":
        state, key = writers.genforce_stylegan2(reference, mean), "mapping.dense0.weight"
    else:
        state, key = writers.nvidia_stylegan2(reference, mean), "mapping.fc0.weight"
    if layout == "nvidia with its key":
        state["mapping.embed.weight"] = torch.zeros(16, 10)
    else:
        state[key] = torch.zeros(len(state[key]), 32)
    with pytest.raises(LatentEditError, match=r"class-conditional.*label embedding"):
        convert(save(tmp_path / "a.pt", state))


OTHERS = {
    "discriminator": {"convs.0.0.weight": 4, "final_linear.0.weight": 4, "final_conv.0.weight": 4},
    "StyleGAN3": {"synthesis.input.freqs": 4, "synthesis.L0_36_512.weight": 4},
    "StyleGAN1": {"generator.progression.0.conv1.conv.weight_orig": 4, "style.1.weight_orig": 4},
    "GFPGAN": {"stylegan_decoder.to_rgb1.bias": 3, "condition_scale.0.0.weight": 3},
    "diffusion model": {"model.diffusion_model.out.0.weight": 4},
    "EG3D": {"backbone.synthesis.b4.torgb.bias": 3, "decoder.net.0.weight": 3},
    "encoder": {"encoder.input_layer.0.weight": 3},
    "StyleCLIP's mapper": {"mapper.course_mapping.1.weight": 3},
    "recognises faces": {"body.3.res_layer.1.weight": 3},
    "VGG": {"features.0.weight": 3, "classifier.0.weight": 3},
    "DCGAN": {"main.0.weight": 3, "main.1.bias": 3},
    "by number": {"0": 3, "1": 3},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("wrapper", [None, "params_ema", "state_dict"])
def test_what_is_something_else_is_named(tmp_path, name, wrapper):
    state = {key: torch.zeros(size) for key, size in OTHERS[name].items()}
    path = save(tmp_path / "a.pt", {wrapper: state, "epoch": 1} if wrapper else state)
    with pytest.raises(LatentEditError, match=name) as error:
        convert(path)
    assert "\n" not in str(error.value)


def test_keys_that_are_numbers(tmp_path):
    with pytest.raises(LatentEditError, match="by number"):
        convert(save(tmp_path / "a.pt", {0: torch.zeros(1), 1: torch.zeros(1)}))


def test_latents_and_directions_are_named(tmp_path):
    for value in (
        torch.zeros(4, 18, 512),
        {"age": torch.zeros(1, 512)},
        {"eigvec": torch.eye(512)},
    ):
        with pytest.raises(LatentEditError, match="boundaries import"):
            convert(save(tmp_path / "a.pt", value))


@pytest.mark.parametrize("value", [{}, {"epoch": 3}, [1, 2], {"a": {"b": {}}}, Options()])
def test_files_without_a_network(tmp_path, value):
    with pytest.raises(LatentEditError, match=r"holds no"):
        find_network(load_torch(save(tmp_path / "a.pt", value)), "a.pt")
