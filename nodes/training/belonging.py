"""Whether a CLIP and a VAE belong to the model that is trained: told before the minutes that it takes to find out."""

from __future__ import annotations

import torch

from ..families.family import family_of

KINDS = {2: "pictures", 3: "films"}
"""Dimensions of latents beside batch and channels, and what they are of."""


def check_first_stage(model, vae) -> None:
    """Raise ValueError for a VAE that makes latents of another shape than the model reads."""
    latent = model.model.latent_format
    expected = latent.latent_channels, latent.latent_dimensions
    found = tuple(
        getattr(vae, name, size) for name, size in zip(("latent_channels", "latent_dim"), expected, strict=True)
    )
    if found != expected:
        raise ValueError(
            f"This VAE makes {_latents(*found)}, and this {family_of(model).title} model reads {_latents(*expected)}. "
            "Connect the VAE of the same checkpoint."
        )


def _latents(channels: int, dimensions: int) -> str:
    return f"latents of {channels} channels for {KINDS.get(dimensions, 'sound')}"


@torch.inference_mode()
def check_text(model, clip, superclass: str) -> None:
    """Raise ValueError for a CLIP whose encodings of a prompt are no text to the model. It encodes ``superclass``."""
    family = family_of(model)
    encoded = clip.encode_from_tokens(clip.tokenize(superclass), return_dict=True)
    expected, found = family.text_width(model.model.diffusion_model), encoded["cond"].shape[-1]
    advice = (
        f"Connect the CLIP of the same checkpoint. With Load CLIP, choose the text encoder of {family.title} and its "
        "type."
    )
    if found != expected:
        raise ValueError(
            f"This CLIP gives {found} numbers for each token, and this {family.title} model reads {expected}. {advice}"
        )
    if family.second is not None and family.second.entry not in encoded:
        texts = " and ".join(family.second.tokenizers)
        raise ValueError(f"This CLIP gives one text, and {family.title} reads two ({texts}). {advice}")
