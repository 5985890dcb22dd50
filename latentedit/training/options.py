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
        pixel_objective: objective of the pixel discriminator beside projected ones, one of
            `PIXEL_OBJECTIVES`.
        resolution: final edge of the pictures.
        fmap_base: see `GeneratorConfig`.
        fmap_max: see `GeneratorConfig`.
        smooths: see `GeneratorConfig`.
        discriminator_fmap_base: the pixel discriminator's `fmap_base`.
        discriminator_fmap_max: the pixel discriminator's `fmap_max`.
        discriminator_hidden: edge in pixels; the pixel discriminator sees only detail that pictures
            of this size lack. It is a power of two below `start`; 0 hides nothing.
        start: first resolution.
        stable_kimg: thousands of images of the stable phases before each growth.
        fade_kimg: thousands of images of each fade.
        total_kimg: thousands of images in all.
        decay_kimg: thousands of images at the end, over which the learning rates fall to zero.
        batch_size: pictures a step.
        learning_rate: Adam's, for the generator.
        matrix_learning_rate: Muon's, for the generator's weight matrices, see `matrices`; at 0
            Adam trains them, too.
        discriminator_learning_rate: Adam's, for the pixel discriminator.
        projected_learning_rate: Adam's, for the heads of the projected discriminators.
        projected_weight: weight of the projected discriminator's losses beside the pixel one's.
        imagenet_weight: weight of another projected discriminator, on features learned on ImageNet;
            0 for none.
        people_weight: weight of a projected discriminator on features of a network for tightly
            cropped faces, if such a network is given.
        sliced_weight: weight, in the generator's loss, of the sliced Wasserstein distances between
            features of the classifier and of the network for tightly cropped faces.
        patch_weight: weight of a discriminator of small patches beside the projected one. It judges
            detail that is finer than the faces for the frozen features. Above 0, the pixel
            discriminator looks at these faces too.
        r1_gamma: weight of the R1 penalty.
        augment: differentiable augmentation before the discriminators: translation before frozen
            features, translation and cutout before pixel discriminators. By default only the
            projected objective has it.
        ema_kimg: half-lives of the averaged weights in thousands of images, one average each.
            Samples are drawn from the first; measure them all to choose the best.
        frozen_kimg: thousands of images at the start, or after `alone_kimg`, for which the
            generator is frozen, so that new discriminators can catch up with a generator that was
            trained before.
        save_kimg: thousands of images between two saves of the state; samples are drawn then, too.
        snapshot_kimg: thousands of images between two snapshots of the averaged generator; 0 keeps
            none.
        adversarial_weight: weight of all discriminators' losses in the generator's loss. At 0 there
            are no discriminators, and a student learns from its teacher's pictures alone.
        balanced: for a student: `adversarial_weight` says how strongly discriminators pull at its
            pictures, in shares of the pull of its teacher's pictures (after Esser et al. 2021,
            eq. 7, which measures both at the last layer instead).
        alone_kimg: thousands of images at the start that a student learns from its teacher's
            pictures alone, before the discriminators join.
        distil_pixels: weight of the difference from the teacher's pictures, at each of
            `distillation.SCALES`. This and the next three count only if a run has a teacher.
        distil_faces: weight of the difference of the face alone.
        distil_features: weight of the difference of the classifier's features, if one is given.
        distil_imagenet: weight of the difference of features learned on ImageNet, of the face
            alone, shown twice as large; 0 for none.
        pairs: least number of pictures that the teacher draws, with the latents that made them.
        pairs_size: edge at which these pictures are kept.
        pairs_mixed: share of these pictures that are made from two latents each. They are only
            examples of pictures; a student learns its latents from the others.
        pairs_psi: smallest and largest psi of these pictures.
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
    smooths: bool = False
    discriminator_fmap_base: int = 768
    discriminator_fmap_max: int = 96
    discriminator_hidden: int = 0
    start: int = 8
    stable_kimg: tuple[float, ...] = (5, 12, 30)
    fade_kimg: tuple[float, ...] = (8, 10, 15)
    total_kimg: float = 270
    decay_kimg: float = 40
    batch_size: int = 16
    learning_rate: float = 2e-3
    matrix_learning_rate: float = 0
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
    balanced: bool = False
    alone_kimg: float = 0
    distil_pixels: float = 1
    distil_faces: float = 0
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

        return GeneratorConfig(
            self.resolution,
            fmap_base=self.fmap_base,
            fmap_max=self.fmap_max,
            smooths=self.smooths,
        )

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
        patience: number of epochs without a better validation score after which training stops;
            0 never stops.
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
    """Options of the slides' six portrait networks; `portrait.baseline.SETTINGS` fixes the others.

    Attributes:
        epochs: passes over the portraits; 100 in the slides.
        images: portraits for each network, at most; as many as in WFLW's training list.
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
        pictures: whole pictures that the heads learn from, with those that are held out.
        validation: number of pictures at the end that are held out.
        steps: steps of each head.
        batch_size: patches a step.
        learning_rate: peak of the cosine schedule (Adam).
        save_steps: steps between two saves of the state; the heads are measured then, too.
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
        pairs: number of pairs (latents and a picture) that the generator draws, at least.
        validation: number of pairs at the end that are held out.
        steps: steps that learn the latents of pairs.
        batch_size: pictures a step.
        learning_rate: peak of the cosine schedule (AdamW).
        weight_decay: AdamW's.
        ema_decay: per-step decay of the averaged weights, which are the result.
        face_steps: further steps, which compare the generator's pictures with photos and with
            pictures of pairs.
        face_batch_size: pictures in each of these steps.
        face_learning_rate: peak of the cosine schedule of these steps.
        save_steps: steps between two saves of the state; the encoder is measured then, too.
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
