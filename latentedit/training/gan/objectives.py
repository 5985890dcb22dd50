"""Build a run's discriminators and losses from its options."""

from __future__ import annotations

from dataclasses import replace

import torch

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.inference.devices import place
from latentedit.photos.resemblance import STAGES
from latentedit.training.gan.discriminator import Discriminator
from latentedit.training.gan.distillation import Distillation, FeatureDistance
from latentedit.training.gan.imagenet import load_efficientnet
from latentedit.training.gan.losses import (
    FeatureDiscriminator,
    NonSaturatingR1,
    Objective,
    Projected,
    WassersteinGP,
)
from latentedit.training.gan.patches import PatchDiscriminator
from latentedit.training.gan.projected import ProjectedDiscriminator
from latentedit.training.gan.sliced import SlicedFeatures
from latentedit.training.options import OBJECTIVES, PIXEL_OBJECTIVES, GeneratorOptions

DISTILLED = 3
"""How many stages of the network learned on ImageNet compare a student with its teacher: those
whose features are a quarter to a sixteenth as large as the picture."""

CLOSE_UP = 160
"""Largest edge of the close-ups that this network sees, in pixels."""


def build_objective(
    options: GeneratorOptions,
    classifier: AttributeClassifier | None,
    feature_resolution: int | None = None,
    device: torch.device | None = None,
    people: AttributeClassifier | None = None,
) -> Objective | None:
    """Build the discriminators of a run; return None if their weight is 0.

    Args:
        options: of the run.
        classifier: the network with the frozen features of the projected objective.
        feature_resolution: resolution of the faces for frozen features, if these are other faces.
        device: device of the network learned on ImageNet; the CPU by default.
        people: a frozen network for tightly cropped faces, for another projected discriminator.

    Raises:
        LatentEditError: an unknown objective, a projected one without a classifier, or a
            `patch_weight` without smaller faces for the frozen features.
    """
    for what, name, known in (
        ("objective", options.objective, OBJECTIVES),
        ("pixel objective", options.pixel_objective, PIXEL_OBJECTIVES),
    ):
        if name not in known:
            raise LatentEditError(f"unknown {what} {name!r}: choose from {', '.join(known)}")
    if options.adversarial_weight == 0:
        return None
    if options.objective != "projected":
        return _by_pixels(options.objective, options, feature_resolution, options.augments)
    if classifier is None:
        raise LatentEditError(
            "the projected objective needs frozen features: give --classifier, "
            "or set objective to r1"
        )
    pixel = _by_pixels(options.pixel_objective, options, feature_resolution)
    return Projected(
        classifier,
        ProjectedDiscriminator(classifier.config.widths),
        pixel,
        weight=options.projected_weight,
        sliced=SlicedFeatures(classifier.config.widths) if options.sliced_weight else None,
        sliced_weight=options.sliced_weight,
        augment=options.augments,
        patches=PatchDiscriminator() if options.patch_weight else None,
        patch_weight=options.patch_weight,
        further=_further_discriminators(options, people, device),
    )


def build_distillation(
    options: GeneratorOptions, classifier: AttributeClassifier | None, device: torch.device
) -> Distillation:
    """Build the loss that compares a student's pictures with its teacher's.

    Args:
        options: of the run.
        classifier: the frozen network for differences of features; None leaves these out.
        device: device of the network learned on ImageNet.
    """
    views = []
    if classifier is not None and options.distil_features > 0:
        frozen = classifier.eval().requires_grad_(False)
        most = classifier.config.resolution
        views.append(FeatureDistance("features", frozen, options.distil_features, STAGES, most))
    if options.distil_imagenet > 0:
        network = place(load_efficientnet(DISTILLED), device)
        weight, stages = options.distil_imagenet, range(DISTILLED)
        view = FeatureDistance("imagenet", network, weight, stages, CLOSE_UP, close_up=True)
        views.append(view)
    return Distillation(options.distil_pixels, views, faces=options.distil_faces)


def _by_pixels(
    name: str, options: GeneratorOptions, feature_resolution: int | None, augment: bool = False
) -> NonSaturatingR1 | WassersteinGP:
    config = options.discriminator
    if options.patch_weight:
        if feature_resolution is None or feature_resolution >= options.resolution:
            raise LatentEditError(
                "patch_weight needs --feature-data with faces below the run's resolution: "
                "give smaller ones"
            )
        config = replace(config, resolution=feature_resolution)
    discriminator = Discriminator(config, hidden=options.discriminator_hidden)
    if name == "wgan-gp":
        return WassersteinGP(discriminator, augment=augment)
    return NonSaturatingR1(discriminator, options.r1_gamma, augment=augment)


def _further_discriminators(
    options: GeneratorOptions, people: AttributeClassifier | None, device: torch.device | None
) -> dict[str, FeatureDiscriminator]:
    """Build the projected discriminators on features of networks other than the classifier."""
    discriminators = {}
    if options.imagenet_weight:
        network = place(load_efficientnet(), device or torch.device("cpu"))
        heads = ProjectedDiscriminator(network.widths)
        discriminators["imagenet"] = FeatureDiscriminator(
            network, heads, options.imagenet_weight, scale=2, close_ups=True
        )
    if people is not None:
        widths = people.config.widths
        discriminators["people"] = FeatureDiscriminator(
            people.eval().requires_grad_(False),
            ProjectedDiscriminator(widths),
            options.people_weight,
            tight_crop=True,
            sliced=SlicedFeatures(widths) if options.sliced_weight else None,
        )
    return discriminators
