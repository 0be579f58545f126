"""What a text encoder encodes remembers which concepts it holds: forward hooks, which no other prompt notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...perfusion_ops.edit.marks import with_marks
from .concept_words import CONCEPT_TOKENS, ConceptToken, MarkedId
from .encoded_prompt import KEYS, MARKED, SUPERCLASS, EncodedPrompt
from .token_rows import in_rows, remembering_pictures


def marking_hooks(encoder: nn.Module) -> list:
    """Set the hooks on a text encoder; their handles."""
    return [encoder.register_forward_hook(mark_what_is_held, with_kwargs=True), *remembering_pictures(encoder)]


def mark_what_is_held(encoder: nn.Module, args: tuple, kwargs: dict, output: tuple):
    """A forward hook: a text encoder's encodings and pooled encoding of prompts with concepts remember them.

    The superclass prompt is encoded beside them; where it is the same, so are the encodings, to the bit.
    """
    prompts = args[0] if args else kwargs.get("tokens")
    held = _concept_tokens(prompts)
    if not held or isinstance(output[0], EncodedPrompt):
        return None
    others = {name: value for name, value in kwargs.items() if name != "tokens"}

    def encoded(replaced: Callable[[ConceptToken], bool]) -> tuple:
        rows = [[t.superclass_id if isinstance(t, ConceptToken) and replaced(t) else t for t in row] for row in prompts]
        return encoder.forward(rows, *args[1:], **others)

    beside, learned = {}, [token for token in held if isinstance(token, ConceptToken)]
    if learned:
        beside[SUPERCLASS] = encoded(lambda _token: True)
    if len({token.superclass_keys for token in learned}) > 1:
        beside[KEYS] = encoded(lambda token: token.superclass_keys)
    namings = {token.naming for token in held}
    for naming in namings:
        naming.was_encoded(encoder)

    def remembering(part: int):
        encodings = output[part]
        if not isinstance(encodings, Tensor):
            return encodings
        others = {name: outputs[part] for name, outputs in beside.items()}
        if part == 0:
            others |= _marked_copies(encoder, encodings, prompts)
        has_start = encodings.ndim == 3 and "start" in getattr(encoder, "special_tokens", ("start",))
        start = encodings[0, 0].clone() if has_start else None
        return EncodedPrompt.beside_others(encodings, namings, start, others) if others else encodings

    return (remembering(0), remembering(1), *output[2:])


def _marked_copies(encoder: nn.Module, encodings: Tensor, prompts: Sequence[Sequence]) -> dict[str, Tensor]:
    """For each concept with a position gate, the encodings (B, T, d) with marks at its tokens.

    Encodings of several layers at once are (B, layers, T, d).
    """
    copies = {}
    for word in dict.fromkeys(t.naming.word for row in prompts for t in row if isinstance(t, MarkedId)):
        flags = [[isinstance(t, MarkedId) and t.naming.word == word for t in row] for row in prompts]
        held = [in_rows(encoder, *row, encodings.shape[-2]) for row in zip(prompts, flags, strict=True)]
        marked = torch.tensor(held)
        copies[MARKED + word] = with_marks(encodings, marked if encodings.ndim == 3 else marked.unsqueeze(1))
    return copies


def _concept_tokens(prompts) -> list[ConceptToken | MarkedId]:
    if not isinstance(prompts, (list, tuple)):
        return []
    rows = [row for row in prompts if isinstance(row, (list, tuple))]
    return [token for row in rows for token in row if type(token) in CONCEPT_TOKENS]
