"""Every format against its own arithmetic, rebuilt in `checkpoint_writers`."""

from __future__ import annotations

import checkpoint_writers as writers
import numpy as np
import pytest
import torch

from latentedit.boundaries.model import Boundaries
from latentedit.checkpoints import convert
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.generators.progressive import GeneratorConfig
from latentedit.io.images import to_uint8
from latentedit.pretrained.bundles import load_generator
from latentedit.pretrained.hashing import weights_hash

RESOLUTIONS = (8, 16, 32, 64)


def agree(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Agreement to 1e-4, and pictures that are not constant."""
    assert found.shape == wanted.shape
    assert wanted.std() > 0.1
    assert (found - wanted).abs().max() < 1e-4


@torch.inference_mode()
def check(path, wanted, size=writers.Z):
    converted = convert(path)
    agree(converted.network(writers.latents(size=size)), wanted)
    return converted


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize(
    ("layout", "fused"),
    [
        ("interfacegan", False),
        ("higan", False),
        ("higan", True),
        ("genforce", False),
        ("genforce", True),
    ],
)
def test_pytorch_progressive_gans(tmp_path, layout, fused, resolution):
    widths = writers.widths_for(resolution, most=24 if resolution == 8 else 16)
    if layout == "genforce" and fused:
        widths[-1] //= 2  # a change of width shows that kernels are transposed
    state = writers.pggan_state(layout, widths, fused=fused)
    path = tmp_path / "pggan.pth"
    torch.save(state, path, _use_new_zipfile_serialization=resolution != 16)
    wanted = writers.pggan_images(state, layout, writers.latents(), fused=fused)
    converted = check(path, wanted)
    assert converted.keys == len(state)
    assert not converted.unused
    assert converted.network.config.resolution == resolution


@pytest.mark.parametrize("resolution", [4, *RESOLUTIONS])
@pytest.mark.parametrize("fused", [False, True])
def test_tensorflow(tmp_path, resolution, fused):
    variables = writers.tensorflow_variables(writers.widths_for(resolution), fused=fused)
    path = tmp_path / "network.pkl"
    writers.write_tensorflow(path, variables, protocol={4: 2, 8: 3, 16: 5}.get(resolution, 4))
    wanted = writers.tensorflow_images(variables, writers.latents(), fused=fused)
    converted = check(path, wanted)
    assert converted.keys == len(variables)
    assert list(converted.unused) == ["network 0 (G)", "network 1 (D)"]


def test_tensorflow_arrays_of_megabytes_as_text(tmp_path):
    # Written for Python 2, an array's bytes are latin-1 text.
    variables = writers.tensorflow_variables([352], fused=False)
    path = tmp_path / "network.pkl"
    writers.write_tensorflow(path, variables, protocol=2)
    check(path, writers.tensorflow_images(variables, writers.latents(), fused=False))


@pytest.mark.parametrize("resolution", [4, *RESOLUTIONS])
@pytest.mark.parametrize("module", [".module", ""])
def test_gan_zoo(tmp_path, resolution, module):
    state = writers.gan_zoo_state(writers.widths_for(resolution), module=module)
    path = tmp_path / "zoo.pth"
    writers.write_gan_zoo(path, state)
    converted = check(path, writers.gan_zoo_images(state, writers.latents(), module=module))
    assert set(converted.unused) == {"config", "netG", "netD"}
    assert converted.keys == len(state)


def test_gan_zoo_without_equalised_rates_and_with_odd_widths(tmp_path):
    state = writers.gan_zoo_state([6, 10, 4])
    state = type(state)((name, 0.2 * value) for name, value in state.items())
    path = tmp_path / "zoo.pth"
    writers.write_gan_zoo(path, state, equalizedlR=False)
    wanted = writers.gan_zoo_images(state, writers.latents(), equalised=False)
    assert check(path, wanted).network.config.widths == (6, 10, 4)


@pytest.mark.parametrize("resolution", [4, *RESOLUTIONS])
def test_rosinality(tmp_path, resolution):
    state = writers.rosinality_state(writers.widths_for(resolution))
    mean = torch.linspace(-1, 1, 16)
    path = tmp_path / "stylegan2.pt"
    writers.write_rosinality(path, state, mean)
    z = writers.latents(size=16)
    w = writers.rosinality_map(state, z)
    converted = check(path, writers.rosinality_images(state, w), size=16)
    assert {"g", "d", "g_optim", "d_optim", "args", "ada_aug_p"} == set(converted.unused)
    with torch.inference_mode():
        agree(convert(path, space="w").network(w), writers.rosinality_images(state, w))
        tame = mean + 0.5 * (w - mean)
        agree(convert(path, truncation=0.5).network(z), writers.rosinality_images(state, tame))


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_genforce_stylegan2(tmp_path, resolution):
    reference = writers.rosinality_state(writers.widths_for(resolution))
    state = writers.genforce_stylegan2(reference, torch.linspace(-1, 1, 16))
    path = tmp_path / "stylegan2.pth"
    torch.save({"generator": {}, "generator_smooth": state, "discriminator": {}}, path)
    w = writers.rosinality_map(reference, writers.latents(size=16))
    converted = check(path, writers.rosinality_images(reference, w), size=16)
    assert converted.keys == len(state)
    assert set(converted.unused) == {"generator", "discriminator"}


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_nvidia_stylegan2(tmp_path, resolution):
    reference = writers.rosinality_state(writers.widths_for(resolution))
    mean = torch.linspace(-1, 1, 16)
    path = save(tmp_path / "network.pt", writers.nvidia_stylegan2(reference, mean))
    w = writers.rosinality_map(reference, writers.latents(size=16))
    converted = check(path, writers.rosinality_images(reference, w), size=16)
    assert converted.format == "NVIDIA StyleGAN2"
    assert torch.equal(converted.network.mean, mean)
    assert not converted.unused


def test_w_space_samples_are_the_same_alone_and_in_a_batch(tmp_path):
    path = tmp_path / "stylegan2.pt"
    writers.write_rosinality(path, writers.rosinality_state([8, 4]))
    in_z = convert(path, truncation=0.7)
    in_w = convert(path, space="w", truncation=0.7)
    assert "no mean of W" in in_z.notes[0]
    w = in_w.network.sample(range(5))
    assert (w[3:4] == in_w.network.sample([3])).all()
    with torch.inference_mode():
        z = torch.from_numpy(in_z.network.sample(range(5)))
        agree(in_w.network(torch.from_numpy(w)), in_z.network(z))


@pytest.mark.parametrize("space", ["z", "w"])
def test_a_stylegan2_bundle(tmp_path, space):
    path = tmp_path / "stylegan2.pt"
    writers.write_rosinality(path, writers.rosinality_state([8, 4]), torch.ones(1, 16))
    converted = convert(path, space=space, truncation=0.7)
    network, card = load_generator(converted.save(tmp_path / "bundle"))
    assert card["network"] == "stylegan2"
    assert network.config == converted.network.config
    latent = torch.from_numpy(network.sample(range(2)))
    with torch.inference_mode():
        assert torch.equal(network(latent), converted.network(latent))


@pytest.mark.parametrize("space", ["z", "w"])
def test_the_editor_opens_a_stylegan2_bundle(tmp_path, space):
    path = tmp_path / "stylegan2.pt"
    writers.write_rosinality(path, writers.rosinality_state([8, 4]), torch.ones(1, 16))
    converted = convert(path, space=space, truncation=0.7)
    editor = FaceEditor.load(converted.save(tmp_path / "bundle"), device="cpu")
    assert editor.space == space
    latent = editor.sample(range(3))
    np.testing.assert_array_equal(latent, converted.network.sample(range(3)))
    with torch.inference_mode():
        expected = to_uint8(converted.network(torch.from_numpy(latent)))
    assert np.abs(editor.render(latent).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("space", "other"), [("z", "w"), ("w", "z")])
def test_boundaries_of_the_other_space_are_refused(tmp_path, space, other):
    path = tmp_path / "stylegan2.pt"
    writers.write_rosinality(path, writers.rosinality_state([8, 4]), torch.ones(1, 16))
    network = convert(path, space=space).network
    normals = np.eye(1, network.config.latent_dim)
    bounds = Boundaries(("Young",), normals, np.zeros(1), weights_hash(network), space=other)
    with pytest.raises(LatentEditError, match=f"belong to space {other}"):
        FaceEditor(network, boundaries=bounds, device="cpu")


def test_safetensors_and_data_parallel_prefix(tmp_path):
    from safetensors.torch import save_file

    state = writers.pggan_state("higan", [6, 4])
    wanted = writers.pggan_images(state, "higan", writers.latents())
    save_file(dict(state), tmp_path / "a.safetensors")
    check(tmp_path / "a.safetensors", wanted)
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "b.pth")
    check(tmp_path / "b.pth", wanted)
    half = {name: value.half() for name, value in state.items()}
    torch.save(half, tmp_path / "c.pth")
    assert convert(tmp_path / "c.pth").network.blocks[0].conv.weight.dtype == torch.float32


def test_published_widths_are_the_published_configuration(tmp_path):
    from latentedit.checkpoints.progressive import config_for

    widths = [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert config_for(widths, 512) == GeneratorConfig(1024, 512, fmap_base=8192, fmap_max=512)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["interfacegan", "tensorflow"])
def test_1024(tmp_path, layout):
    widths = writers.widths_for(1024, most=32, base=8192)
    path = tmp_path / "network"
    if layout == "interfacegan":
        state = writers.pggan_state(layout, widths)
        torch.save(state, path)
        wanted = writers.pggan_images(state, layout, writers.latents(1))
    else:
        variables = writers.tensorflow_variables(widths, fused=True)
        writers.write_tensorflow(path, variables)
        wanted = writers.tensorflow_images(variables, writers.latents(1), fused=True)
    with torch.inference_mode():
        agree(convert(path).network(writers.latents(1)), wanted)


def save(path, state):
    torch.save(state, path)
    return path


@pytest.mark.parametrize("layout", ["interfacegan", "higan", "genforce"])
def test_kernels_without_equalised_rates_are_noted(tmp_path, layout):
    state = writers.pggan_state(layout, [32, 32])
    path = save(tmp_path / "a.pth", state)
    assert not [note for note in convert(path).notes if "equalised" in note]
    small = {key: value * 0.05 if value.ndim == 4 else value for key, value in state.items()}
    (note,) = [n for n in convert(save(tmp_path / "b.pth", small)).notes if "equalised" in n]
    assert "use_wscale=False" in note


def test_every_key_is_named(tmp_path):
    state = writers.pggan_state("higan", [6, 6, 4])
    del state["layer3.conv.weight"], state["output0.wscale.bias"]
    state["extra.weight"] = torch.zeros(1)
    state["layer4.conv.weight"] = torch.zeros(4, 5, 3, 3)
    state["layer1.conv.weight"] = torch.full((6, 6, 3, 3), torch.nan)
    state["layer5.conv.weight"] = torch.zeros(1).expand(4, 4, 3, 3)
    with pytest.raises(LatentEditError) as error:
        convert(save(tmp_path / "a.pth", state))
    message = str(error.value)
    assert "missing: layer3.conv.weight, output0.wscale.bias" in message
    assert "unknown: extra.weight" in message
    assert "layer4.conv.weight has shape [4, 5, 3, 3], not [4, 6, 3, 3]" in message
    assert "layer1.conv.weight holds NaN" in message
    assert "\n" not in message


def test_a_tensor_that_claims_more_than_the_file_holds(tmp_path):
    state = writers.pggan_state("higan", [6, 4])
    state["layer1.conv.weight"] = torch.zeros(1).expand(6, 6, 3, 3)
    path = save(tmp_path / "a.pth", state)
    with pytest.raises(LatentEditError, match="claims more values than the file holds"):
        convert(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0.3}, "faded in"),
        ({"leakyReluLeak": 0.1}, "leakyReluLeak=0.1"),
        ({"lossCriterion": "DCGAN"}, "lossCriterion=DCGAN"),
        ({"categoryVectorDim": 8}, "categoryVectorDim=8"),
    ],
)
def test_gan_zoo_options_that_change_the_arithmetic(tmp_path, options, words):
    writers.write_gan_zoo(tmp_path / "a.pth", writers.gan_zoo_state([4, 4]), **options)
    with pytest.raises(LatentEditError, match=words):
        convert(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"use_pixelnorm": False}, "use_pixelnorm=False"),
        ({"label_size": 10}, "label_size=10"),
        ({"pixelnorm_epsilon": 1e-4}, "pixelnorm_epsilon"),
    ],
)
def test_tensorflow_options_that_change_the_arithmetic(tmp_path, options, words):
    variables = writers.tensorflow_variables([4, 4], fused=False)
    writers.write_tensorflow(tmp_path / "a.pkl", variables, options=options)
    with pytest.raises(LatentEditError, match=words):
        convert(tmp_path / "a.pkl")


def test_a_network_that_has_not_grown_up(tmp_path):
    variables = writers.tensorflow_variables([4, 4], fused=False)
    variables["lod"] = np.float32(1.5)
    writers.write_tensorflow(tmp_path / "a.pkl", variables)
    with pytest.raises(LatentEditError, match=r"level of detail 1\.5"):
        convert(tmp_path / "a.pkl")
    state = writers.pggan_state("genforce", [6, 4])
    state["lod"] = torch.tensor(2.0)
    with pytest.raises(LatentEditError, match="level of detail 2"):
        convert(save(tmp_path / "b.pth", state))


@pytest.mark.parametrize("options", [{"space": "w"}, {"truncation": 0.5}])
def test_options_of_stylegan2_for_another_network(tmp_path, options):
    path = save(tmp_path / "a.pth", writers.pggan_state("higan", [6, 4]))
    with pytest.raises(LatentEditError, match="need a mapping network"):
        convert(path, **options)


def test_another_filter(tmp_path):
    state = writers.rosinality_state([6, 4])
    state["convs.0.conv.blur.kernel"] = torch.ones(4, 4) / 4
    writers.write_rosinality(tmp_path / "a.pt", state)
    with pytest.raises(LatentEditError, match=r"another kernel than \[1, 3, 3, 1\]"):
        convert(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pth", None, "No such file"),
        ("a.pth", b"hello", "no weight file"),
        ("a.pth", b"", "no weight file"),
        ("a.onnx", b"\x08\x07", "no ONNX file that can be run"),
        ("a.pkl", b"\x80\x04N.", "no network"),
        ("a.pkl", b"\x80\x04", "damaged"),
    ],
)
def test_other_files(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(LatentEditError, match=words):
        convert(tmp_path / name)


def test_a_checkpoint_of_something_else(tmp_path):
    path = save(tmp_path / "a.pth", {"conv1.weight": torch.zeros(3)})
    with pytest.raises(LatentEditError, match="no generator of a format"):
        convert(path)
    with pytest.raises(LatentEditError, match="no state dictionary"):
        convert(save(tmp_path / "b.pth", torch.zeros(3)))


def test_every_cut_of_a_file_is_an_error(tmp_path):
    state = writers.pggan_state("higan", [4, 4])
    for legacy in (False, True):
        torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
        whole = (tmp_path / "a.pth").read_bytes()
        for size in range(0, len(whole) - 1, len(whole) // 23):
            (tmp_path / "cut.pth").write_bytes(whole[:size])
            with pytest.raises(LatentEditError):
                convert(tmp_path / "cut.pth")


def test_a_bundle_is_whole_or_not_there(tmp_path, monkeypatch):
    from latentedit.editing.editor import FaceEditor

    state = writers.pggan_state("interfacegan", [8, 4])
    path = save(tmp_path / "pggan.pth", state)
    converted = convert(path)
    folder = converted.save(tmp_path / "new" / "bundle")
    network, card = load_generator(folder)
    with torch.inference_mode():
        assert torch.equal(network(writers.latents()), converted.network(writers.latents()))
    assert card["converted"]["format"] == "InterFaceGAN progressive GAN"
    assert card["converted"]["keys"] == len(state)
    editor = FaceEditor.load(folder, device="cpu")
    images = editor.render(editor.sample(range(2)))
    assert images.shape == (2, 8, 8, 3)
    with pytest.raises(LatentEditError, match="pool build"):
        _ = editor.boundaries
    with pytest.raises(LatentEditError, match="holds a generator already"):
        converted.save(folder)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("latentedit.io.files.os.replace", fail)
    with pytest.raises(LatentEditError, match="No space left"):
        converted.save(tmp_path / "second")
    assert not (tmp_path / "second").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "pggan.pth"]
