"""Which ComfyUI the pack needs. Imports nothing of it, so that an older one can be told in one sentence."""

from __future__ import annotations

import re

OLDEST = (0, 13, 0)
"""The oldest ComfyUI that the tests passed on (docs/method.md); ``requires-comfyui`` in pyproject.toml agrees."""


def require_supported_host() -> None:
    """Raise RuntimeError, in one sentence, in a ComfyUI that is too old."""
    try:
        from comfyui_version import __version__ as found
    except ImportError:
        return
    sentence = refusal(found)
    if sentence:
        raise RuntimeError(sentence)


def refusal(found: str) -> str | None:
    """The sentence for a ComfyUI of version ``found``; none for one that serves, or whose version does not read."""
    numbers = tuple(map(int, re.findall(r"\d+", found)[:3]))
    if len(numbers) < 3 or numbers >= OLDEST:
        return None
    needed = ".".join(map(str, OLDEST))
    return f"This is ComfyUI {found}, and Perfusion needs {needed} or newer: update ComfyUI and restart it."
