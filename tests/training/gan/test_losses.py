from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from latentedit.classifiers.age import tight_view
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.training.gan.discriminator import Discriminator
from latentedit.training.gan.losses import (
    FeatureDiscriminator,
    Inputs,
    NonSaturatingR1,
    Objective,
    Projected,
    WassersteinGP,
    close_up_every_other,
)
from latentedit.training.gan.patches import PatchDiscriminator
from latentedit.training.gan.projected import ProjectedDiscriminator
from latentedit.training.gan.sliced import SlicedFeatures


class Linear(nn.Module):
    """D(x) = w . x + b, whose gradient is w everywhere."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.tensor(bias))
        self.alphas: list[float] = []

    def forward(self, images: Tensor, *, alpha: float = 1.0) -> Tensor:
        self.alphas.append(alpha)
        return images.flatten(1) @ self.weight + self.bias


class Quadratic(nn.Module):
    """D(x) = |x|^2 / 2, whose gradient is x."""

    def forward(self, images: Tensor, *, alpha: float = 1.0) -> Tensor:
        return images.flatten(1).square().sum(1) / 2


def pictures(seed: int, count: int = 4) -> Tensor:
    return torch.randn(count, 3, 2, 2, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def linear() -> Linear:
    return Linear(torch.linspace(-1, 2, 12), 0.25)


real, fake = Inputs(pictures(0)), Inputs(pictures(1))


def test_wgan_gp_of_a_linear_discriminator(linear: Linear) -> None:
    loss, figures = WassersteinGP(linear).discriminator_loss(real, fake, 0.5, step=3)
    weight = linear.weight.detach()
    on_real, on_fake = (each.images.flatten(1) @ weight + 0.25 for each in (real, fake))
    length = weight.norm()
    expected = (
        on_fake.mean() - on_real.mean() + 10 * (length - 1) ** 2 + 0.001 * (on_real**2).mean()
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert figures == {
        "real": pytest.approx(float(on_real.mean()), rel=1e-5),
        "fake": pytest.approx(float(on_fake.mean()), rel=1e-5),
    }
    loss.backward()
    mean_real, mean_fake = real.images.flatten(1).mean(0), fake.images.flatten(1).mean(0)
    drift = 0.002 * (on_real[:, None] * real.images.flatten(1)).mean(0)
    by_hand = mean_fake - mean_real + 20 * (length - 1) * weight / length + drift
    torch.testing.assert_close(linear.weight.grad, by_hand, rtol=1e-4, atol=1e-5)


def test_the_penalty_is_taken_between_real_and_fake() -> None:
    torch.manual_seed(0)
    # the gradient of |x|^2 / 2 is x: with reals of length 3 along one axis and fakes of
    # length 5 along the same, every point between has a length between
    away = torch.zeros(4, 3, 2, 2)
    away[:, 0, 0, 0] = 1
    objective = WassersteinGP(Quadratic())
    loss, _ = objective.discriminator_loss(Inputs(3 * away), Inputs(5 * away), 1.0, step=0)
    penalty = loss.item() - (12.5 - 4.5) - 0.001 * 4.5**2
    assert 10 * 2**2 < penalty < 10 * 4**2
    same, _ = objective.discriminator_loss(Inputs(3 * away), Inputs(3 * away), 1.0, step=0)
    assert same.item() == pytest.approx(10 * 2**2 + 0.001 * 4.5**2, rel=1e-5)


def test_each_picture_is_mixed_by_its_own_share() -> None:
    torch.manual_seed(0)
    seen: list[Tensor] = []

    class Watching(Quadratic):
        def forward(self, images: Tensor, *, alpha: float = 1.0) -> Tensor:
            seen.append(images.detach())
            return super().forward(images)

    zeros, ones = torch.zeros(64, 3, 2, 2), torch.ones(64, 3, 2, 2)
    WassersteinGP(Watching()).discriminator_loss(Inputs(zeros), Inputs(ones), 1.0, step=0)
    between = seen[-1].flatten(1)
    assert (between.amax(1) - between.amin(1)).max() == 0
    assert 0 <= between.min() < 0.1
    assert 0.9 < between.max() <= 1


def test_r1_of_a_linear_discriminator_every_16th_step(linear: Linear) -> None:
    objective = NonSaturatingR1(linear, gamma=0.5)
    weight = linear.weight.detach()
    on_real, on_fake = (each.images.flatten(1) @ weight + 0.25 for each in (real, fake))
    plain = (1 + torch.exp(-on_real)).log().mean() + (1 + torch.exp(on_fake)).log().mean()
    for step in range(33):
        loss, figures = objective.discriminator_loss(real, fake, 1.0, step)
        penalty = 0.25 * 16 * float(weight @ weight) if step % 16 == 0 else 0
        assert loss.item() == pytest.approx(plain.item() + penalty, rel=1e-5)
        assert ("r1" in figures) == (step % 16 == 0)
    assert figures["r1"] == pytest.approx(float(weight @ weight), rel=1e-5)


def test_the_gradient_of_r1_by_hand(linear: Linear) -> None:
    gradients = []
    for gamma in (0.0, 3.0):
        linear.zero_grad()
        loss, _ = NonSaturatingR1(linear, gamma).discriminator_loss(real, fake, 1.0, step=0)
        loss.backward()
        gradients.append(linear.weight.grad.clone())
    by_hand = 3.0 * 16 * linear.weight.detach()  # d/dw of gamma / 2 * 16 * |w|^2
    torch.testing.assert_close(gradients[1] - gradients[0], by_hand, rtol=1e-4, atol=1e-4)


def test_r1_is_taken_at_the_reals() -> None:
    reals = real.images
    objective = NonSaturatingR1(Quadratic(), gamma=1.0)
    _, figures = objective.discriminator_loss(real, Inputs(100 * fake.images), 1.0, step=0)
    expected = float(reals.flatten(1).square().sum(1).mean())
    assert figures["r1"] == pytest.approx(expected, rel=1e-5)
    assert not reals.requires_grad


def test_what_the_generator_minimises(linear: Linear) -> None:
    on_fake = fake.images.flatten(1) @ linear.weight.detach() + 0.25
    assert WassersteinGP(linear).generator_loss(fake, 1.0).item() == pytest.approx(
        -float(on_fake.mean()), rel=1e-5
    )
    expected = float((1 + torch.exp(-on_fake)).log().mean())
    assert NonSaturatingR1(linear).generator_loss(fake, 1.0).item() == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("objective", [WassersteinGP, NonSaturatingR1])
def test_alpha_is_handed_on_everywhere(linear: Linear, objective: type) -> None:
    objective(linear).discriminator_loss(real, fake, 0.375, step=0)
    objective(linear).generator_loss(fake, 0.375)
    assert set(linear.alphas) == {0.375}


# --- the real networks ------------------------------------------------------------------------

CONFIG = GeneratorConfig(resolution=8, latent_dim=8, fmap_base=16, fmap_max=8)


def objectives(classifier: AttributeClassifier) -> dict[str, Objective]:
    torch.manual_seed(0)
    return {
        "wgan-gp": WassersteinGP(Discriminator(CONFIG)),
        "r1": NonSaturatingR1(Discriminator(CONFIG)),
        "projected": Projected(
            classifier,
            ProjectedDiscriminator(classifier.config.widths, channels=8),
            NonSaturatingR1(Discriminator(CONFIG)),
        ),
    }


NAMES = ("wgan-gp", "r1", "projected")


@pytest.fixture(params=NAMES)
def objective(request: pytest.FixtureRequest, tiny_classifier: AttributeClassifier) -> Objective:
    return objectives(tiny_classifier)[request.param]


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(1)
    return Generator(CONFIG)


def reals() -> Tensor:
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_the_discriminators_loss_leaves_the_generator_alone(
    objective: Objective, generator: Generator
) -> None:
    fakes = objective.inputs(generator(torch.randn(4, 8)))
    assert fakes.images.requires_grad
    loss, _ = objective.discriminator_loss(objective.inputs(reals()), fakes.detach(), 0.5, step=0)
    loss.backward()
    assert all(weight.grad is None for weight in generator.parameters())
    learning = [w for w in objective.networks.parameters() if w.requires_grad]
    assert sum(w.grad is not None and bool(w.grad.any()) for w in learning) > len(learning) / 2


def test_the_generators_loss_reaches_it_through_frozen_discriminators(
    objective: Objective, generator: Generator
) -> None:
    objective.networks.requires_grad_(False)
    objective.generator_loss(objective.inputs(generator(torch.randn(4, 8))), 1.0).backward()
    assert all(weight.grad is None for weight in objective.networks.parameters())
    for name, weight in generator.named_parameters():
        if not name.startswith("to_rgb.0"):  # the resolution before is not shown
            assert weight.grad is not None, name
            assert weight.grad.any(), name


def test_detached_inputs_share_no_graph(objective: Objective, generator: Generator) -> None:
    inputs = objective.inputs(generator(torch.randn(4, 8)))
    still = inputs.detach()
    assert torch.equal(still.images, inputs.images)
    assert len(still.features) == len(inputs.features)
    assert not any(part.requires_grad for part in (still.images, *sum(still.features, ())))


def test_the_loss_falls_when_it_is_minimised(objective: Objective) -> None:
    torch.manual_seed(0)
    learning = [w for w in objective.networks.parameters() if w.requires_grad]
    optimizer = torch.optim.Adam(learning, 0.01, betas=(0.0, 0.99))
    losses = []
    fakes = torch.randn(4, 3, 8, 8).clamp(-1, 1)
    for step in range(12):
        with torch.no_grad():
            inputs = objective.inputs(reals()), objective.inputs(fakes)
        loss, figures = objective.discriminator_loss(*inputs, 1.0, 16 * step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert figures["real"] > figures["fake"]


def test_the_frozen_classifier_stays_as_it_is(
    tiny_classifier: AttributeClassifier, generator: Generator
) -> None:
    tiny_classifier.train().requires_grad_(True)
    before = {name: value.clone() for name, value in tiny_classifier.state_dict().items()}
    objective = objectives(tiny_classifier)["projected"]
    inputs = objective.inputs(reals()), objective.inputs(generator(torch.randn(4, 8)))
    loss, _ = objective.discriminator_loss(inputs[0], inputs[1].detach(), 1.0, step=0)
    loss.backward()
    objective.generator_loss(inputs[1], 1.0).backward()
    assert all(weight.grad is None for weight in tiny_classifier.parameters())
    assert all(weight.grad is not None for weight in generator.blocks.parameters())
    after = tiny_classifier.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any("classifier" in name for name, _ in objective.networks.named_modules())


class Scores(nn.Module):
    """Stands in for the projected discriminator: the features are the score maps."""

    def mix(self, stages: list[Tensor]) -> tuple[Tensor, ...]:
        return tuple(stages)

    def forward(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        return list(features)


def test_the_projected_losses_by_hand(tiny_classifier: AttributeClassifier, linear: Linear) -> None:
    pixel = NonSaturatingR1(linear, gamma=0)
    objective = Projected(tiny_classifier, Scores(), pixel, weight=0.5)
    on_real = (
        torch.tensor([2.0, 0.5]).view(2, 1, 1, 1),
        torch.tensor([-1.0, 3.0]).view(2, 1, 1, 1),
    )
    on_fake = (
        torch.tensor([-3.0, 0.0]).view(2, 1, 1, 1),
        torch.tensor([1.0, -0.5]).view(2, 1, 1, 1),
    )
    inputs = Inputs(real.images[:2], (on_real,)), Inputs(fake.images[:2], (on_fake,))
    loss, figures = objective.discriminator_loss(*inputs, 1.0, step=1)
    alone, _ = pixel.discriminator_loss(*inputs, 1.0, step=1)
    # hinge: max(0, 1 - real) and max(0, 1 + fake), mean over each stage, summed over stages
    hinges = (0 + 0.5) / 2 + (0 + 1) / 2 + (2 + 0) / 2 + (2 + 0.5) / 2
    assert (loss - alone).item() == pytest.approx(0.5 * hinges, rel=1e-5)
    assert figures["projected_real"] == pytest.approx(1.25 + 1.0)
    assert figures["projected_fake"] == pytest.approx(-1.5 + 0.25)
    generator_loss = objective.generator_loss(inputs[1], 1.0) - pixel.generator_loss(inputs[1], 1.0)
    assert generator_loss.item() == pytest.approx(-0.5 * (-1.5 + 0.25), rel=1e-5)


def test_another_discriminator_sees_the_same_pictures_twice_as_large_and_adds_its_losses(
    tiny_classifier: AttributeClassifier, linear: Linear
) -> None:
    class Network(nn.Module):
        def features(self, images: Tensor, size: int) -> list[Tensor]:
            self.size = size
            return [images.mean((1, 2, 3), keepdim=True)]

    pixel, network = NonSaturatingR1(linear, gamma=0), Network()
    objective = Projected(
        tiny_classifier,
        Scores(),
        pixel,
        weight=0,
        augment=False,
        further={"imagenet": FeatureDiscriminator(network, Scores(), 0.5, scale=2)},
    )
    assert set(objective.networks) == {"pixel", "projected", "imagenet"}
    inputs = objective.inputs(real.images), objective.inputs(fake.images)
    assert network.size == 2 * tiny_classifier.config.resolution
    assert [len(each.features) for each in inputs] == [2, 2]
    loss, figures = objective.discriminator_loss(*inputs, 1.0, step=1)
    alone, _ = pixel.discriminator_loss(*inputs, 1.0, step=1)
    on_real, on_fake = (each.images.mean((1, 2, 3)) for each in inputs)
    hinges = (1 - on_real).clamp(min=0).mean() + (1 + on_fake).clamp(min=0).mean()
    assert (loss - alone).item() == pytest.approx(0.5 * hinges.item(), rel=1e-5)
    assert figures["imagenet_real"] == pytest.approx(on_real.mean().item())
    assert figures["imagenet_fake"] == pytest.approx(on_fake.mean().item())
    generator_loss = objective.generator_loss(inputs[1], 1.0) - pixel.generator_loss(inputs[1], 1.0)
    assert generator_loss.item() == pytest.approx(-0.5 * on_fake.mean().item(), rel=1e-4)


def test_a_discriminator_of_tight_crops_sees_them_and_has_a_distance_of_its_own(
    tiny_classifier: AttributeClassifier,
) -> None:
    class Network(nn.Module):
        def features(self, images: Tensor, size: int) -> list[Tensor]:
            self.seen = images
            return [images.mean((2, 3), keepdim=True) * torch.ones(1, 1, 4, 4)] * 2

    torch.manual_seed(0)
    network, queues = Network(), SlicedFeatures((3, 3), reals=8, fakes=8, directions=4, refresh=1)
    objective = Projected(
        tiny_classifier,
        Scores(),
        NonSaturatingR1(Quadratic(), gamma=0),
        weight=0,
        augment=False,
        sliced_weight=2.0,
        further={
            "people": FeatureDiscriminator(network, Scores(), 0, tight_crop=True, sliced=queues)
        },
    )
    assert set(objective.networks) == {"pixel", "projected", "people", "sliced_people"}
    faces = torch.randn(4, 3, 16, 16)
    for step in range(4):
        objective.before_step(step)
        inputs = objective.inputs(faces)
        torch.testing.assert_close(network.seen, tight_view(faces))
        assert [len(rows) for rows in inputs.descriptions] == [0, 4]
        fake = objective.inputs(faces + 1)
        objective.discriminator_loss(inputs, fake.detach(), 1.0, step)
        before, seed = copy.deepcopy(queues), torch.get_rng_state()
        loss = objective.generator_loss(fake, 1.0)
    torch.set_rng_state(seed)
    distance = before.distance(fake.descriptions[1])
    assert distance > 0
    alone = objective.pixel.generator_loss(fake, 1.0)
    torch.testing.assert_close(loss - alone, 2 * distance)


def test_every_other_picture_shows_the_face_alone() -> None:
    faces = torch.zeros(4, 3, 16, 16)
    faces[:, :, 6:14, 4:12] = torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1, 1)  # eyes to mouth
    moved = (faces + 10).requires_grad_()
    shown = close_up_every_other(moved, faces)
    assert torch.equal(shown[::2], moved[::2])
    assert (shown[1] == 2).all()
    assert (shown[3] == 4).all()
    assert not (moved < 10).any()
    shown.sum().backward()
    assert moved.grad is not None
    assert moved.grad.amax((1, 2, 3)).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(("edge", "looked_at"), [(8, 32), (32, 32), (64, 48), (128, 48)])
def test_small_pictures_are_looked_at_small(edge: int, looked_at: int) -> None:
    class Classifier(nn.Module):
        config = type("Config", (), {"resolution": 48})()

        def features(self, images: Tensor, size: int) -> list[Tensor]:
            self.size = size
            return [images]

    classifier = Classifier()
    objective = Projected(classifier, Scores(), NonSaturatingR1(Quadratic()))
    objective.inputs(torch.zeros(2, 3, edge, edge))
    assert classifier.size == looked_at


def test_features_see_moved_pictures_and_pixels_the_pictures_themselves(
    tiny_classifier: AttributeClassifier,
) -> None:
    objective = objectives(tiny_classifier)["projected"]
    torch.manual_seed(0)
    images = reals()[:1].expand(64, 3, 8, 8)
    inputs = objective.inputs(images)
    assert inputs.images is images
    assert len({round(float(row.sum()), 3) for row in inputs.features[0][0]}) > 3


def test_the_sliced_distance_is_added_to_the_generators_loss(
    tiny_classifier: AttributeClassifier,
) -> None:
    torch.manual_seed(0)
    widths = tiny_classifier.config.widths
    sliced = SlicedFeatures(widths, reals=8, fakes=8, directions=4, refresh=1)
    parts = (
        tiny_classifier,
        ProjectedDiscriminator(widths, channels=8),
        NonSaturatingR1(Discriminator(CONFIG)),
    )
    plain, added = Projected(*parts), Projected(*parts, sliced=sliced, sliced_weight=1e4)
    assert "sliced" in added.networks
    assert "sliced" not in plain.networks
    for step in range(3):
        added.before_step(step)
        inputs = added.inputs(reals()), added.inputs(torch.zeros(4, 3, 8, 8))
        added.discriminator_loss(inputs[0], inputs[1].detach(), 1.0, 1)
        before = copy.deepcopy(sliced)
        seed = torch.get_rng_state()
        loss = added.generator_loss(inputs[1], 1.0)
    torch.set_rng_state(seed)
    distance = before.distance(inputs[1].descriptions[0])
    assert distance > 0
    difference = float((loss - plain.generator_loss(inputs[1], 1.0)).detach())
    assert difference == pytest.approx(1e4 * float(distance), rel=1e-3)


def with_patches(classifier: AttributeClassifier, pixel: nn.Module, weight: float) -> Projected:
    torch.manual_seed(0)
    return Projected(
        classifier,
        Scores(),
        NonSaturatingR1(pixel, gamma=0),
        patches=PatchDiscriminator(width=4),
        patch_weight=weight,
    )


def test_patches_judge_the_sharp_and_pixels_what_the_features_see(
    tiny_classifier: AttributeClassifier,
) -> None:
    objective = with_patches(tiny_classifier, Discriminator(CONFIG), 1.0)  # of 8x8
    sharp, seen = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 8, 8)
    inputs = objective.inputs(sharp, seen)
    assert inputs.full_size is sharp
    assert torch.equal(inputs.images, seen)
    inputs = objective.inputs(sharp)
    assert inputs.full_size is sharp
    assert torch.allclose(inputs.images, nn.functional.avg_pool2d(sharp, 2))
    inputs = objective.inputs(seen)  # before the last growth
    assert inputs.full_size is None
    assert inputs.images is seen


def test_the_patches_losses_by_hand(tiny_classifier: AttributeClassifier, linear: Linear) -> None:
    objective = with_patches(tiny_classifier, linear, 0.5)
    alone = NonSaturatingR1(linear, gamma=0)
    seen = objective.patches
    assert seen is not None
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    nothing = ((),)  # of frozen features
    sharp = (
        Inputs(pictures(0, 2), nothing, full_size=images[:2]),
        Inputs(pictures(1, 2), nothing, full_size=images[2:]),
    )
    loss, figures = objective.discriminator_loss(*sharp, 0.25, step=1)
    plain, _ = alone.discriminator_loss(*sharp, 1.0, step=1)
    with torch.no_grad():
        on_real, on_fake = (seen.eval()(each.full_size) for each in sharp)
    hinge = (1 - on_real).clamp(0).mean() + (1 + on_fake).clamp(0).mean()
    assert on_real.shape == (2, 1, 4, 4)
    assert (loss - plain).item() == pytest.approx(0.5 * hinge.item(), rel=0.05)
    assert figures["patches_fake"] == pytest.approx(on_fake.mean().item(), rel=0.2, abs=0.02)
    assert set(linear.alphas) == {1.0}  # the pixel discriminator's pictures do not grow
    objective.patches.eval()
    generator_loss = objective.generator_loss(sharp[1], 0.25) - alone.generator_loss(sharp[1], 1.0)
    assert generator_loss.item() == pytest.approx(-0.5 * on_fake.mean().item(), rel=1e-4)
    unsharp = Inputs(pictures(0, 2), nothing), Inputs(pictures(1, 2), nothing)
    assert "patches_real" not in objective.discriminator_loss(*unsharp, 1.0, step=1)[1]


def test_detached_inputs_keep_the_sharp_pictures(tiny_classifier: AttributeClassifier) -> None:
    objective = with_patches(tiny_classifier, Discriminator(CONFIG), 1.0)
    inputs = objective.inputs(torch.rand(2, 3, 16, 16, requires_grad=True))
    still = inputs.detach()
    assert inputs.full_size is not None
    assert inputs.full_size.requires_grad
    assert still.full_size is not None
    assert torch.equal(still.full_size, inputs.full_size)
    assert not still.full_size.requires_grad
