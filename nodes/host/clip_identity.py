"""Which text encoders a CLIP has, as a short name: with what merges made of them, whatever lies in memory just now.

A copy of an encoder in a coarser dtype has another name, and must not be taken for another encoder: where rounding may
be the reason, nothing is said.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ...perfusion_ops import Concept
from .clip import encoder_attribute, text_encoder_names, text_encoders
from .fingerprints import fingerprint, is_of_identity
from .private_copies import acting_weights, with_own_patches

_identities: WeakKeyDictionary[nn.Module, dict[UUID | None, str]] = WeakKeyDictionary()
"""First text encoder of a CLIP -> the fingerprint of all of them, by what patches them; none for as they are."""

ENTRY, PRECISION = "encoder", "encoder_precision"
"""Their names among a concept's metadata; the second is written only for a coarse copy."""
COARSE = {"float8_e4m3": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2, "bfloat16": torch.bfloat16}
"""Dtypes of copies, the coarser first, by the names that files have for them."""
BORN_IN_BFLOAT16 = ("gemma", "llama", "mistral", "qwen")
"""How the names of encoders begin whose makers gave bfloat16: all copies in it have the same numbers."""


def identity_of(clip) -> str:
    """The fingerprint of a CLIP's text encoders, taken once as long as the host keeps them: half of Apply's time."""
    first = next(iter(text_encoders(clip).values()))
    merged = any(map(is_of_identity, clip.patcher.patches))
    patches = clip.patcher.patches_uuid if merged else None
    known = _identities.setdefault(first, {})
    if patches not in known:
        known[patches] = _found(clip)
    return known[patches]


def metadata_of(clip) -> dict[str, str]:
    """What a concept file says of the text encoders that it was trained with."""
    precision = _precision(clip)
    return {ENTRY: identity_of(clip), **({PRECISION: precision} if precision else {})}


def is_another(clip, concept: Concept) -> bool:
    """Whether a CLIP's text encoders are others than the concept's, where no rounding can be the reason.

    Concepts without a fingerprint are taken as they come.
    """
    trained, trained_in = (concept.metadata.get(name) for name in (ENTRY, PRECISION))
    if trained is None or trained == identity_of(clip) or trained in (_found(clip, each) for each in COARSE.values()):
        return False
    comparable = {None}
    if all(name.startswith(BORN_IN_BFLOAT16) for name in text_encoder_names(clip)):
        comparable.add("bfloat16")
    return {trained_in, _precision(clip)} <= comparable


def _precision(clip) -> str | None:
    """The dtype of ``COARSE`` in which a CLIP's weights stay as they are, whatever dtype they lie in; none in fp16."""
    return next((name for name, dtype in COARSE.items() if _found(clip, dtype) == identity_of(clip)), None)


def _found(clip, *rounded: Any) -> str:
    """The fingerprint, or that of a copy ``rounded`` to a dtype."""
    with_own_patches(clip.patcher)
    return fingerprint(
        (f"{name}.{key}", *weight, *rounded)
        for name in sorted(text_encoder_names(clip))
        for key, *weight in acting_weights(clip.patcher, encoder_attribute(clip, name), is_of_identity)
    )
