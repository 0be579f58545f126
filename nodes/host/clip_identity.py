"""Which text encoders a CLIP has, as a short name: with what merges made of them, whatever lies in memory just now."""

from __future__ import annotations

from uuid import UUID
from weakref import WeakKeyDictionary

from torch import nn

from .clip import encoder_attribute, text_encoder_names, text_encoders
from .fingerprints import fingerprint, is_of_identity
from .private_copies import acting_weights, with_own_patches

_identities: WeakKeyDictionary[nn.Module, dict[UUID | None, str]] = WeakKeyDictionary()
"""First text encoder of a CLIP -> the fingerprint of all of them, by what patches them; none for as they are."""


def identity_of(clip) -> str:
    """The fingerprint of a CLIP's text encoders, taken once as long as the host keeps them: half of Apply's time."""
    first = next(iter(text_encoders(clip).values()))
    merged = any(map(is_of_identity, clip.patcher.patches))
    patches = clip.patcher.patches_uuid if merged else None
    known = _identities.setdefault(first, {})
    if patches not in known:
        known[patches] = _found(clip)
    return known[patches]


def _found(clip) -> str:
    with_own_patches(clip.patcher)
    return fingerprint(
        (f"{name}.{key}", *weight)
        for name in sorted(text_encoder_names(clip))
        for key, *weight in acting_weights(clip.patcher, encoder_attribute(clip, name), is_of_identity)
    )
