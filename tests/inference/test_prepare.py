"""Prepared networks compute what the networks they were made from do."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentedit.classifiers.age import AgeConfig, AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.backbone import Backbone
from latentedit.classifiers.portrait import PortraitConfig, PortraitNetwork
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.inference import prepare as inference
from latentedit.inference.devices import computes_bfloat16
from latentedit.inference.openvino import Compiled, has_openvino, load_openvino
from latentedit.inference.prepare import prepare
from latentedit.io.images import to_uint8

pytestmark = pytest.mark.fast_form

fast = pytest.mark.skipif(not has_openvino(), reason="needs the extra fast")
with_bfloat16 = pytest.mark.skipif(
    not (has_openvino() and computes_bfloat16(torch.device("cpu"))),
    reason="this CPU has no bfloat16",
)
SHAPE: dict[str, Any] = {"resolution": 16, "stem": 8, "widths": (16, 24), "blocks": (2, 1)}


def randomised(network: nn.Module) -> nn.Module:
    """Biases and noise too: a network fresh from its constructor has none."""
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith(("bias", "noise")):
            nn.init.normal_(value, std=0.2)
    return network.eval().requires_grad_(False)


def random_generator(**options: int | bool) -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(**{"latent_dim": 64, **options})  # type: ignore[arg-type]
    return randomised(Generator(config))  # type: ignore[return-value]


def random_photographer(**options: Any) -> MobileStyleGAN:
    """MobileStyleGAN of 64 pixels."""
    torch.manual_seed(1)
    config = MobileStyleGANConfig(widths=(16, 24, 16, 12), mapping=2, style=8, **options)
    return randomised(MobileStyleGAN(config))  # type: ignore[return-value]


def z(count: int, dim: int = 64) -> Tensor:
    return torch.from_numpy(latents.sample(range(count), dim))


def difference(a: Tensor, b: Tensor) -> int:
    """Largest difference of two pictures' colour values, 0 to 255."""
    return int(np.abs(to_uint8(a).astype(int) - to_uint8(b).astype(int)).max())


@fast
@pytest.mark.parametrize("option", ["bias_per_pixel", "smooths", None])
@pytest.mark.parametrize("resolution", [4, 8, 64])
@torch.inference_mode()
def test_progressive_pictures(resolution: int, option: str | None) -> None:
    options = {option: True} if option else {}
    generator = random_generator(resolution=resolution, fmap_base=512, fmap_max=48, **options)
    prepared = prepare(generator)
    expected = generator(z(3))
    images = prepared(z(3))
    assert (images.dtype, images.shape) == (torch.float32, expected.shape)
    # sums are rounded as the CPU adds them up; one step of a colour is 8e-3
    torch.testing.assert_close(images, expected, rtol=0, atol=5e-5)
    torch.testing.assert_close(prepared(z(3) * 7), images, rtol=0, atol=5e-5)
    assert prepared(z(1), 2).shape == (1, 3, 2, 2)


@fast
@pytest.mark.parametrize("space", ["w", "z"])
@pytest.mark.parametrize("size", [None, 64, 40, 32, 16, 3])
@torch.inference_mode()
def test_photographs(size: int | None, space: str) -> None:
    network = random_photographer(previews=(16, 32), space=space)
    rows = torch.from_numpy(network.sample([0, 1]))
    expected = network(rows, size)
    images = prepare(network)(rows, size)
    assert images.std() > 0.05
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-5)


@fast
@torch.inference_mode()
def test_photographs_of_a_latent_a_layer() -> None:
    network = random_photographer(previews=(32,))
    rows = torch.randn(2, network.config.layers, 8, generator=torch.Generator().manual_seed(0))
    prepared = prepare(network)
    for size in (None, 32):
        torch.testing.assert_close(prepared(rows, size), network(rows, size), rtol=0, atol=1e-5)
    with pytest.raises(LatentEditError, match="size 65"):
        prepared(rows, 65)


@fast
@torch.inference_mode()
def test_a_picture_alone_is_that_in_company() -> None:
    network = random_photographer()
    rows = torch.from_numpy(network.sample(range(3)))
    prepared = prepare(network)
    assert torch.equal(prepared(rows)[2], prepared(rows[2:])[0])


