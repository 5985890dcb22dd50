from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.backbone import ResidualBlock


def faces(count: int = 4, edge: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, edge, edge, generator=generator) * 2 - 1


def test_the_default_answers_the_40_attributes_and_is_compact() -> None:
    with torch.device("meta"):
        network = AttributeClassifier()
        logits = network(torch.empty(2, 3, 64, 64))
    assert network.config.attributes == ATTRIBUTES
    assert logits.shape == (2, 40)
    assert sum(parameter.numel() for parameter in network.parameters()) < 6_000_000


@pytest.mark.parametrize("shape", [(16, 16), (64, 64), (24, 20), (8, 8)])
def test_faces_of_any_size_are_taken(
    tiny_classifier: AttributeClassifier, shape: tuple[int, int]
) -> None:
    assert tiny_classifier(torch.zeros(2, 3, *shape)).shape == (2, 40)


def test_a_face_enlarged_is_read_as_itself(tiny_classifier: AttributeClassifier) -> None:
    small = faces()
    large = small.repeat_interleave(4, -1).repeat_interleave(4, -2)
    with torch.inference_mode():
        torch.testing.assert_close(
            tiny_classifier(large), tiny_classifier(small), rtol=0.2, atol=0.1
        )


def test_features_halve_stage_by_stage(tiny_classifier: AttributeClassifier) -> None:
    maps = tiny_classifier.features(faces(2))
    assert [tuple(stage.shape) for stage in maps] == [(2, 8, 8, 8), (2, 8, 4, 4)]
    maps = tiny_classifier.features(faces(2), size=32)
    assert [tuple(stage.shape) for stage in maps] == [(2, 8, 16, 16), (2, 8, 8, 8)]


def test_normalisation_happens_inside_and_is_saved(tiny_classifier: AttributeClassifier) -> None:
    images = faces()
    mean, std = torch.tensor([0.1, -0.2, 0.3]), torch.tensor([0.5, 2.0, 1.5])
    by_hand = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.inference_mode():
        expected = tiny_classifier(by_hand)
        assert not torch.allclose(tiny_classifier(images), expected)
        tiny_classifier.mean.copy_(mean.view(3, 1, 1))
        tiny_classifier.std.copy_(std.view(3, 1, 1))
        torch.testing.assert_close(tiny_classifier(images), expected)
    assert torch.equal(tiny_classifier.state_dict()["mean"].flatten(), mean)
    assert torch.equal(tiny_classifier.state_dict()["std"].flatten(), std)


def test_a_face_is_scored_alone_as_in_a_batch(tiny_classifier: AttributeClassifier) -> None:
    images = faces()
    with torch.inference_mode():
        together = tiny_classifier(images)
        alone = torch.cat([tiny_classifier(image[None]) for image in images])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)
    assert together.std(0).max() > 1e-3  # different faces, different scores


def test_gradients_reach_the_pixels(tiny_classifier: AttributeClassifier) -> None:
    images = faces().requires_grad_()
    tiny_classifier(images).sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().sum((1, 2, 3)) > 0).all()


@pytest.mark.parametrize(("inputs", "stride"), [(6, 1), (4, 1), (6, 2), (4, 2)])
def test_a_block_adds_to_its_shortcut(inputs: int, stride: int) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(inputs, 6, stride).eval()
    nn.init.zeros_(block.norm1.weight)  # silences the two convolutions
    x = torch.randn(2, inputs, 8, 8)
    shortcut = x.view(2, inputs, 8 // stride, stride, 8 // stride, stride).mean((3, 5))
    if inputs != 6:
        kernel, bias = block.project.weight[..., 0, 0], block.project.bias
        shortcut = torch.einsum("oi,nihw->nohw", kernel, shortcut) + bias.view(-1, 1, 1)
    torch.testing.assert_close(block(x), shortcut.clamp(min=0))


def test_blocks_and_widths_must_pair_up() -> None:
    with pytest.raises(ValueError, match="shorter"):
        AttributeClassifier(ClassifierConfig(widths=(4, 4), blocks=(1,)))


def test_dropout_rests_in_eval_mode(tiny_classifier: AttributeClassifier) -> None:
    images = faces()
    with torch.inference_mode():
        assert torch.equal(tiny_classifier(images), tiny_classifier(images))
        tiny_classifier.dropout.train()
        assert not torch.equal(tiny_classifier(images), tiny_classifier(images))
