"""Where the pack is, and the name under which the tests import it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACK = "perfusion_pack"
"""Never ``nodes`` or the folder's own name: the host has a ``nodes`` of its own."""
