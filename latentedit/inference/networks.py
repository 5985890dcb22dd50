"""Generator, classifier and age estimator together: latents -> pictures -> what is seen in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Protocol, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from latentedit import defaults
from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.age import AgeEstimator, tight_view
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.adapters import (
    AdaptedGenerator,
    LatentGenerator,
    OnnxGenerator,
    ProtocolGenerator,
    as_network,
)
from latentedit.generators.progressive import Generator
from latentedit.generators.stylegan2 import StyleGAN2Generator
from latentedit.inference.devices import autocast, pick_device, pick_precision, place
from latentedit.inference.prepare import prepare
from latentedit.io.images import UInt8Array, to_tensor, to_uint8
from latentedit.pretrained.hashing import weights_hash

AnyGenerator = Generator | StyleGAN2Generator | AdaptedGenerator | OnnxGenerator | ProtocolGenerator


class Look(Protocol):
    """Images [N, 3, H, W] in [-1, 1] -> [N, ...]."""

    def __call__(self, images: Tensor) -> Tensor: ...


class FaceNetworks:
    """What a `FaceEditor` does without boundaries; its arguments are explained there."""

    def __init__(
        self,
        generator: AnyGenerator | LatentGenerator,
        classifier: AttributeClassifier | None = None,
        age_estimator: AgeEstimator | Look | None = None,
        *,
        name: str = "unnamed",
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = defaults.PRECISION,
    ) -> None:
        self.name = name
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        if batch_size is None:
            batch_size = 1 if self.device.type == "cpu" else 64
        self.batch_size = _checked_batch_size(batch_size)
        network = cast(AnyGenerator, _as_network(generator))
        self.generator_hash = weights_hash(network)
        self._generator = place(network, self.device).eval()
        self._classifier = place(classifier, self.device).eval() if classifier else None
        if isinstance(age_estimator, nn.Module):
            age_estimator = place(age_estimator, self.device).eval()
        self._age_estimator = age_estimator

    def with_batch_size(self, batch_size: int) -> Self:
        """The same model, sharing its networks, with another `batch_size`.

        Raises:
            LatentEditError: it is below 1.
        """
        other = copy(self)
        other.batch_size = _checked_batch_size(batch_size)
        return other

    @property
    def precision_name(self) -> str:
        """``float32`` or ``bfloat16``."""
        return str(self.precision).removeprefix("torch.")

    @property
    def latent_dim(self) -> int:
        """Length of z."""
        return self._generator.config.latent_dim

    @property
    def space(self) -> str:
        """The generator's latent space, ``z`` or ``w``."""
        return generator_space(self._generator)

    @property
    def resolution(self) -> int:
        """Edge of the rendered pictures in pixels."""
        return self._generator.config.resolution

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the columns of `score`."""
        return self._classifier.config.attributes if self._classifier else ATTRIBUTES

    @property
    def generator(self) -> nn.Module:
        """The generator, in eval mode."""
        return self._generator

    @property
    def classifier(self) -> AttributeClassifier:
        """The classifier, in eval mode.

        Raises:
            LatentEditError: this model has none.
        """
        if self._classifier is None:
            raise LatentEditError(
                f"model {self.name} has no classifier: give FaceEditor one, or put one into the "
                "bundle with 'latentedit bundle --classifier'"
            )
        return self._classifier

    @property
    def estimates_age(self) -> bool:
        """Whether `age` can be called."""
        return self._age_estimator is not None

    @property
    def age_estimator(self) -> Look:
        """The age estimator.

        Raises:
            LatentEditError: this model has none.
        """
        if self._age_estimator is None:
            raise LatentEditError(
                f"model {self.name} has no age estimator: train one with 'latentedit train age' "
                "and add it with 'latentedit bundle --age'"
            )
        return self._age_estimator

    @property
    def classifier_hash(self) -> str:
        """Hash of the classifier's weights.

        Raises:
            LatentEditError: this model has none.
        """
        return weights_hash(self.classifier)

    @property
    def age_hash(self) -> str | None:
        """Hash of the age estimator's weights, its type where it has none, or None without one."""
        if self._age_estimator is None:
            return None
        if isinstance(self._age_estimator, nn.Module):
            return weights_hash(self._age_estimator)
        return type(self._age_estimator).__qualname__

    def sample(self, seeds: Iterable[int]) -> NDArray[np.float32]:
        """Return one latent a seed, float32 [N, D], in the generator's space.

        A generator that samples for itself (`adapters`) does; see `latents.sample`.
        """
        if isinstance(self._generator, Generator):
            return latents.sample(seeds, self.latent_dim)
        return self._generator.sample(seeds)

    @torch.inference_mode()
    def render(self, z: ArrayLike) -> UInt8Array:
        """Render latents [N, D] -> uint8 [N, H, W, 3], RGB.

        Always `batch_size` rows at a time: convolutions add up in another order in batches of
        another size, and now and then a pixel rounds the other way. So a latent gives the same
        picture alone and in any company.

        Raises:
            LatentEditError: z of another shape, or not finite.
        """
        z = latents.check_latents(z, self.latent_dim)
        images = []
        plain = self._fast_generator is self._generator
        with autocast(self.device, enabled=plain and self.precision != torch.float32):
            for rows, count in self._batches(z):
                batch = torch.from_numpy(rows).to(self.device)
                images.append(to_uint8(self._fast_generator(batch)[:count]))
        return np.concatenate(images)

    @torch.inference_mode()
    def score(self, images: UInt8Array) -> NDArray[np.float32]:
        """Return attribute probabilities of uint8 [N, H, W, 3] faces, float32 [N, 40].

        Raises:
            LatentEditError: the model has no classifier, or images of another shape or dtype.
        """
        network = self._fast_classifier
        return self._look(lambda batch: torch.sigmoid(network(batch).float()), images)

    @torch.inference_mode()
    def logits_features_and_maps(
        self, images: UInt8Array
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return what `score` comes from.

        Logits [N, 40], the classifier's features [N, F], and those of an early stage before they
        are averaged over P places, [N, P, C] (`Backbone.pooled_and_map`); all float32.

        Args:
            images: uint8 [N, H, W, 3] faces.

        Raises:
            LatentEditError: the model has no classifier, or images of another shape or dtype.
        """
        network = cast(AttributeClassifier, self._fast_classifier)

        def everything(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            features, early = network.pooled_and_map(images)
            return network.head(features), features, early.flatten(2).transpose(1, 2)

        logits, features, maps = self._look_at_all(everything, images)
        return logits, features, maps

    @torch.inference_mode()
    def age(self, images: UInt8Array, *, tight: bool = False) -> NDArray[np.float32]:
        """Return estimated years of uint8 [N, H, W, 3] faces, float32 [N].

        Args:
            images: in the shared frame, of which the shipped estimator looks at the face alone.
            tight: they are cut as tightly as UTKFace's chips already.

        Raises:
            LatentEditError: the model has no age estimator.
        """
        network = self._fast_age_estimator
        if isinstance(self._age_estimator, AgeEstimator) and not tight:
            return self._look(lambda batch: network(tight_view(batch)), images)
        return self._look(network, images)

    @cached_property
    def _fast_generator(self) -> nn.Module:
        return prepare(self._generator, self.precision)

    @cached_property
    def _fast_classifier(self) -> nn.Module:
        return prepare(self.classifier)

    @cached_property
    def _fast_age_estimator(self) -> Look:
        estimator = self.age_estimator
        return prepare(estimator) if isinstance(estimator, nn.Module) else estimator

    def _look(self, network: Look, images: UInt8Array) -> NDArray[np.float32]:
        (seen,) = self._look_at_all(lambda batch: (network(batch),), images)
        return seen

    def _look_at_all(
        self, network: Callable[[Tensor], Sequence[Tensor]], images: UInt8Array
    ) -> list[NDArray[np.float32]]:
        """Each of a network's outputs, for all images."""
        parts = []
        for rows, count in self._batches(np.atleast_1d(images)):
            seen = network(to_tensor(rows, self.device))
            parts.append([each[:count].float().cpu().numpy() for each in seen])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _batches(self, rows: NDArray[Any]) -> Iterator[tuple[NDArray[Any], int]]:
        """Batches of exactly `batch_size` rows, and how many of them count."""
        if not rows.size:
            raise LatentEditError("nothing to do: no face was given")
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            missing = self.batch_size - len(batch)
            yield np.concatenate((batch, np.repeat(batch[-1:], missing, axis=0))), len(batch)


def _checked_batch_size(size: int) -> int:
    if size < 1:
        raise LatentEditError(f"batch size {size} cannot be: give 1 or more")
    return size


def _as_network(generator: object) -> nn.Module:
    if isinstance(generator, Generator | StyleGAN2Generator):
        return generator
    return as_network(generator)


def generator_space(generator: AnyGenerator) -> str:
    """The latent space that a generator is called in, ``z`` or ``w``."""
    return getattr(generator.config, "space", "z")
