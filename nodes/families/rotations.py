"""Rotary positions of pictures and words, by the host's own functions: whether training can go back through them."""

from __future__ import annotations

from comfy.ldm.flux import math

KERNELS = "comfy_kitchen"
"""The package whose kernels have no gradient. Newer hosts leave them aside while something is trained."""


def check_rotations(title: str) -> None:
    """Raise ValueError on a host that turns positions by kernels alone, as ComfyUI 0.13.0 does."""
    if (math.apply_rope.__module__ or "").partition(".")[0] == KERNELS:
        raise ValueError(
            f"This ComfyUI computes the positions of {title} by kernels without a gradient, so nothing can be trained "
            "through them. Update ComfyUI. Concepts that were trained elsewhere can be drawn here."
        )
