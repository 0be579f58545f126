"""Concepts that prompts of other nodes name, which layers read beside the model's own prompts or in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..families.family import Family
from ..families.unet import is_of_another_pack
from .conditioning import namings
from .encoded_prompt import EncodedPrompt
from .naming import Naming, not_applied

TEXT_PATCH, REPLACED = "attn2_patch", "attn2"
"""The host's names for the patches by which nodes have layers read other prompts, and for their own attention."""
INSIDE = "diffusion_model."
"""How the host names what a node has put in place of a part of the network."""


def edits_texts_beside(family: Family, net: nn.Module) -> bool:
    """Whether such prompts are edited: where the host asks patches before K and V, which read the encodings as such."""
    return not family.joint and family.as_patch is not None and family.reading_layers(net) is None


def is_patched_inside(patcher) -> bool:
    """Whether nodes have put something of their own in place of parts of a MODEL's network."""
    return any(name.startswith(INSIDE) for name in patcher.object_patches)


def may_be_read_beside(patcher, options: Mapping[str, Any], conds: Mapping[str, list[dict]]) -> bool:
    """Whether nodes may have layers read such prompts: by patches, in place of attention or parts of a MODEL, by hooks.

    ``options`` are the model's transformer options, ``conds`` the sampler's conditionings.
    """
    net = patcher.get_model_object("diffusion_model")
    patched = options.get("patches", {}).get(TEXT_PATCH) or options.get("patches_replace", {}).get(REPLACED)
    inside = is_patched_inside(patcher) or is_of_another_pack(net)
    return bool(patched) or inside or any(cond.get("hooks") is not None for group in conds.values() for cond in group)


def parts_of_nothing(context: Tensor, count: int) -> dict[str, Tensor]:
    """The parts of an edited context for prompts (B, T, d) that name none of ``count`` concepts."""
    gates = context.new_zeros(*context.shape[:2], count)
    return {"keys": context, "values": context, "gates": gates}


class TextsBeside:
    """What such prompts named in one sampling run, and what they left of the model's own. ``words`` are its concepts'.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.met: set[Naming] = set()
        self.gated: dict[torch.device, Tensor] = {}
        """Which of J concepts any token that was read had a gate for, bool (J,), so that no call has to wait for it."""
        self.unchanged = False
        """Whether layers read the model's own prompts as they are."""

    def read(self, gates: Tensor | None) -> None:
        """A layer reads texts with these ``gates`` (B, T, J); none: those that the model's own prompts have."""
        if gates is None:
            self.unchanged = True
            return
        seen = (gates != 0).flatten(0, -2).any(0)
        self.gated[gates.device] = seen | self.gated.get(gates.device, seen)

    @property
    def lost(self) -> set[str]:
        """The words of the concepts that no text held any more when layers read it."""
        if self.unchanged or not self.gated:
            return set()
        kept = torch.stack([seen.cpu() for seen in self.gated.values()]).any(0).tolist()
        return {word for word, held in zip(self.words, kept, strict=True) if not held}

    def meet(self, prompt: EncodedPrompt) -> None:
        """A layer reads ``prompt`` (B, T, d): remember what it names, and say which of that the model does not have."""
        if prompt.namings <= self.met:
            return
        new = namings({"beside": [{"cross_attn": prompt}]}) - self.met
        self.met |= new
        for naming in new:
            if naming.word not in self.words:
                naming.fails(not_applied(naming))

    @property
    def named(self) -> frozenset[str]:
        """The words of the model's concepts among them."""
        return frozenset(self.words) & {naming.word for naming in self.met}
