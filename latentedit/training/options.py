"""Options of training runs. No torch here: the command line reads its defaults from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentedit.training.gan.schedule import Schedule

if TYPE_CHECKING:
    from latentedit.generators.progressive import GeneratorConfig

OBJECTIVES = ("projected", "r1", "wgan-gp")
PIXEL_OBJECTIVES = OBJECTIVES[1:]


@dataclass(frozen=True)
class GeneratorOptions:
    """Options of a generator run; defaults are those of the shipped model's first run.

    Attributes:
        objective: one of `OBJECTIVES`.
        pixel_objective: of the pixel discriminator beside projected ones, of `PIXEL_OBJECTIVES`.
        resolution: final edge of the pictures.
        fmap_base: see `GeneratorConfig`.
        fmap_max: see `GeneratorConfig`.
        discriminator_fmap_base: the pixel discriminator's `fmap_base`.
        discriminator_fmap_max: the pixel discriminator's `fmap_max`.
        start: first resolution.
        stable_kimg: thousands of images of the stable phases before each growth.
        fade_kimg: thousands of images of each fade.
        total_kimg: thousands of images in all.
        decay_kimg: the rate falls to zero over the last so many thousands.
        batch_size: pictures a step.
        learning_rate: Adam's, for the generator.
        discriminator_learning_rate: Adam's, for the pixel discriminator.
        projected_learning_rate: Adam's, for the heads of the projected discriminators.
        projected_weight: of the projected discriminator's losses beside the pixel one's.
        imagenet_weight: of another projected discriminator's, that looks through features learned
            on ImageNet; 0 for none.
        people_weight: of one that looks through a network of tightly cropped faces, where one is
            given.
        sliced_weight: of the sliced Wasserstein distances between features of either network, for
            the generator.
        patch_weight: of a discriminator of small patches beside the projected one. It judges what
            is finer than the faces the frozen features look at; above 0, the pixel discriminator
            looks at these too.
        r1_gamma: weight of the R1 penalty.
        augment: differentiable augmentation before the discriminators: translation before frozen
            features, translation and cutout before pixel discriminators. By default only the
            projected objective has it.
        ema_kimg: half-lives of the averaged weights, one average each; samples are drawn from the
            first, and the best is chosen by measuring.
        frozen_kimg: the generator is frozen for the first so many thousands of images, so that new
            discriminators can catch up with one that was trained before.
        save_kimg: save the state and draw samples every so many thousands.
        snapshot_kimg: keep the averaged generator every so many thousands; 0 keeps none.
        adversarial_weight: of all discriminators' losses, for the generator; at 0 there are none,
            and a student learns from its teacher's pictures alone.
        distil_pixels: of the difference from the teacher's pictures, at each of
            `distillation.SCALES`; this and the next count where a run has a teacher.
        distil_features: of that of the classifier's features, where one is given.
        distil_imagenet: of that of features learned on ImageNet; 0 for none.
        pairs: pictures of the teacher that are drawn, at least, with the latents that made them.
        pairs_size: edge at which they are kept.
        pairs_mixed: share of them that are made from two latents each. These are only examples of
            pictures; a student learns its latents from the others.
        pairs_psi: least and most truncation of them.
        seed: of weights, order and noise.
        device: auto, cpu, cuda, mps.
        bf16: bfloat16 autocast.
        cuda_graphs: on a single GPU, record steps as CUDA graphs, except while a resolution fades
            in.
    """

    objective: str = "projected"
    pixel_objective: str = "r1"
    resolution: int = 64
    fmap_base: int = 1024
    fmap_max: int = 256
    discriminator_fmap_base: int = 768
    discriminator_fmap_max: int = 96
    start: int = 8
    stable_kimg: tuple[float, ...] = (5, 12, 30)
    fade_kimg: tuple[float, ...] = (8, 10, 15)
    total_kimg: float = 270
    decay_kimg: float = 40
    batch_size: int = 16
    learning_rate: float = 2e-3
    discriminator_learning_rate: float = 2e-3
    projected_learning_rate: float = 1e-3
    projected_weight: float = 0.15
    imagenet_weight: float = 0
    people_weight: float = 0.15
    sliced_weight: float = 10
    patch_weight: float = 0
    r1_gamma: float = 0.03
    augment: bool | None = None
    ema_kimg: tuple[float, ...] = (5, 2, 20)
    frozen_kimg: float = 0
    save_kimg: float = 5
    snapshot_kimg: float = 10
    adversarial_weight: float = 1
    distil_pixels: float = 1
    distil_features: float = 0.5
    distil_imagenet: float = 0
    pairs: int = 35_000
    pairs_size: int = 256
    pairs_mixed: float = 0.5
    pairs_psi: tuple[float, ...] = (0.6, 1.0)
    seed: int = 0
    device: str = "auto"
    bf16: bool = True
    cuda_graphs: bool = True

    @property
    def augments(self) -> bool:
        """Whether discriminators see augmented pictures."""
        return self.objective == "projected" if self.augment is None else self.augment

    @property
    def generator(self) -> GeneratorConfig:
        """The generator's shape."""
        from latentedit.generators.progressive import GeneratorConfig

        return GeneratorConfig(self.resolution, fmap_base=self.fmap_base, fmap_max=self.fmap_max)

    @property
    def discriminator(self) -> GeneratorConfig:
        """The pixel discriminator's shape."""
        from latentedit.generators.progressive import GeneratorConfig

        return GeneratorConfig(
            self.resolution,
            fmap_base=self.discriminator_fmap_base,
            fmap_max=self.discriminator_fmap_max,
        )

    @property
    def schedule(self) -> Schedule:
        """When to grow."""
        return Schedule(self.start, self.resolution, self.stable_kimg, self.fade_kimg)


