"""The host's classes of checkpoints, by name: an older or a newer ComfyUI may not have all of them."""

from __future__ import annotations

import comfy.supported_models


def host_classes(*names: str) -> tuple[type, ...]:
    """Of the classes of that name, those that the host has."""
    return tuple(filter(None, (getattr(comfy.supported_models, name, None) for name in names)))