@fast
@pytest.mark.parametrize("kind", ["progressive", "photographs"])
def test_threads_may_share_a_network(kind: str) -> None:
    if kind == "progressive":
        network: nn.Module = random_generator(resolution=16, fmap_base=128, fmap_max=32)
        rows = z(16)
    else:
        network = random_photographer()
        rows = z(16, 8)
    prepared = prepare(network)

    def draw(row: Tensor) -> Tensor:
        with torch.inference_mode():
            return prepared(row)

    with ThreadPoolExecutor(8) as pool:
        images = torch.cat(list(pool.map(draw, rows.split(1))))
    torch.testing.assert_close(images, network(rows), rtol=0, atol=1e-4)


@fast
def test_openvino_tells_nobody(tmp_path: Path) -> None:
    """Its package of telemetry is not imported, which would look up a host and write a number."""
    code = (
        "import sys; from latentedit.inference.openvino import load_openvino; load_openvino().Core;"
        "from openvino.tools import ovc; assert 'openvino_telemetry' not in sys.modules"
    )
    quiet = {"CI", "TF_BUILD", "JENKINS_URL"}  # there it would not send anyway
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    environment |= {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []


@fast
def test_a_graph_compiles_once_for_each_shape() -> None:
    written = []

    def write(shape: tuple[int, ...]) -> Any:
        opset13 = load_openvino().opset13
        written.append(shape)
        x = opset13.parameter(list(shape), np.float32)
        return load_openvino().Model([opset13.add(x, x), opset13.relu(x)], [x])

    graph = Compiled(write)
    x = torch.tensor([[1.0, -2.0]], requires_grad=True)
    for _ in range(2):
        double, positive = graph(x)
        assert double.tolist() == [[2, -4]]
        assert positive.tolist() == [[1, 0]]
        kept, _ = graph(x[:, :1])
        graph(5 * x[:, :1])
        assert kept.tolist() == [[2]], "results must not be written over"
    assert written == [(1, 2), (1, 1)]


@with_bfloat16
@pytest.mark.parametrize("resolution", [16, 64])
@torch.inference_mode()
def test_bfloat16_is_close(resolution: int) -> None:
    generator = random_generator(resolution=resolution, fmap_base=1024, fmap_max=128)
    expected = to_uint8(generator(z(4)) / 4).astype(int)
    images = to_uint8(prepare(generator, torch.bfloat16)(z(4)) / 4).astype(int)
    assert (np.abs(images - expected).mean() > 0) == (resolution > 16)  # small pictures are exact
    assert np.abs(images - expected).mean() <= 0.5
    assert np.square(images - expected).mean() <= 255**2 / 10**4.5  # 45 dB


@with_bfloat16
@torch.inference_mode()
def test_photographs_in_bfloat16_are_close() -> None:
    network = random_photographer()
    rows = torch.from_numpy(network.sample(range(2)))
    error = (prepare(network, torch.bfloat16)(rows) - network(rows)).abs().mean()
    assert 0 < error <= 0.01 * network(rows).std()


def with_statistics(network: Backbone) -> Backbone:
    """Batch norms as after training, not at their first values."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    network.mean.fill_(0.1)
    network.std.fill_(0.6)
    return network.eval()


@fast
@pytest.mark.parametrize("size", [16, 24])
@pytest.mark.parametrize(
    "network",
    [
        AttributeClassifier(ClassifierConfig(**SHAPE)),
        AgeEstimator(AgeConfig(**SHAPE)),
        PortraitNetwork(PortraitConfig(**SHAPE)),
    ],
    ids=["classifier", "age", "portrait"],
)
@torch.inference_mode()
def test_the_same_judgements(network: Backbone, size: int) -> None:
    with_statistics(network)
    kept = copy.deepcopy(network.state_dict())
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    prepared = prepare(network)
    torch.testing.assert_close(prepared(images), network(images), rtol=1e-4, atol=1e-4)
    seen = (judge.pooled_and_map(images) for judge in (prepared, network))
    for ours, theirs in zip(*seen, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    for name, value in network.state_dict().items():
        assert torch.equal(value, kept[name]), "the network itself must stay as it is"


@fast
def test_what_is_prepared(tiny_classifier: AttributeClassifier) -> None:
    assert type(prepare(random_generator(resolution=8))) is inference.OpenVINOGenerator
    assert type(prepare(tiny_classifier)) is AttributeClassifier
    assert prepare(tiny_classifier) is not tiny_classifier


def test_what_is_not_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    other = nn.Linear(2, 2)
    assert prepare(other) is other
    with torch.device("meta"):
        elsewhere = Generator(GeneratorConfig(resolution=8))
    assert prepare(elsewhere) is elsewhere
    monkeypatch.setattr(inference, "has_openvino", lambda: False)
    generator = random_generator(resolution=8)
    assert prepare(generator) is generator