@dataclass(frozen=True)
class SupervisedOptions:
    """Options of a supervised run; defaults are those of the shipped networks.

    Attributes:
        epochs: passes over the training faces.
        batch_size: faces a step.
        learning_rate: peak of the cosine schedule (AdamW).
        warmup: share of all steps in which the rate rises.
        weight_decay: AdamW's.
        ema_decay: per-step decay of the averaged weights, which are the result; it rises to
            this value over the first steps, so that the random start is soon forgotten.
        patience: stop after so many epochs without a better validation score; 0 never stops.
        seed: of weights, order and augmentation.
        device: auto, cpu, cuda, mps.
        bf16: bfloat16 autocast.
    """

    epochs: int = 16
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup: float = 0.15
    weight_decay: float = 0.05
    ema_decay: float = 0.995
    patience: int = 0
    seed: int = 0
    device: str = "auto"
    bf16: bool = True


@dataclass(frozen=True)
class BaselineOptions:
    """Options of the slides' six portrait networks that `portrait_baseline.SETTINGS` does not fix.

    Attributes:
        epochs: passes over the portraits; the slides' 100.
        images: portraits for each network; as many as in WFLW's training list.
        seed: of weights, choice, order and mirroring.
        bf16: bfloat16 autocast.
    """

    epochs: int = 100
    images: int = 7500
    seed: int = 0
    bf16: bool = True


@dataclass(frozen=True)
class PreviewOptions:
    """Options of a run of preview heads; defaults are those of the shipped ones.

    Attributes:
        sizes: edges of the previews in pixels.
        pictures: whole pictures that the heads learn from.
        validation: the last so many are held out.
        steps: of each head.
        batch_size: patches a step.
        learning_rate: peak of the cosine schedule (Adam).
        save_steps: save the state and measure every so many.
        seed: of weights and order.
        device: auto, cpu, cuda, mps.
        bf16: bfloat16 autocast.
    """

    sizes: tuple[int, ...] = (256,)
    pictures: int = 1500
    validation: int = 100
    steps: int = 5000
    batch_size: int = 16
    learning_rate: float = 2e-3
    save_steps: int = 250
    seed: int = 0
    device: str = "auto"
    bf16: bool = True


@dataclass(frozen=True)
class EncoderOptions:
    """Options of an encoder's run; defaults are those of the shipped one.

    Attributes:
        pairs: latents with pictures that the generator draws for it.
        validation: the last so many pairs are held out.
        steps: that learn from pairs, by their latents.
        batch_size: pictures a step.
        learning_rate: peak of the cosine schedule (AdamW).
        weight_decay: AdamW's.
        ema_decay: per-step decay of the averaged weights, which are the result.
        face_steps: further steps that learn from photos too, by what the generator draws.
        face_batch_size: pictures of those steps.
        face_learning_rate: their peak.
        save_steps: save the state and measure every so many.
        seed: of weights, order and wear.
        device: auto, cpu, cuda, mps.
        bf16: bfloat16 autocast.
    """

    pairs: int = 60_000
    validation: int = 500
    steps: int = 6000
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    face_steps: int = 1500
    face_batch_size: int = 8
    face_learning_rate: float = 2e-4
    save_steps: int = 500
    seed: int = 0
    device: str = "auto"
    bf16: bool = True
