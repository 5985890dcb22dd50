"""`FaceEditor`: the public face of everything. Every call takes z; there is no hidden state."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from latentedit import defaults, editing, hub, latents
from latentedit.adapters import (
    AdaptedGenerator,
    LatentGenerator,
    OnnxGenerator,
    ProtocolGenerator,
    as_network,
)
from latentedit.age import AgeEstimator, tight_view
from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries import Boundaries
from latentedit.classifier import AttributeClassifier
from latentedit.devices import autocast, pick_device, pick_precision, place
from latentedit.editing import EditRecipe, Hold
from latentedit.errors import LatentEditError
from latentedit.files import atomic_path, read_json
from latentedit.generator import Generator
from latentedit.hashing import weights_hash
from latentedit.images import UInt8Array, to_tensor, to_uint8
from latentedit.inference import prepare
from latentedit.pretrained import (
    bundle_names,
    find_bundle,
    find_judges,
    load_age_estimator,
    load_classifier,
    load_generator,
    save_generator,
    save_part,
)
from latentedit.stylegan2 import StyleGAN2Generator

AnyGenerator = Generator | StyleGAN2Generator | AdaptedGenerator | OnnxGenerator | ProtocolGenerator

PARTS = {"generator", "classifier", "age", "boundaries"}
"""What a bundle of a `FaceEditor` is made of."""

BOUNDARIES_FILE = "boundaries.safetensors"


class Look(Protocol):
    """Images [N, 3, H, W] in [-1, 1] -> [N, ...]."""

    def __call__(self, images: Tensor) -> Tensor: ...


class FaceEditor:
    """Samples, renders, scores and edits faces.

    Args:
        generator: z [N, D] -> images: one of this package, or any object with the protocol of
            `adapters.LatentGenerator`.
        classifier: images -> logits; needed by `score`.
        age_estimator: images -> years [N]; needed by `age`.
        boundaries: needed by `edit` and `distances`; must belong to `generator`.
        name: what recipes call the model.
        device: auto, cpu, cuda, mps.
        batch_size: faces that go through a network together, always exactly so many: the last
            batch is filled up. By default 1 on a CPU, where larger batches gain nothing, and 64
            elsewhere.
        precision: that the generator computes in, ``float32`` or ``bfloat16``, which is faster and
            changes a colour value by less than 0.5 in the mean.

    Raises:
        LatentEditError: the boundaries belong to another generator, no such device, or one that
            does not compute in this precision, or a generator without the protocol.
    """

    def __init__(
        self,
        generator: AnyGenerator | LatentGenerator,
        classifier: AttributeClassifier | None = None,
        age_estimator: AgeEstimator | Look | None = None,
        boundaries: Boundaries | None = None,
        *,
        name: str = "unnamed",
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = "float32",
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
        if boundaries is not None:
            check_boundaries(boundaries, self.generator_hash, self.space)
        self._classifier = place(classifier, self.device).eval() if classifier else None
        if isinstance(age_estimator, nn.Module):
            age_estimator = place(age_estimator, self.device).eval()
        self._age_estimator = age_estimator
        self._boundaries = boundaries
        self._outdated: Boundaries | None = None
        self._cards: dict[str, Mapping[str, Any]] = {}

    def with_batch_size(self, batch_size: int) -> FaceEditor:
        """The same model, sharing its networks, with another `batch_size`.

        Raises:
            LatentEditError: it is below 1.
        """
        other = copy(self)
        other.batch_size = _checked_batch_size(batch_size)
        return other

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        boundaries: str | Path | None = None,
        device: str = "auto",
        precision: str = "float32",
        space: Literal["z", "w"] | None = None,
    ) -> FaceEditor:
        """Load a bundle: the default, a shipped one by name, or a folder.

        Args:
            model: name or folder.
            boundaries: a file of further boundaries or directions of the same generator; where it
                has a name that the bundle has too, the file's is used.
            device: auto, cpu, cuda, mps.
            precision: see `FaceEditor`.
            space: of a StyleGAN2, the space to sample, edit and render in; boundaries of the other
                one stay out. By default that of the boundaries, or else the bundle's.

        Raises:
            LatentEditError: no such bundle, a part with a wrong checksum or shape, half a part,
                boundaries of another generator, or a space that the generator does not have. A
                bundle without boundaries is no error here; the calls that need them say how to make
                them. One without a classifier is judged by the default bundle's, see
                `pretrained.find_judges`.
        """
        folder = find_bundle(model)
        generator, _ = load_generator(folder)
        has = {path.stem for path in folder.iterdir() if path.suffix in (".safetensors", ".json")}
        known = Boundaries.load(folder / BOUNDARIES_FILE) if "boundaries" in has else None
        if boundaries is not None:
            more = Boundaries.load(boundaries)
            fits = known and known.generator_hash == more.generator_hash
            known = known.merged(more) if known and fits else more
        if known and space and known.space != space:
            known = None
        wanted = space or (known.space if known else None)
        if isinstance(generator, StyleGAN2Generator) and wanted:
            generator = generator.in_space(wanted)
        elif space not in (None, generator_space(generator)):
            raise LatentEditError(
                f"{folder} is used in space {generator_space(generator)} only: leave out the space"
            )
        judges = find_judges(folder)
        editor = cls(
            generator,
            load_classifier(judges["classifier"])[0] if "classifier" in judges else None,
            load_age_estimator(judges["age"])[0] if "age" in judges else None,
            name=folder.resolve().name,
            device=device,
            precision=precision,
        )
        homes = dict.fromkeys(has & PARTS, folder) | judges
        if known and boundaries is None and known.generator_hash != editor.generator_hash:
            editor._outdated = known  # the generator was bundled anew: what needs none goes on
        elif known:
            check_boundaries(known, editor.generator_hash, editor.space)
            editor._boundaries = known
        editor._cards = {part: read_json(home / f"{part}.json") for part, home in homes.items()}
        return editor

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        **options: Any,
    ) -> FaceEditor:
        """Load a folder, a shipped bundle, or ``OWNER/NAME`` from the Hugging Face Hub.

        Args:
            pretrained_model_name_or_path: what is not here is fetched; `load` never fetches.
            revision: branch, tag or commit on the Hub.
            cache_dir: the Hub's cache.
            token: to log in with; by default the one of ``hf auth login``.
            local_files_only: take it from the cache only.
            force_download: fetch it even if the cache has it.
            options: see `load`.

        Raises:
            LatentEditError: see `hub.download` and `load`.
        """
        name = str(pretrained_model_name_or_path)
        if Path(name).is_dir() or name in bundle_names():
            return cls.load(name, **options)
        folder = hub.download(
            name,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        editor = cls.load(folder, **options)
        editor.name = name.rpartition("/")[2]  # the cache's folder is called like the commit
        return editor

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        **options: Any,
    ) -> str | None:
        """Write this model as a bundle, with the README.md that the Hub shows.

        Args:
            save_directory: made if it is missing; a bundle in it is replaced.
            repo_id: ``OWNER/NAME`` on the Hub; by default the folder's name.
            push_to_hub: push it there too.
            options: see `push_to_hub`.

        Returns:
            The commit's address if it was pushed.

        Raises:
            LatentEditError: a generator or an age estimator that no bundle can hold, a folder that
                cannot be written, or see `push_to_hub`.
        """
        folder = Path(save_directory)
        network = self._age_estimator
        if network is not None and not isinstance(network, AgeEstimator):
            raise LatentEditError("a bundle cannot hold an age estimator of your own: leave it out")
        cards = {part: _kept(self._cards.get(part, {})) for part in PARTS}
        save_generator(folder, self._generator, cards["generator"])
        if self._classifier is not None:
            classifier = self._classifier
            save_part(folder, "classifier", classifier, classifier.config, cards["classifier"])
        if network is not None:
            save_part(folder, "age", network, network.config, cards["age"])
        if self._boundaries is not None:
            self._boundaries.save(folder / BOUNDARIES_FILE, cards["boundaries"])
        name = repo_id or folder.resolve().name
        with atomic_path(folder / "README.md") as readme:
            readme.write_text(hub.model_card(folder, name), encoding="utf-8")
        return hub.upload(folder, name, **options) if push_to_hub else None

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Push this model to the Hugging Face Hub as a bundle.

        Args:
            repo_id: ``OWNER/NAME``; made if it is missing.
            options: private, token, branch, create_pr, commit_message; see `hub.upload`.

        Returns:
            The commit's address.

        Raises:
            LatentEditError: see `save_pretrained` and `hub.upload`.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, repo_id=repo_id)
            return hub.upload(folder, repo_id, **options)

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

    @property
    def boundaries(self) -> Boundaries:
        """The boundaries.

        Raises:
            LatentEditError: this model has none, or another generator's.
        """
        if self._outdated is not None:
            check_boundaries(self._outdated, self.generator_hash, self._outdated.space)
        if self._boundaries is None:
            raise LatentEditError(
                f"model {self.name} has no boundaries: make them with 'latentedit pool build' "
                "and 'latentedit boundaries fit'"
            )
        return self._boundaries

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
    def logits_and_features(
        self, images: UInt8Array
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what `score` comes from: logits [N, 40] and the classifier's features [N, F].

        Args:
            images: uint8 [N, H, W, 3] faces.

        Raises:
            LatentEditError: the model has no classifier, or images of another shape or dtype.
        """
        network = cast(AttributeClassifier, self._fast_classifier)

        def both(images: Tensor) -> Tensor:
            features = network.pooled(images)
            return torch.cat((network.head(features), features), dim=1)

        seen = self._look(both, images)
        return seen[:, : len(self.attributes)], seen[:, len(self.attributes) :]

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

    def distances(self, z: ArrayLike) -> NDArray[np.float64]:
        """Return signed distances of latents [N, D] to all boundaries, float64 [N, K]."""
        return self.boundaries.distances(latents.check_latents(z, self.latent_dim))

    def edit(
        self,
        z: ArrayLike,
        steps: Mapping[str, float | Sequence[float]] | None = None,
        hold: Hold = defaults.HOLD,
        *,
        to: Mapping[str, float] | None = None,
    ) -> NDArray[np.float32]:
        """Move latents along attributes while holding others; see `editing.displacement`.

        Args:
            z: float [N, D].
            steps: signed displacement in latent units by attribute, one number or one a face.
            hold: "auto" | "all" | "none" | names | {name: discount in [0, 1]}.
            to: the signed distance from the boundary to reach, by attribute.

        Returns:
            float32 [N, D].

        Raises:
            LatentEditError: unknown attributes, values out of range, or holds that leave nothing.
        """
        return self.apply(self.recipe(steps or {}, hold, to=to), z)

    def apply(self, recipe: EditRecipe, z: ArrayLike) -> NDArray[np.float32]:
        """Make a recipe's edit of latents [N, D] -> float32 [N, D].

        Raises:
            LatentEditError: a recipe for another model, or see `edit`.
        """
        z = latents.check_latents(z, self.latent_dim)
        return (z + editing.displacement(self.boundaries, z, recipe)).astype(np.float32)

    def recipe(
        self,
        steps: Mapping[str, float | Sequence[float]],
        hold: Hold = defaults.HOLD,
        *,
        to: Mapping[str, float] | None = None,
        seeds: Sequence[int] | None = None,
        frames: int = defaults.FRAMES,
    ) -> EditRecipe:
        """Describe an edit so that it can be made again; see `editing.make_recipe`."""
        return editing.make_recipe(
            self.boundaries, steps, hold, to=to, seeds=seeds, frames=frames, model=self.name
        )

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
        outputs = []
        with autocast(self.device, enabled=self.device.type == "cuda"):
            for rows, count in self._batches(np.atleast_1d(images)):
                seen = network(to_tensor(rows, self.device))[:count]
                outputs.append(seen.float().cpu().numpy())
        return np.concatenate(outputs)

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


