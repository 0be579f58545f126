"""Whether a CLIP, a VAE and prompts belong to a model: told in a sentence before the host fails over matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..families.family import Family, family_of
from ..families.unet import UNet, with_projections
from .device_memory import is_out_of_memory

Text = tuple[int, frozenset[str]]
"""Numbers that a CLIP gives for each token, and the names of all that it gives of a prompt."""
_texts: WeakKeyDictionary[nn.Module, Text] = WeakKeyDictionary()

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


def check_text(model, clip, superclass: str) -> None:
    """Raise ValueError for a CLIP whose encodings of a prompt are no text to the model. It encodes ``superclass``."""
    _check(family_of(model), model, _text_of(clip, superclass))


def check_text_once(model, clip) -> None:
    """The same for drawing: a CLIP encodes a prompt for it once as long as the host keeps its text encoder."""
    family, encoder = family_of(model), clip.cond_stage_model
    if encoder not in _texts:
        _texts[encoder] = _text_of(clip, "a photo")
    _check(family, model, _texts[encoder])


@torch.inference_mode()
def _text_of(clip, prompt: str) -> Text:
    encoded = clip.encode_from_tokens(clip.tokenize(prompt), return_dict=True)
    return encoded["cond"].shape[-1], frozenset(encoded)


def _check(family: Family, model, text: Text) -> None:
    (found, entries), expected = text, _text_width(family, model)
    advice = (
        f"Connect the CLIP of the same checkpoint. With Load CLIP, choose the text encoder of {family.title} and its "
        "type."
    )
    if expected not in (None, found):
        raise ValueError(
            f"This CLIP gives {found} numbers for each token, and this {family.title} model reads {expected}. {advice}"
        )
    if family.second is not None and family.second.entry not in entries:
        texts = " and ".join(family.second.tokenizers)
        raise ValueError(f"This CLIP gives one text, and {family.title} reads two ({texts}). {advice}")


def _text_width(family: Family, model) -> int | None:
    """The width of the encodings that a MODEL reads, as it will be loaded; none if other nodes replaced all layers."""
    if not isinstance(family, UNet):
        return family.text_width(model.model.diffusion_model)
    layers = with_projections(family.layers_of(model))
    return next((layer.to_k.in_features for layer in layers.values()), None)


@contextmanager
def naming_strange_prompts(model, conds: Mapping[str, list[dict]]) -> Iterator[None]:
    """Inside, a sampler that fails over a prompt of another model's CLIP fails with a sentence. Raises ValueError.

    ``conds`` are the sampler's conditionings. Packs that bring encodings of another width and a network that reads
    them are not disturbed.
    """
    try:
        yield
    except Exception as error:
        sentence = None if is_out_of_memory(error) else _strange_prompt(model, conds)
        if sentence is None:
            raise
        raise ValueError(sentence) from error


def _strange_prompt(model, conds: Mapping[str, list[dict]]) -> str | None:
    family = family_of(model)
    expected = _text_width(family, model)
    if expected is None:
        return None
    for name, group in conds.items():
        for cond in group:
            text = cond.get("cross_attn")
            if isinstance(text, Tensor) and text.shape[-1] != expected:
                return (
                    f"The {name} prompt has {text.shape[-1]} numbers for each token, and this {family.title} model "
                    f"reads {expected}: another model's CLIP encoded it. Encode it with the CLIP output of Apply "
                    "Key-Locked Attention, or with the CLIP of the same checkpoint."
                )
    return None
