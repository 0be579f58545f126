"""What older ComfyUIs cannot do: tests of it are skipped there, in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .server import host_version

TRIED = (0, 33, 0)
"""The oldest ComfyUI, beside 0.13.0, that the tests were tried on."""


def skip_where_untrainable(pack, family) -> None:
    """For a ``family`` whose positions the host computes without a gradient: its user reads the same sentence."""
    if getattr(family, "rotary", False):
        try:
            pack.rotations.check_rotations(family.title)
        except ValueError as refusal:
            pytest.skip(str(refusal))


def skip_without(what: str) -> None:
    """On a ComfyUI that is older than those that are known to have it."""
    found = host_version(Path(os.environ["COMFYUI_PATH"]))
    if found < TRIED:
        pytest.skip(f"ComfyUI {'.'.join(map(str, found))} has no {what}")
