"""Adversarial objectives: what the discriminators and the generator minimise.

An objective first turns pictures into inputs of the discriminators; for a projected discriminator
it computes frozen features. Then it computes losses from inputs. Inputs of fakes keep their graph
to the generator, and the discriminator's loss uses them detached. So both losses share one
generated batch and one pass through the frozen network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.classifiers.age import tight_view
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.io.resampling import downsample, resize
from latentedit.training.augment import cutout, translate
from latentedit.training.gan.discriminator import Discriminator
from latentedit.training.gan.patches import PatchDiscriminator
from latentedit.training.gan.projected import ProjectedDiscriminator
from latentedit.training.gan.sliced import SlicedFeatures

FACE = (0.25, 0.375, 0.75, 0.875)
"""Left, top, right, bottom of eyes, nose and mouth in the shared frame, in shares of its edge."""


@dataclass(frozen=True)
class Inputs:
    """What discriminators see: pictures [N, 3, r, r] and, for some, their frozen features.

    Attributes:
        images: the pictures.
        features: for each projected discriminator, its mixed features.
        descriptions: for each projected discriminator, rows of features for its sliced distance;
            empty if it has none.
        full_size: the pictures at full size, if `images` are smaller ones.
    """

    images: Tensor
    features: tuple[tuple[Tensor, ...], ...] = ()
    descriptions: tuple[tuple[Tensor, ...], ...] = ()
    full_size: Tensor | None = None

    def detach(self) -> Inputs:
        """Return the same inputs without the graph."""
        return Inputs(
            self.images.detach(),
            tuple(tuple(map.detach() for map in maps) for maps in self.features),
            tuple(tuple(means.detach() for means in rows) for rows in self.descriptions),
            None if self.full_size is None else self.full_size.detach(),
        )


class Objective(Protocol):
    """A pair of losses. `networks` holds everything that is trained beside the generator."""

    networks: nn.ModuleDict

    def inputs(self, images: Tensor, seen: Tensor | None = None) -> Inputs:
        """Turn pictures into inputs; frozen features look at `seen` instead if it is given."""
        ...

    def discriminator_loss(
        self, real: Inputs, fake: Inputs, alpha: float, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and figures for the log; `fake` must be detached."""
        ...

    def penalises(self, step: int) -> bool:
        """Return whether this step's discriminator loss has a penalty that other steps lack."""
        ...

    def before_step(self, step: int) -> None:
        """Do the work before a step that only some of the steps need."""
        ...

    def generator_loss(self, fake: Inputs, alpha: float) -> Tensor:
        """Return the generator's loss."""
        ...


