"""Edited latents, for `latentedit edit --latents` and other programs."""

from __future__ import annotations

from latentedit.editing.outputs.base import Asked, Edited, Output
from latentedit.errors import LatentEditError
from latentedit.generators.latents import LATENT_ENDINGS, save_latents


def check(asked: Asked) -> None:
    """Refuse options that say how pictures are drawn."""
    for name, given in (("--frames", asked.frames is not None), ("--face-only", asked.alone)):
        if given:
            raise LatentEditError(f"{name} is for pictures and films: {asked.path} holds latents")


def save(edited: Edited, asked: Asked) -> list[str]:
    """Write the latents; a .safetensors keeps the recipe, too."""
    save_latents(asked.path, edited.latents(), {**edited.origin, "recipe": edited.recipe})
    return [".npy keeps no recipe; a .safetensors does"] if asked.ending == ".npy" else []


LATENTS = Output("latents", LATENT_ENDINGS, check, save)
