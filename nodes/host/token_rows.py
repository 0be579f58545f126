"""Which rows of a prompt's encodings its tokens became: a picture among them becomes many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

_pictures: WeakKeyDictionary[nn.Module, dict[int, int]] = WeakKeyDictionary()
"""Text encoder -> of its last prompt's pictures the first row and how many rows."""


def remembering_pictures(encoder: nn.Module) -> list:
    """A hook on a text encoder's transformer, which tells what stands in the encodings; its handle, if there is one."""
    transformer = getattr(encoder, "transformer", None)
    if not isinstance(transformer, nn.Module):
        return []

    def remember(_module: nn.Module, _args: tuple, kwargs: dict[str, Any]) -> None:
        _pictures[encoder] = {info["index"]: info["size"] for info in kwargs.get("embeds_info") or ()}

    return [transformer.register_forward_pre_hook(remember, with_kwargs=True)]


def in_rows(encoder: nn.Module, tokens: Sequence[Any], flags: Sequence[bool], rows: int) -> list[bool]:
    """``flags`` of ``tokens`` as they stand in the first ``rows`` of the encodings that ``encoder`` just made.

    Raises ValueError where pictures among the tokens leave that open.
    """
    found: list[bool] = []
    for token, flag in zip(tokens, flags, strict=True):
        size = _pictures.get(encoder, {}).get(len(found), 0) if isinstance(token, dict) else 1
        found += [flag] * size
    if len(found) != rows and any(isinstance(token, dict) for token in tokens):
        raise ValueError(
            f"A prompt with pictures and a concept has {len(found)} places, and its encodings have {rows}: where the "
            "concept stands in them is not known. Leave the pictures out of the prompt, or the concept's word."
        )
    return found[:rows]