def _kept(card: Mapping[str, Any]) -> dict[str, Any]:
    """A loaded card's entries that stay true of the part when it is written again."""
    written_anew = {"kind", "sha256", "config", "weights_hash", "network"}
    written_anew |= {"generator_hash", "space", "attributes"}  # of boundaries
    return {key: value for key, value in card.items() if key not in written_anew}


def _as_network(generator: object) -> nn.Module:
    if isinstance(generator, Generator | StyleGAN2Generator):
        return generator
    return as_network(generator)


def generator_space(generator: AnyGenerator) -> str:
    """The latent space that a generator is called in, ``z`` or ``w``."""
    return getattr(generator.config, "space", "z")


def check_boundaries(boundaries: Boundaries, generator_hash: str, space: str = "z") -> None:
    """Refuse boundaries that were found in another generator's latent space.

    Raises:
        LatentEditError: the hashes or the spaces differ.
    """
    if boundaries.space != space:
        raise LatentEditError(
            f"these boundaries belong to space {boundaries.space}, the model is used in {space}: "
            f"load it with space={boundaries.space!r}, or convert it with --space "
            f"{boundaries.space}"
        )
    if boundaries.generator_hash != generator_hash:
        raise LatentEditError(
            f"these boundaries belong to generator {boundaries.generator_hash}, this one is "
            f"{generator_hash}: fit boundaries for it with 'latentedit boundaries fit'"
        )
