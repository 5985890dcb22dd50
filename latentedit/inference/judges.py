"""Running the judges, classifier and age estimator: pictures -> what is seen in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.age import AgeEstimator, tight_view
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generators.base import SHARED_FRAME, Frame
from latentedit.inference.batches import in_batches, pick_batch_size
from latentedit.inference.devices import pick_device, place
from latentedit.inference.prepare import prepare
from latentedit.io.images import UInt8Array, to_tensor, to_uint8
from latentedit.pretrained.hashing import weights_hash
from latentedit.pretrained.model import Bundle

JUDGED_EDGE = 128
"""Edge of pictures that are large enough for all judges: twice that of the classifier's input."""


_LEAST_PROBABILITY = 1e-6
"""Nearer to 0 or 1 than this, the log odds of a probability mean nothing."""


def log_odds(probabilities: NDArray[np.floating[Any]]) -> NDArray[Any]:
    """Probabilities [...] -> log(p / (1 - p)) of the same dtype, at most 13.8 away from 0."""
    limited = np.clip(probabilities, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.asarray(np.log(limited / (1 - limited)))


class Judge(Protocol):
    """Images float [N, 3, H, W] in [-1, 1] -> [N, ...]."""

    def __call__(self, images: Tensor) -> Tensor: ...


class Judges:
    """Networks that look at the shared frame in pictures of any size.

    Args:
        classifier: images -> logits; needed by `score`.
        age_estimator: images -> years [N]; needed by `age`.
        frame: where the shared frame lies in the pictures.
        name: what messages call the model.
        device: auto, cpu, cuda, mps.
        batch_size: pictures that go through a network together, always exactly so many.

    Attributes:
        frame, name, batch_size: see above.
        device: where they run.
    """

    def __init__(
        self,
        classifier: AttributeClassifier | None = None,
        age_estimator: AgeEstimator | Judge | None = None,
        *,
        frame: Frame = SHARED_FRAME,
        name: str = "unnamed",
        device: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        self.frame = frame
        self.name = name
        self.device = pick_device(device)
        self.batch_size = pick_batch_size(batch_size, self.device)
        self._classifier = place(classifier, self.device).eval() if classifier else None
        if isinstance(age_estimator, nn.Module):
            age_estimator = place(age_estimator, self.device).eval()
        self._age_estimator = age_estimator

    @classmethod
    def load(cls, model: str | Path | None = None, *, device: str = "auto") -> Self:
        """Load the judges of a bundle without its generator, for faces in the shared frame.

        Args:
            model: a bundle's name or folder; by default the default model.
            device: auto, cpu, cuda, mps.

        Raises:
            LatentEditError: no such bundle, damaged weights, or no such device.
        """
        bundle = Bundle.find(model)
        judges = bundle.classifier(), bundle.age_estimator()
        return cls(*judges, name=bundle.name, device=device)

    def with_batch_size(self, batch_size: int) -> Self:
        """These judges, sharing their networks, with another `batch_size`."""
        other = copy(self)
        other.batch_size = pick_batch_size(batch_size, self.device)
        return other

    def with_frame(self, frame: Frame) -> Self:
        """These judges for pictures in which the shared frame lies elsewhere.

        `base.SHARED_FRAME` is for photographs and training pictures that are cut to it already.
        """
        other = copy(self)
        other.frame = frame
        return other

    def cut(self, images: UInt8Array) -> UInt8Array:
        """Cut the shared frame out of pictures uint8 [N, H, W, 3], for judges of other packages."""
        return to_uint8(self.frame.cut(to_tensor(images)))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the columns of `score`."""
        return self._classifier.config.attributes if self._classifier else ATTRIBUTES

    @property
    def scores(self) -> bool:
        """Whether `score` can be called."""
        return self._classifier is not None

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
    def age_estimator(self) -> AgeEstimator | Judge:
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
        """Hash of the age estimator's weights, or None without an age estimator.

        An estimator that is no torch module gives the name of its type instead.
        """
        if self._age_estimator is None:
            return None
        if isinstance(self._age_estimator, nn.Module):
            return weights_hash(self._age_estimator)
        return type(self._age_estimator).__qualname__

    @torch.inference_mode()
    def score(self, images: UInt8Array) -> NDArray[np.float32]:
        """Return attribute probabilities of uint8 [N, H, W, 3] faces, float32 [N, 40].

        A single picture [H, W, 3] is one face.

        Raises:
            LatentEditError: the model has no classifier, or images of another shape or dtype.
        """
        network = self._fast_classifier
        (seen,) = self._look(lambda batch: [torch.sigmoid(network(batch).float())], images)
        return seen

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

        logits, features, maps = self._look(everything, images)
        return logits, features, maps

    @torch.inference_mode()
    def age(self, images: UInt8Array, *, tight: bool = False) -> NDArray[np.float32]:
        """Return estimated years of uint8 [N, H, W, 3] faces, float32 [N].

        Args:
            images: faces. Of their shared frame, the shipped estimator looks only at the face.
            tight: the faces are cut as tightly as UTKFace's chips already, so no frame is cut.

        Raises:
            LatentEditError: the model has no age estimator.
        """
        network = self._fast_age_estimator
        frame = SHARED_FRAME if tight else self.frame
        closer = isinstance(self._age_estimator, AgeEstimator) and not tight
        (years,) = self._look(
            lambda batch: [network(tight_view(batch) if closer else batch)], images, frame
        )
        return years

    @cached_property
    def _fast_classifier(self) -> nn.Module:
        return prepare(self.classifier)

    @cached_property
    def _fast_age_estimator(self) -> Judge:
        estimator = self.age_estimator
        return prepare(estimator) if isinstance(estimator, nn.Module) else estimator

    def _look(
        self,
        network: Callable[[Tensor], Sequence[Tensor]],
        images: UInt8Array,
        frame: Frame | None = None,
    ) -> list[NDArray[np.float32]]:
        """Each of a network's outputs, for all images."""
        frame = frame or self.frame
        images = np.asarray(images)
        images = images[None] if images.ndim == 3 else images  # one picture alone
        parts = []
        for rows, count in in_batches(np.atleast_1d(images), self.batch_size):
            seen = network(frame.cut(to_tensor(rows, self.device)))
            parts.append([each[:count].float().cpu().numpy() for each in seen])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]
