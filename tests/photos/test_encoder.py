"""The encoder says how latents have to change, group by group."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from latentedit.errors import LatentEditError
from latentedit.photos.encoder import Encoder, EncoderConfig, Looks

TINY = EncoderConfig(
    resolution=32,
    widths=(8, 12),
    blocks=(1, 2),
    squeeze=4,
    hidden=16,
    style=16,
    layers=8,
    groups=(0, 3, 5),
    descriptor=4,
)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    network = Encoder(TINY).eval()
    network.mean.normal_()
    network.basis.copy_(torch.eye(16) + 0.1 * torch.ones(16, 16))
    return network


def looks(count: int, size: int = 32) -> Looks:
    return Looks(torch.rand(count, 3, size, size) * 2 - 1, torch.randn(count, 4) / 20)


def test_layers_of_a_group_share_a_latent(encoder: Encoder) -> None:
    w = encoder(looks(2, 40))
    assert w.shape == (2, 8, 16)
    groups = [w[:, 0:3], w[:, 3:5], w[:, 5:8]]
    for group in groups:
        assert torch.equal(group, group[:, :1].expand_as(group))
    assert not torch.allclose(groups[0][:, 0], groups[1][:, 0])


def test_coordinates_and_latents_are_inverse(encoder: Encoder) -> None:
    u = torch.randn(2, 3, 16)
    again = encoder.coordinates(encoder.latents(u))
    torch.testing.assert_close(again, u[:, encoder.group_of_layers()], atol=1e-4, rtol=1e-4)


def test_the_mean_face_is_what_it_first_compares_with(encoder: Encoder) -> None:
    photos = looks(2)
    encoder.start.uniform_(-1, 1)
    encoder.start_descriptor.normal_()
    mean = Looks(encoder.start[None], encoder.start_descriptor[None])
    first = encoder.changes(photos)
    torch.testing.assert_close(first, encoder.changes(photos, mean))
    assert not torch.allclose(first, encoder.changes(photos, photos))


def test_it_sees_whose_face_it_is(encoder: Encoder) -> None:
    photos = looks(1)
    someone_else = Looks(photos.pixels, photos.descriptors + 0.1)  # type: ignore[operator]
    assert not torch.allclose(encoder(photos), encoder(someone_else))
    with pytest.raises(LatentEditError, match="whose"):
        encoder(Looks(photos.pixels))


def test_one_that_looks_at_pixels_alone() -> None:
    network = Encoder(replace(TINY, descriptor=0)).eval()
    assert network(Looks(torch.zeros(1, 3, 32, 32))).shape == (1, 8, 16)


@pytest.mark.parametrize(
    "changes",
    [{"groups": (1, 3)}, {"groups": (0, 3, 3)}, {"groups": (0, 8)}, {"resolution": 30}],
)
def test_shapes_that_do_not_fit_together(changes: dict[str, object]) -> None:
    with pytest.raises(LatentEditError):
        EncoderConfig(**{**TINY.__dict__, **changes})  # type: ignore[arg-type]


def test_the_shipped_shape_stays_below_15_megabytes_in_float16() -> None:
    with torch.device("meta"):
        values = sum(each.numel() for each in Encoder().state_dict().values())
    assert 2 * values <= 15e6
