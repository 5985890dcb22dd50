"""`FaceEditor`: the main class to use. Every call takes latents; there is no hidden state.

It consists of a renderer, judges, boundaries and, where it was loaded, a bundle.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.classifiers.age import AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing import recipes
from latentedit.editing.displacement import displacement
from latentedit.editing.holds import Hold
from latentedit.editing.layers import check_layers, mean_over_layers
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.saving import save_model
from latentedit.errors import LatentEditError
from latentedit.generators.adapters import LatentGenerator
from latentedit.generators.base import FaceGenerator, check_latents
from latentedit.generators.latents import check_length
from latentedit.inference.judges import JUDGED_EDGE, Judge, Judges
from latentedit.inference.renderer import Renderer
from latentedit.io.images import UInt8Array
from latentedit.pretrained import hub
from latentedit.pretrained.bundles import bundle_names
from latentedit.pretrained.model import Bundle


class FaceEditor:
    """Samples, renders, scores and edits faces.

    Args:
        generator: latents [N, D] -> images: one of this package, or any object with the protocol
            of `adapters.LatentGenerator`.
        classifier: images -> logits; needed by `score`.
        age_estimator: images -> years [N]; needed by `age`.
        boundaries: needed by `edit` and `distances`; must belong to `generator`.
        name: what recipes call the model.
        device: auto, cpu, cuda, mps.
        batch_size: faces that go through a network together, always exactly so many: the last
            batch is filled up. By default 1 on a CPU, where a single picture is as fast as one of
            a batch, and 64 elsewhere.
        precision: number format that the generator computes in: ``float32``, or ``bfloat16``, which
            is faster and changes colour values by less than 0.5 on average.
        bundle: the bundle that the parts are from. Its boundaries are checked only when they are
            used: if they belong to an older generator, everything that needs none still works.

    Attributes:
        name: see above.
        renderer: samples and draws.
        judges: look at pictures.
        bundle: see above, or None.
        own_psi: the truncation of the bundle's generator, or of the given one.

    Raises:
        LatentEditError: the boundaries belong to another generator, no such device, or one that
            does not compute in this precision, or a generator without the protocol.
    """

    def __init__(
        self,
        generator: FaceGenerator | LatentGenerator,
        classifier: AttributeClassifier | None = None,
        age_estimator: AgeEstimator | Judge | None = None,
        boundaries: Boundaries | None = None,
        *,
        name: str = "unnamed",
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = defaults.PRECISION,
        bundle: Bundle | None = None,
    ) -> None:
        self.name = name
        self.bundle = bundle
        self.renderer = Renderer(
            generator, device=device, batch_size=batch_size, precision=precision
        )
        self.judges = Judges(
            classifier,
            age_estimator,
            frame=self.renderer.generator.frame,
            name=name,
            device=device,
            batch_size=batch_size,
        )
        self.own_psi = self.renderer.generator.truncation
        self._reshaped = False
        self._boundaries = self._saved_boundaries = boundaries
        if boundaries is not None and bundle is None:
            check_boundaries(boundaries, self.generator_hash, self.space)

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        boundaries: str | Path | None = None,
        device: str = "auto",
        precision: str = defaults.PRECISION,
        space: str | None = None,
        psi: float | None = None,
    ) -> Self:
        """Load a bundle: the default, a shipped one by name, or a folder.

        Args:
            model: name or folder.
            boundaries: a file of further boundaries or directions of the same generator; where it
                has a name that the bundle has too, the file's is used.
            device: auto, cpu, cuda, mps.
            precision: see `FaceEditor`.
            space: for a generator with several, the space to sample, edit and render in; boundaries
                of another space are left out. By default that of the boundaries, or else the
                bundle's.
            psi: truncation of samples, from 0, the mean face, to 1, the most varied faces; by
                default the generator's own.

        Raises:
            LatentEditError: no such bundle, a part with a wrong checksum or shape, a part without
                its card or its weights, boundaries of another generator, a space that the generator
                does not have, or a psi that it cannot be truncated by. A bundle without boundaries
                is no error here; the calls that need them say how to make them. A bundle without a
                classifier uses that of the embedded bundle, see `pretrained.bundles.find_judges`.
        """
        bundle = Bundle.find(model)
        return cls.from_bundle(
            bundle,
            boundaries=boundaries,
            device=device,
            precision=precision,
            space=space,
            psi=psi,
        )

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle,
        *,
        boundaries: str | Path | None = None,
        device: str = "auto",
        precision: str = defaults.PRECISION,
        space: str | None = None,
        psi: float | None = None,
    ) -> Self:
        """Load the parts of a bundle; see `load`."""
        generator = bundle.generator()
        own_psi = generator.truncation
        known = _known_boundaries(bundle, boundaries, space)
        if space is not None:
            generator = generator.in_space(space)
        elif known and known.space in {each.name for each in generator.spaces}:
            generator = generator.in_space(known.space)
        if psi is not None:
            generator = generator.truncated(psi)
        editor = cls(
            generator,
            bundle.classifier(),
            bundle.age_estimator(),
            known,
            name=bundle.name,
            device=device,
            precision=precision,
            bundle=bundle,
        )
        editor.own_psi = own_psi
        editor._reshaped = psi is not None and generator.truncation != psi
        if boundaries is not None and known is not None:
            check_boundaries(known, editor.generator_hash, editor.space)
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
    ) -> Self:
        """Load a folder, a shipped bundle, or ``OWNER/NAME`` from the Hugging Face Hub.

        Args:
            pretrained_model_name_or_path: fetched if it is not on this computer; `load` never does.
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
        bundle = Bundle.find(folder)  # the cache's folder has the name of the commit
        return cls.from_bundle(replace(bundle, name=name.rpartition("/")[2]), **options)

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
            save_directory: made if it is missing; a bundle in it is replaced. A README.md that
                you wrote stays.
            repo_id: ``OWNER/NAME`` on the Hub; by default the folder's name.
            push_to_hub: push it there too.
            options: see `push_to_hub`.

        Returns:
            The commit's address if it was pushed.

        Raises:
            LatentEditError: a generator or an age estimator that no bundle can hold, a folder that
                cannot be written, options without `push_to_hub`, or see `push_to_hub`.
        """
        if options and not push_to_hub:
            raise LatentEditError(
                f"{', '.join(options)}: only for models that are pushed; give push_to_hub=True too"
            )
        folder = Path(save_directory)
        name = repo_id or folder.resolve().name
        judges = self.judges
        save_model(
            folder,
            name,
            self.bundle,
            self.generator,
            judges.classifier if judges.scores else None,
            judges.age_estimator if judges.estimates_age else None,
            self._saved_boundaries if self.has_boundaries else None,
        )
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

    def with_batch_size(self, batch_size: int) -> Self:
        """The same model, sharing its networks, with another `batch_size`.

        Raises:
            LatentEditError: it is below 1.
        """
        other = copy(self)
        other.renderer = self.renderer.with_batch_size(batch_size)
        other.judges = self.judges.with_batch_size(batch_size)
        return other

    def with_precision(self, precision: str) -> Self:
        """The same model, sharing its networks, drawn in another precision.

        Raises:
            LatentEditError: the device does not compute in it.
        """
        other = copy(self)
        other.renderer = self.renderer.with_precision(precision)
        return other

    def with_boundaries(self, boundaries: Boundaries) -> Self:
        """The same model, sharing its networks, with other boundaries of its generator.

        Raises:
            LatentEditError: they belong to another generator or space.
        """
        check_boundaries(boundaries, self.generator_hash, self.space)
        other = copy(self)
        other._boundaries = other._saved_boundaries = boundaries
        return other

    def with_ranges(self, change: Callable[[Boundaries], Boundaries]) -> Self:
        """The same model, sharing its networks, with other safe ranges.

        `save_pretrained` writes the ranges from before.

        Args:
            change: gives boundaries other safe ranges. It gets those that are saved, so ranges are
                never changed twice.
        """
        other = copy(self)
        if self.has_boundaries:
            assert self._saved_boundaries is not None
            other._boundaries = change(self._saved_boundaries)
        return other

    # ---- latents and pictures

    @property
    def generator(self) -> FaceGenerator:
        """The generator, in eval mode."""
        return self.renderer.generator

    @property
    def psi(self) -> float | None:
        """The truncation that this editor samples with, or None if it is the model's own."""
        psi = self.generator.truncation
        return None if psi == self.own_psi else psi

    @property
    def generator_hash(self) -> str:
        """Hash of the generator's weights."""
        return self.renderer.hash

    @property
    def space(self) -> str:
        """Name of the latent space, ``z`` or ``w``."""
        return self.renderer.space.name

    @property
    def latent_dim(self) -> int:
        """D, the length of a latent."""
        return self.renderer.space.dim

    @property
    def layers(self) -> int:
        """L, how many layers take a latent each; 1 where all share one."""
        return self.renderer.space.layers

    @property
    def resolution(self) -> int:
        """Edge of the rendered pictures in pixels."""
        return self.renderer.resolution

    @property
    def judged_size(self) -> int:
        """Edge of the smallest pictures in which the judges see as much as in whole ones."""
        return self.generator.source_of(min(JUDGED_EDGE, self.resolution))

    @property
    def device(self) -> torch.device:
        """Where networks run."""
        return self.renderer.device

    @property
    def batch_size(self) -> int:
        """Faces that go through a network together."""
        return self.renderer.batch_size

    @property
    def precision(self) -> torch.dtype:
        """Number format that the generator computes in."""
        return self.renderer.precision

    @property
    def precision_name(self) -> str:
        """``float32`` or ``bfloat16``."""
        return str(self.precision).removeprefix("torch.")

    def sample(self, seeds: Iterable[int]) -> NDArray[np.float32]:
        """Return one latent a seed, float32 [N, D], in the generator's space.

        Raises:
            LatentEditError: a seed out of range.
        """
        return self.renderer.sample(seeds)

    def render(self, z: ArrayLike, size: int | None = None, *, quick: bool = False) -> UInt8Array:
        """Render latents [N, D], or [N, L, D] -> uint8 [N, H, W, 3], RGB; see `Renderer.render`.

        Args:
            z: latents.
            size: edge of the pictures, up to `resolution`, which is the default.
            quick: use bfloat16 where it is faster on the device, whatever the `precision`.

        Raises:
            LatentEditError: latents of another shape or space, not finite, or no such size.
        """
        renderer = self.renderer.quick if quick else self.renderer
        return renderer.render(z, size)

    # ---- what is seen in pictures

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the columns of `score`."""
        return self.judges.attributes

    @property
    def classifier(self) -> AttributeClassifier:
        """The classifier, in eval mode; see `Judges.classifier`."""
        return self.judges.classifier

    @property
    def classifier_hash(self) -> str:
        """Hash of the classifier's weights; see `Judges.classifier`."""
        return self.judges.classifier_hash

    @property
    def estimates_age(self) -> bool:
        """Whether `age` can be called."""
        return self.judges.estimates_age

    @property
    def age_estimator(self) -> AgeEstimator | Judge:
        """The age estimator; see `Judges.age_estimator`."""
        return self.judges.age_estimator

    @property
    def age_hash(self) -> str | None:
        """Hash of the age estimator's weights; see `Judges.age_hash`."""
        return self.judges.age_hash

    def score(self, images: UInt8Array) -> NDArray[np.float32]:
        """Return attribute probabilities of rendered faces, float32 [N, 40].

        Args:
            images: uint8 [N, H, W, 3] of any size. For pictures that are in the shared frame
                already, use ``judges.with_frame(SHARED_FRAME)``.

        Raises:
            LatentEditError: the model has no classifier, or images of another shape or dtype.
        """
        return self.judges.score(images)

    def logits_features_and_maps(
        self, images: UInt8Array
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return what `score` comes from; see `Judges.logits_features_and_maps`."""
        return self.judges.logits_features_and_maps(images)

    def age(self, images: UInt8Array, *, tight: bool = False) -> NDArray[np.float32]:
        """Return estimated years of uint8 [N, H, W, 3] faces, float32 [N]; see `Judges.age`."""
        return self.judges.age(images, tight=tight)

    # ---- edits

    @property
    def has_boundaries(self) -> bool:
        """Whether there are boundaries, and they belong to the generator."""
        known = self._boundaries
        return known is not None and known.generator_hash == self.generator_hash

    @property
    def boundaries(self) -> Boundaries:
        """The boundaries.

        Raises:
            LatentEditError: this model has none, or another generator's.
        """
        if self._boundaries is None:
            raise LatentEditError(
                f"model {self.name} has no boundaries: make them with 'latentedit pool build' "
                "and 'latentedit boundaries fit'"
            )
        if self._reshaped and self._boundaries.generator_hash != self.generator_hash:
            raise LatentEditError(
                f"another psi makes model {self.name} another generator, because it has no space "
                "W, and its boundaries do not hold there: leave psi out"
            )
        check_boundaries(self._boundaries, self.generator_hash, self.space)
        return self._boundaries

    def as_edited(self, directions: Boundaries) -> Boundaries:
        """Return plain directions in the coordinates in which edits move along them.

        There a step is one standard deviation of the model's latents.
        """
        return directions.rebased(self.boundaries.whitening) if self.has_boundaries else directions

    def lay_out(self, z: ArrayLike, layers: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Check latents, and return them in the form in which they are edited.

        Args:
            z: float [N, D], or [N, L, D] with a latent for each layer.
            layers: those that an edit names.

        Returns:
            float32, shaped as z; [N, D] become [N, L, D] where layers are named.

        Raises:
            LatentEditError: latents of another shape or space, latents of z that are far from its
                sphere, or layers that the generator does not have.
        """
        z = check_latents(self.renderer.space, z)
        if self.generator.scales_latents:
            check_length(z)
        check_layers(layers, self.layers)
        if layers is not None and z.ndim == 2:
            z = np.repeat(z[:, None], self.layers, axis=1)
        return z

    def distances(
        self, z: ArrayLike, *, layers: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Return signed distances of latents to all boundaries, float64 [N, K].

        Args:
            z: float [N, D], or [N, L, D], whose distance is the mean over layers.
            layers: those to look at; all by default.
        """
        z = self.lay_out(z, layers)
        return self.boundaries.distances(mean_over_layers(z, layers))

    def edit(
        self,
        z: ArrayLike,
        steps: Mapping[str, float | Sequence[float]] | None = None,
        hold: Hold = defaults.HOLD,
        *,
        to: Mapping[str, float] | None = None,
        layers: Sequence[int] | None = None,
    ) -> NDArray[np.float32]:
        """Move latents along attributes while holding others; see `displacement.displacement`.

        Args:
            z: float [N, D], or [N, L, D].
            steps: signed displacement by attribute, in standard deviations of the latents, one
                number or one a face. Attributes have CelebA's names or the page's words: ``Young``,
                ``older``, ``hat``.
            hold: "auto" | "all" | "none" | names | {name: discount in [0, 1]}; "auto" or "all" may
                stand among names: ("auto", "Male").
            to: the signed distance from the boundary to reach, by attribute.
            layers: numbers of the layers that move, from 0; all by default.

        Returns:
            float32, shaped as z; [N, L, D] where layers are named.

        Raises:
            LatentEditError: unknown attributes, values out of range, layers that the generator does
                not have, or holds that leave nothing of an edit.
        """
        return self.apply(self.recipe(steps or {}, hold, to=to, layers=layers), z)

    def apply(self, recipe: EditRecipe, z: ArrayLike) -> NDArray[np.float32]:
        """Edit latents as a recipe says, and return them as float32; see `edit`.

        Raises:
            LatentEditError: a recipe for another model, or see `edit`.
        """
        z = self.lay_out(z, recipe.layers)
        return (z + displacement(self.boundaries, z, recipe)).astype(np.float32)

    def recipe(
        self,
        steps: Mapping[str, float | Sequence[float]],
        hold: Hold = defaults.HOLD,
        *,
        to: Mapping[str, float] | None = None,
        seeds: Sequence[int] | None = None,
        frames: int = defaults.FRAMES,
        layers: Sequence[int] | None = None,
        psi: float | None = None,
    ) -> EditRecipe:
        """Describe an edit so that it can be made again; see `recipes.make_recipe`.

        The recipe of seeds has this editor's psi where none is given.
        """
        check_layers(layers, self.layers)
        psi = self.psi if psi is None and seeds is not None else psi
        return recipes.make_recipe(
            self.boundaries,
            steps,
            hold,
            to=to,
            seeds=seeds,
            frames=frames,
            model=self.name,
            layers=layers,
            psi=psi,
        )


def _known_boundaries(
    bundle: Bundle, more: str | Path | None, space: str | None
) -> Boundaries | None:
    """Return a bundle's boundaries with those of a further file; None if of another space."""
    own = bundle.boundaries_file
    known = Boundaries.load(own) if own else None
    if known and space and known.space != space:
        known = None
    if more is None:
        return known
    further = Boundaries.load(more)
    if space and further.space != space:
        return known
    fits = known and known.generator_hash == further.generator_hash
    return known.merged(further) if known and fits else further


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
