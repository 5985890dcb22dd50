"""Linear boundaries in latent space: what they are, keeping them, saving them.

Neither torch nor scikit-learn is imported here; `latentedit.finder` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from latentedit.attributes import find_attribute
from latentedit.cards import load_card, save_with_card
from latentedit.errors import LatentEditError

Float64Array = NDArray[np.float64]

KIND = "boundaries"


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Boundaries of named attributes in one latent space of one generator.

    Attributes:
        names: K attribute names.
        normals: float64 [K, D], unit rows; towards "has the attribute".
        biases: float64 [K]; ``normals @ z + biases`` are signed distances.
        generator_hash: the generator's `weights_hash`; another one is refused.
        space: the latent space, ``z`` for this project's generators.
        figures: per attribute what was measured on held-out latents.
        auto: per attribute the holds ``{name: discount}`` that ``hold="auto"`` stands for.

    Raises:
        LatentEditError: parts that do not fit together, or normals of another length than 1.
    """

    names: tuple[str, ...]
    normals: Float64Array
    biases: Float64Array
    generator_hash: str
    space: str = "z"
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    auto: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.names)
        if (
            self.normals.ndim != 2
            or len(self.normals) != count
            or self.biases.shape != (count,)
            or len(set(self.names)) != count
        ):
            raise LatentEditError(
                f"boundaries do not fit together: {count} names, normals "
                f"{list(self.normals.shape)}, biases {list(self.biases.shape)}"
            )
        lengths = np.linalg.norm(self.normals, axis=1)
        if not np.allclose(lengths, 1, atol=1e-5) or not np.isfinite(self.biases).all():
            raise LatentEditError("boundaries are not unit normals and biases: fit them again")
        for name, holds in self.auto.items():
            if not {name, *holds} <= set(self.names) or not all(
                0 <= discount <= 1 for discount in holds.values()
            ):
                raise LatentEditError(f"auto holds of {name} are damaged: fit boundaries again")

    def index(self, name: str) -> int:
        """Row of an attribute, forgiving its spelling.

        Raises:
            LatentEditError: no boundary of that name.
        """
        return self.names.index(find_attribute(name, self.names))

    def distances(self, z: ArrayLike) -> Float64Array:
        """Signed distances of [N, D] latents to all boundaries, float64 [N, K]."""
        return np.asarray(z, dtype=np.float64) @ self.normals.T + self.biases

    def save(self, path: str | Path, card: Mapping[str, Any] | None = None) -> None:
        """Write ``NAME.safetensors`` and beside it the JSON card ``NAME.json``, both or neither.

        Args:
            path: ends in .safetensors.
            card: further entries of the card: data, commands, terms.

        Raises:
            LatentEditError: another ending, or the path cannot be written.
        """
        tensors = {
            "normals": np.ascontiguousarray(self.normals, dtype=np.float64),
            "biases": np.ascontiguousarray(self.biases, dtype=np.float64),
        }
        entries = {
            "generator_hash": self.generator_hash,
            "space": self.space,
            "attributes": list(self.names),
            **(card or {}),
            "auto_holds": {name: dict(holds) for name, holds in self.auto.items()},
            "figures": {name: dict(values) for name, values in self.figures.items()},
        }
        save_with_card(check_path(path), lambda file: save_file(tensors, file), KIND, entries)

    @classmethod
    def load(cls, path: str | Path) -> Boundaries:
        """Read what `save` wrote.

        Raises:
            LatentEditError: a file is missing, damaged or of another kind.
        """
        path = check_path(path)
        card = load_card(path, KIND)
        try:
            tensors = load_file(path)
            return cls(
                names=tuple(card["attributes"]),
                normals=tensors["normals"].astype(np.float64),
                biases=tensors["biases"].astype(np.float64),
                generator_hash=str(card["generator_hash"]),
                space=str(card["space"]),
                figures={name: dict(values) for name, values in card["figures"].items()},
                auto={name: dict(holds) for name, holds in card["auto_holds"].items()},
            )
        except (SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
            detail = error if isinstance(error, LatentEditError) else "parts are missing"
            raise LatentEditError(
                f"{path} holds no boundaries ({detail}): fit them again"
            ) from None


def check_path(path: str | Path) -> Path:
    """Return a path that boundaries can be kept under.

    Raises:
        LatentEditError: it does not end in .safetensors.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise LatentEditError(f"boundaries are kept in a .safetensors file, not {path}")
    return path
