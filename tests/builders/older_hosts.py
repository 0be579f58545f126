"""What older ComfyUIs cannot do: tests of it are skipped there, with the sentence that their user reads."""

from __future__ import annotations

import pytest


def skip_where_untrainable(pack, family) -> None:
    """For a ``family`` whose positions the host computes without a gradient."""
    if getattr(family, "rotary", False):
        try:
            pack.rotations.check_rotations(family.title)
        except ValueError as refusal:
            pytest.skip(str(refusal))
