"""Tokens that another node puts into the text inside a network, as USO's style reference does.

The host lets patches change what its blocks begin with. Ours are called before the first of them and after the last.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

POST_INPUT = "post_input"
"""The host's name of the patches of what the blocks begin with."""


class AddedTokens:
    """How many tokens stand before the prompt's own and behind them, in the text of the call that runs."""

    def __init__(self) -> None:
        self.before = self.behind = 0
        self.prompt: Tensor | None = None

    def options(self, transformer_options: dict[str, Any]) -> dict[str, Any]:
        """``transformer_options`` for the next call, in which the patches are watched."""
        self.before = self.behind = 0
        patches = transformer_options.get("patches", {})
        if not patches.get(POST_INPUT):
            return transformer_options
        watched = [self._see, *patches[POST_INPUT], self._compare]
        return {**transformer_options, "patches": {**patches, POST_INPUT: watched}}

    def _see(self, given: dict[str, Any]) -> dict[str, Any]:
        self.prompt = given.get("txt")
        return given

    def _compare(self, given: dict[str, Any]) -> dict[str, Any]:
        prompt, text, self.prompt = self.prompt, given.get("txt"), None
        if prompt is not None and text.shape[1] > prompt.shape[1]:
            places = _places_of(prompt, text)
            # In another text the prompt is not known: the layers that read it refuse the call.
            if len(places) == 1:
                self.before = places[0]
                self.behind = text.shape[1] - prompt.shape[1] - self.before
        return given


def _places_of(part: Tensor, whole: Tensor) -> list[int]:
    """Where ``part`` (B, T, d) begins in ``whole`` (B, T', d), to the bit."""
    length = part.shape[1]
    begins = (whole[:, : whole.shape[1] - length + 1] == part[:, :1]).all(-1).all(0)
    return [at for at in begins.nonzero().flatten().tolist() if torch.equal(whole[:, at : at + length], part)]
