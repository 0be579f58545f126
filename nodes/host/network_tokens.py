"""Tokens that a network reads itself, beside what a text encoder made of its own: where concepts stand among them.

The host hands such tokens on as entries of the conditioning, ids and weights. Marks go beside the weights, as they go
beside encodings; whatever a workflow does to the weights is done to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import torch
from comfy.patcher_extension import PatcherInjection
from torch import Tensor, nn

from .concept_words import MarkedId
from .encoded_prompt import MARKED, EncodedPrompt

WEIGHTS = "{}_weights"
"""What the host calls the weights (T,) of a tokenizer's tokens among the entries of a conditioning."""
_wrapped: WeakKeyDictionary[nn.Module, object] = WeakKeyDictionary()
"""CLIP model -> its function of ours. One for all clones: it does nothing to prompts without marks."""


def marking(names: Sequence[str]) -> PatcherInjection:
    """What marks the tokens of the tokenizers ``names`` while a CLIP is in use."""

    def inject(patcher) -> None:
        model = patcher.model
        if model not in _wrapped:
            before = model.encode_token_weights
            _wrapped[model] = lambda tokens: with_marked_entries(before(tokens), tokens, names)
            model.encode_token_weights = _wrapped[model]

    def eject(patcher) -> None:
        if _wrapped.pop(patcher.model, None) is not None:
            del patcher.model.encode_token_weights

    return PatcherInjection(inject, eject)


def with_marked_entries(answer: tuple, tokens: Mapping[str, Sequence], names: Sequence[str]) -> tuple:
    """A CLIP model's answer, whose entries remember where the concepts of ``tokens`` stand."""
    entries = dict(answer[2]) if len(answer) > 2 else {}
    for name in names:
        held, weights = [token for token, *_ in tokens[name][0]], entries.get(WEIGHTS.format(name))
        namings = {token.naming for token in held if isinstance(token, MarkedId)}
        if weights is not None and namings:
            beside = {MARKED + naming.word: weights * (1 + _places(held, naming)) for naming in namings}
            entries[WEIGHTS.format(name)] = EncodedPrompt.beside_others(weights, namings, None, beside)
    return (*answer[:2], entries, *answer[3:]) if entries else answer


def _places(held: Sequence, naming) -> Tensor:
    return torch.tensor([float(isinstance(token, MarkedId) and token.naming.word == naming.word) for token in held])
