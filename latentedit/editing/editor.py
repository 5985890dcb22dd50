"""`FaceEditor`: the public face of everything. Every call takes z; there is no hidden state."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.classifiers.age import AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing import recipes
from latentedit.editing.recipes import EditRecipe, Hold
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.adapters import LatentGenerator
from latentedit.generators.stylegan2 import StyleGAN2Generator
from latentedit.inference.networks import AnyGenerator, FaceNetworks, Look, generator_space
from latentedit.io.files import atomic_path, read_json
from latentedit.pretrained import hub
from latentedit.pretrained.bundles import (
    bundle_names,
    find_bundle,
    find_judges,
    load_age_estimator,
    load_classifier,
    load_generator,
    save_generator,
    save_part,
)

PARTS = {"generator", "classifier", "age", "boundaries"}
"""What a bundle of a `FaceEditor` is made of."""

BOUNDARIES_FILE = "boundaries.safetensors"


class FaceEditor(FaceNetworks):
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
        precision: str = defaults.PRECISION,
    ) -> None:
        super().__init__(
            generator,
            classifier,
            age_estimator,
            name=name,
            device=device,
            batch_size=batch_size,
            precision=precision,
        )
        if boundaries is not None:
            check_boundaries(boundaries, self.generator_hash, self.space)
        self._boundaries = boundaries
        self._outdated: Boundaries | None = None
        self._cards: dict[str, Mapping[str, Any]] = {}

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        boundaries: str | Path | None = None,
        device: str = "auto",
        precision: str = defaults.PRECISION,
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
                `pretrained.bundles.find_judges`.
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
        """Move latents along attributes while holding others; see `recipes.displacement`.

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
        return (z + recipes.displacement(self.boundaries, z, recipe)).astype(np.float32)

    def recipe(
        self,
        steps: Mapping[str, float | Sequence[float]],
        hold: Hold = defaults.HOLD,
        *,
        to: Mapping[str, float] | None = None,
        seeds: Sequence[int] | None = None,
        frames: int = defaults.FRAMES,
    ) -> EditRecipe:
        """Describe an edit so that it can be made again; see `recipes.make_recipe`."""
        return recipes.make_recipe(
            self.boundaries, steps, hold, to=to, seeds=seeds, frames=frames, model=self.name
        )


def _kept(card: Mapping[str, Any]) -> dict[str, Any]:
    """A loaded card's entries that stay true of the part when it is written again."""
    written_anew = {"kind", "sha256", "config", "weights_hash", "network"}
    written_anew |= {"generator_hash", "space", "attributes"}  # of boundaries
    return {key: value for key, value in card.items() if key not in written_anew}


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
