"""Say what a checkpoint holds if no generator in it can be read: one sentence for each kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_EXPORT = "export it to ONNX and convert that, or wrap it with adapt (docs/bring-your-own-gan.md)"

OTHERS: tuple[tuple[str, str], ...] = (
    (
        r"(^|\.)(synthesis\.input\.(affine|freqs|phases|transform)|synthesis\.L\d+_\d+_\d+\.)",
        f"holds a StyleGAN3, whose layers are not read: {_EXPORT}",
    ),
    (
        r"(^|\.)(g_synthesis\.|g_mapping\.|progression\.\d+\.|synthesis\.layer\d+\.epilogue\."
        r"|synthesis\.blocks\.4x4\.|mapping\.dense0\.linear\.|synthesis\.lod$)",
        f"holds a StyleGAN1, which is not read (StyleGAN2 is): {_EXPORT}",
    ),
    (
        r"(^|\.)(stylegan_decoder\.|condition_scale\.|condition_shift\.)",
        "holds GFPGAN, which restores a photo and draws no face from a latent: give a StyleGAN2",
    ),
    (
        r"(^|\.)(model\.diffusion_model|time_embed|time_embedding|down_blocks\.\d+\.attentions"
        r"|cond_stage_model|first_stage_model)\b",
        "holds a diffusion model, which has no latent space of faces: give a GAN",
    ),
    (
        r"(^|\.)(superresolution\.block|backbone\.synthesis\.|renderer\.)",
        "holds EG3D or another 3D GAN, which needs a camera besides the latent: fix the camera, "
        f"and {_EXPORT}",
    ),
    (
        r"(^|\.)mapper\.(course|coarse|medium|fine)_mapping\.",
        "holds StyleCLIP's mapper, which moves latents and draws nothing: give the generator",
    ),
    (
        r"(^|\.)(synthesis_net|mapping_net|student)\.",
        "holds a checkpoint of MobileStyleGAN's training: give its OpenVINO files (.xml and .bin)",
    ),
    (
        r"(^|\.)(quantize\.embedding|quant_conv\.|post_quant_conv\.)",
        "holds a VQGAN or a restorer made of one, which has no latent space of faces: give a GAN",
    ),
    (
        r"(^|\.)(encoder\.(input_layer|body|styles)|styles\.\d+\.convs)\.",
        "holds an encoder (pSp, e4e) without its decoder: give the generator",
    ),
    (
        r"(^|\.)body\.\d+\.res_layer\.|(^|\.)input_layer\.0\.weight",
        "holds a network that recognises faces: give the generator",
    ),
    (
        r"(^|\.)(final_linear\.|final_conv\.|from_?rgb|fRGB|fromRGBLayers|decisionLayer"
        r"|b4\.mbstd|b4\.out\.weight|minibatch_std)",
        "holds a discriminator, which judges pictures and draws none: give the generator (G_ema, "
        "g_ema)",
    ),
    (
        r"(^|\.)(blocks\.\d+\.\d+\.bn\d\.(gain|embed)|shared\.weight_orig|ccbn)",
        f"holds a BigGAN, whose faces depend on a class: fix the class, and {_EXPORT}",
    ),
    (
        r"(^|\.)(features\.\d+\.weight|classifier\.\d+\.weight|layer\d\.\d+\.conv\d\.weight|fc\.weight)",
        "holds a network that looks at pictures (VGG, ResNet): give the generator",
    ),
    (
        r"lora_|(^|\.)(transformer\.h\.|bert\.|lm_head\.|text_model\.|visual\.transformer)",
        "holds a network for text: give the generator",
    ),
    (
        r"(^|\.)eigvec$",
        "holds SeFa's directions, no network: give it to 'boundaries import --component N'",
    ),
    (
        r"(^|\.)main\.\d+\.weight$",
        f"holds a DCGAN or the like, whose layers only its own code knows: {_EXPORT}",
    ),
)
"""A pattern for the keys of each kind, and what to say; the first pattern that fits is used."""

_FEW = 8
_NAMED = 4
_LONGEST = 20_000


def name_others(tensors: Mapping[str, Any], value: Any) -> str:
    """Say what a file holds if no generator was found in it.

    Args:
        tensors: all tensors in the file by dotted keys.
        value: what was saved, see `objects.resolve`.
    """
    keys = list(tensors)[:_LONGEST]
    if not isinstance(value, Mapping) and not hasattr(value, "state_dict"):
        return f"holds no state dictionary but a {_type_of(value)}{_latents(tensors)}"
    for pattern, words in OTHERS:
        if any(re.search(pattern, key) for key in keys):
            return words
    if not keys:
        held = (
            ", ".join(" ".join(str(key).split())[:80] for key in list(value)[:_NAMED])
            if isinstance(value, Mapping)
            else ""
        )
        return f"holds no tensors ({held or 'nothing'}): give the file with the weights"
    if all(key.split(".")[-1].isdigit() for key in keys):
        return "holds tensors by number (a list?) and no state dictionary: give the weights"
    if _latents(tensors) and len(keys) <= _FEW:
        return f"holds no network{_latents(tensors)}"
    if any(re.search(r"(^|\.)(exp_avg|exp_avg_sq|momentum_buffer)$", key) for key in keys) and all(
        "exp_avg" in key or "step" in key or "momentum" in key for key in keys
    ):
        return "holds an optimiser's state and no network: give the weights"
    first = ", ".join(" ".join(key.split())[:80] for key in keys[:_NAMED])
    return f"holds no generator of a format that can be read (its first keys: {first}): {_EXPORT}"


def _type_of(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of shape {list(shape)}" if shape else type(value).__name__


def _latents(tensors: Mapping[str, Any]) -> str:
    """Say what to do with latents or directions; empty unless all tensors look like them."""
    shapes = [tuple(each.shape) for each in tensors.values()]
    if shapes and all(1 <= len(shape) <= 3 and shape[-1:] == (512,) for shape in shapes):
        return ": latents are for 'edit --latents', directions for 'boundaries import'"
    return ""