class WassersteinGP:
    """WGAN-GP (Gulrajani et al. 2017) with the drift term of Karras et al. 2018, app. A.1.

    Args:
        penalty: weight of the gradient penalty.
        augment: look at moved and partly covered pictures (DiffAugment, Zhao et al. 2020).
    """

    def __init__(
        self, discriminator: Discriminator, penalty: float = 10.0, *, augment: bool = False
    ) -> None:
        self.networks = nn.ModuleDict({"pixel": discriminator})
        self.discriminator = discriminator
        self.penalty = penalty
        self.augment = augment

    def inputs(self, images: Tensor, seen: Tensor | None = None) -> Inputs:
        return Inputs(cutout(translate(images)) if self.augment else images)

    def discriminator_loss(
        self, real: Inputs, fake: Inputs, alpha: float, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        on_real = self.discriminator(real.images, alpha=alpha).float()
        on_fake = self.discriminator(fake.images, alpha=alpha).float()
        mix = torch.rand(len(real.images), 1, 1, 1, device=on_real.device)
        between = torch.lerp(real.images.float(), fake.images.float(), mix).requires_grad_()
        slope = _gradient(self.discriminator(between, alpha=alpha), between).square()
        norm = slope.sum((1, 2, 3)).sqrt()
        loss = on_fake.mean() - on_real.mean()
        loss = loss + self.penalty * (norm - 1).square().mean()
        loss = loss + 0.001 * on_real.square().mean()
        return loss, _figures(on_real, on_fake)

    def penalises(self, step: int) -> bool:
        return False  # every step has the penalty

    def before_step(self, step: int) -> None:
        pass

    def generator_loss(self, fake: Inputs, alpha: float) -> Tensor:
        return -self.discriminator(fake.images, alpha=alpha).float().mean()


class NonSaturatingR1:
    """Non-saturating loss (Goodfellow et al. 2014) with lazy R1 (Mescheder et al. 2018).

    Args:
        gamma: weight; the penalty is gamma / 2 times the squared gradient at real pictures.
        every: only every `every`-th step has the penalty, times `every` (Karras et al. 2020).
        augment: look at moved and partly covered pictures (DiffAugment, Zhao et al. 2020).
    """

    def __init__(
        self,
        discriminator: Discriminator,
        gamma: float = 1.0,
        every: int = 16,
        *,
        augment: bool = False,
    ) -> None:
        self.networks = nn.ModuleDict({"pixel": discriminator})
        self.discriminator = discriminator
        self.gamma = gamma
        self.every = every
        self.augment = augment

    def inputs(self, images: Tensor, seen: Tensor | None = None) -> Inputs:
        return Inputs(cutout(translate(images)) if self.augment else images)

    def discriminator_loss(
        self, real: Inputs, fake: Inputs, alpha: float, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        penalised = self.penalises(step)
        images = real.images.detach().requires_grad_(penalised)
        on_real = self.discriminator(images, alpha=alpha).float()
        on_fake = self.discriminator(fake.images, alpha=alpha).float()
        loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        figures = _figures(on_real, on_fake)
        if penalised:
            slope = _gradient(on_real, images).square().sum((1, 2, 3)).mean()
            loss = loss + slope * (self.gamma / 2 * self.every)
            figures["r1"] = slope.detach()
        return loss, figures

    def penalises(self, step: int) -> bool:
        return step % self.every == 0

    def before_step(self, step: int) -> None:
        pass

    def generator_loss(self, fake: Inputs, alpha: float) -> Tensor:
        return F.softplus(-self.discriminator(fake.images, alpha=alpha).float()).mean()


class FrozenNetwork(Protocol):
    """A frozen network whose features projected discriminators judge."""

    def features(self, images: Tensor, size: int | None = None) -> list[Tensor]:
        """Images [N, 3, H, W] in [-1, 1], resized to `size` -> features by stage, finest first."""
        ...


@dataclass(frozen=True)
class FeatureDiscriminator:
    """A projected discriminator with its frozen network.

    Attributes:
        network: the frozen network.
        heads: the discriminator on its features.
        weight: weight of its losses.
        scale: its pictures are so many times as large as those that the classifier sees.
        close_ups: whether it sees only the face of every other picture.
        tight_crop: whether it sees all pictures cropped as tightly as UTKFace's chips.
        sliced: queues of its features, whose distance is added to the generator's loss.
    """

    network: FrozenNetwork
    heads: ProjectedDiscriminator
    weight: float
    scale: int = 1
    close_ups: bool = False
    tight_crop: bool = False
    sliced: SlicedFeatures | None = None


class Projected:
    """Projected discriminators (Sauer et al. 2021, hinge loss) beside a pixel discriminator.

    Frozen features see moved pictures (translation only). The pixel discriminator sees the pictures
    as they are, so the generator cannot learn the augmentation.

    Args:
        classifier: the frozen network. It sees small pictures at their own size (from 32 pixels
            on), which keeps the early phases of growth cheap.
        projected: the discriminator on its features.
        pixel: the objective of the pixel discriminator.
        weight: weight of the projected losses.
        sliced: adds the sliced Wasserstein distance between features to the generator's loss.
        sliced_weight: weight of all such distances.
        augment: let the features see moved pictures.
        patches: judges detail that is too fine for the pixel discriminator. That one then sees
            the pictures that the features look at, up to its own resolution.
        patch_weight: weight of its losses.
        further: other projected discriminators on the same pictures, by name.
    """

    def __init__(
        self,
        classifier: AttributeClassifier,
        projected: ProjectedDiscriminator,
        pixel: NonSaturatingR1 | WassersteinGP,
        weight: float = 1.0,
        *,
        sliced: SlicedFeatures | None = None,
        sliced_weight: float = 1.0,
        augment: bool = True,
        patches: PatchDiscriminator | None = None,
        patch_weight: float = 1.0,
        further: Mapping[str, FeatureDiscriminator] | None = None,
    ) -> None:
        self.classifier = classifier.eval().requires_grad_(False)
        own = FeatureDiscriminator(self.classifier, projected, weight, sliced=sliced)
        self.projected = {"projected": own, **(further or {})}
        self.networks = nn.ModuleDict({"pixel": pixel.discriminator})
        for name, each in self.projected.items():
            self.networks[name] = each.heads
        if patches is not None:
            self.networks["patches"] = patches
        for name, each in self.projected.items():
            if each.sliced is not None:
                self.networks["sliced" if each is own else f"sliced_{name}"] = each.sliced
        self.pixel = pixel
        self.sliced_weight = sliced_weight
        self.augment = augment
        self.patches = patches
        self.patch_weight = patch_weight

    def inputs(self, images: Tensor, seen: Tensor | None = None) -> Inputs:
        seen = images if seen is None else seen
        full_size = None
        if self.patches is not None:
            largest = self.pixel.discriminator.config.resolution
            full_size = images if images.shape[-1] > largest else None
            images = downsample(seen, max(1, seen.shape[-1] // largest))
        size = min(max(32, seen.shape[-1]), self.classifier.config.resolution)
        seen = downsample(seen, max(1, seen.shape[-1] // size))
        moved = translate(seen) if self.augment else seen
        mixed: list[tuple[Tensor, ...]] = []
        described: list[tuple[Tensor, ...]] = []
        for discriminator in self.projected.values():
            shown = close_up_every_other(moved, seen) if discriminator.close_ups else moved
            shown = tight_view(shown) if discriminator.tight_crop else shown
            stages = discriminator.network.features(shown, discriminator.scale * size)
            mixed.append(discriminator.heads.mix(stages))
            described.append(discriminator.sliced.describe(stages) if discriminator.sliced else ())
        return Inputs(images, tuple(mixed), tuple(described), full_size)

    def discriminator_loss(
        self, real: Inputs, fake: Inputs, alpha: float, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if real.full_size is not None:
            alpha = 1.0  # the pixel discriminator sees nothing of the block that fades in
        loss, figures = self.pixel.discriminator_loss(real, fake, alpha, step)
        if self.patches is not None and real.full_size is not None and fake.full_size is not None:
            on_real = self.patches(real.full_size).float()
            on_fake = self.patches(fake.full_size).float()
            loss = loss + self.patch_weight * _hinge(on_real, on_fake)
            figures |= {f"patches_{name}": v for name, v in _figures(on_real, on_fake).items()}
        for sliced, rows in self._queued(real):
            sliced.remember(rows)
        pairs = zip(self.projected.items(), real.features, fake.features, strict=True)
        for (name, each), of_real, of_fake in pairs:
            for on_real, on_fake in zip(each.heads(of_real), each.heads(of_fake), strict=True):
                loss = loss + each.weight * _hinge(on_real.float(), on_fake.float())
                for key, value in _figures(on_real.float(), on_fake.float()).items():
                    known = figures.get(f"{name}_{key}")
                    figures[f"{name}_{key}"] = value if known is None else known + value
        return loss, figures

    def penalises(self, step: int) -> bool:
        return self.pixel.penalises(step)

    def before_step(self, step: int) -> None:
        for discriminator in self.projected.values():
            if discriminator.sliced:
                discriminator.sliced.before_step(step)

    def generator_loss(self, fake: Inputs, alpha: float) -> Tensor:
        loss = self.pixel.generator_loss(fake, alpha if fake.full_size is None else 1.0)
        if self.patches is not None and fake.full_size is not None:
            loss = loss - self.patch_weight * self.patches(fake.full_size).float().mean()
        for discriminator, features in zip(self.projected.values(), fake.features, strict=True):
            for scores in discriminator.heads(features):
                loss = loss - discriminator.weight * scores.float().mean()
        for sliced, rows in self._queued(fake):
            loss = loss + self.sliced_weight * sliced.distance(rows)
        return loss

    def _queued(self, inputs: Inputs) -> Iterator[tuple[SlicedFeatures, tuple[Tensor, ...]]]:
        """Yield each queue and its rows of features."""
        for discriminator, rows in zip(self.projected.values(), inputs.descriptions, strict=False):
            if discriminator.sliced:
                yield discriminator.sliced, rows


def close_up_every_other(pictures: Tensor, faces: Tensor) -> Tensor:
    """Replace every other picture by its face alone, twice as large.

    Eyes are a tenth of the frame's width, so it is easy to overlook what is wrong with them.

    Args:
        pictures: [N, 3, r, r]; every other one is kept.
        faces: [N, 3, r, r] in the shared frame; the close-ups are cut out of these.
    """
    shown = pictures.clone()
    shown[1::2] = resize(cut_out(faces[1::2], FACE), faces.shape[-1])
    return shown


def cut_out(faces: Tensor, box: tuple[float, float, float, float]) -> Tensor:
    """Cut a box out of faces [N, 3, r, r]: left, top, right, bottom in shares of the edge."""
    left, top, right, bottom = (round(share * faces.shape[-1]) for share in box)
    return faces[:, :, top:bottom, left:right]


def _gradient(scores: Tensor, images: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(scores.float().sum(), images, create_graph=True)
    return slope.float()


def _hinge(on_real: Tensor, on_fake: Tensor) -> Tensor:
    return F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()


def _figures(on_real: Tensor, on_fake: Tensor) -> dict[str, Tensor]:
    return {"real": on_real.detach().mean(), "fake": on_fake.detach().mean()}
