"""Text encoders that read a prompt as a whole, and the network layers behind them, for training and statistics."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...perfusion_ops import Encoded
from ...perfusion_ops.text.covariance import TokenKind
from ...perfusion_ops.text.prompts import SLOT
from .clip import encoder_attribute, text_encoder_names, tokenizer_names, tokenizers_knowing, vocabulary
from .concept_words import CONCEPT_TOKENS, ConceptToken, ConceptWord
from .encoders import PLACEHOLDER
from .network_reader import NetworkReader
from .own_encoders import OwnEncoders
from .spans import specials_of

CLIP_NAMES = frozenset("ghl")
"""CLIP's own tokenizers, as prompts have them."""
PADDED = 512
"""Tokens that most networks pad a prompt to. All prompts of a training get a multiple, so that any fit one batch."""
Read = Callable[[Tensor, Mapping[str, Any]], Tensor]
"""(encodings (1, T, d), the conditioning's other entries) -> what K and V read (1, T', d')."""


@dataclass
class _Prompt:
    """A template's tokens: of each tokenizer its rows of (token, weight), a learned word's places empty."""

    rows: dict[str, list[list[tuple]]]
    places: list[int]
    """Where the superclass's tokens stand in what K and V read."""

    def filled(self, embeddings: Mapping[str, Tensor] | None) -> dict[str, list[list[tuple]]]:
        """With ``embeddings`` in the learned word's places, or the superclass's ids."""

        def fill(name: str, token):
            if not isinstance(token, ConceptToken):
                return int(token) if isinstance(token, int) else token
            return token.superclass_id if embeddings is None else embeddings[name]

        return {
            name: [[(fill(name, token), *weight) for token, *weight in row] for row in rows]
            for name, rows in self.rows.items()
        }


class WholePromptEncoder(OwnEncoders):
    """Text encoders and vocabularies of one CLIP, for one superclass (perfusion_ops.TextEncoder).

    Prompts go the host's own way, through private copies of its text encoders and then through ``read``.
    """

    spelled = "a {}"

    def __init__(
        self, clip, encoders: Mapping[str, nn.Module], superclass: str, device: torch.device, read: NetworkReader
    ) -> None:
        super().__init__(clip, encoders, superclass, device)
        self.read = read
        self.prompts: dict[str, _Prompt] = {}
        self.model = copy.copy(clip.cond_stage_model)
        own = {encoder_attribute(clip, name): encoder for name, encoder in encoders.items()}
        self.model._modules = {**self.model._modules, **own}

    def encode(self, templates: Sequence[str], embeddings: Mapping[str, Tensor] | None) -> Encoded:
        """See perfusion_ops.TextEncoder."""
        prompts = [self._prompt(template) for template in templates]
        read = [self._context(prompt.filled(embeddings)) for prompt in prompts]
        length = PADDED * -(-max(context.shape[1] for context, _ in read) // PADDED)
        encodings = torch.cat([nn.functional.pad(context, (0, 0, 0, length - context.shape[1])) for context, _ in read])
        keep = torch.cat([nn.functional.pad(kept, (0, length - kept.shape[1]), value=True) for _, kept in read])
        marks = torch.zeros(encodings.shape[:2])
        for row, prompt in enumerate(prompts):
            marks[row, prompt.places] = 1
        return Encoded(encodings, torch.tensor([prompt.places[-1] for prompt in prompts]), keep, marks)

    def superclass_encodings(self, templates: Sequence[str]) -> Tensor:
        """See perfusion_ops.TextEncoder."""
        return self.encode(templates, None).concept_encodings()

    def _context(self, tokens: dict[str, list[list[tuple]]]) -> tuple[Tensor, Tensor]:
        """What K and V read (1, T, d), and which of its tokens no edit may touch (1, T)."""
        encodings, _pooled, *others = self.model.encode_token_weights(tokens)
        context = self.read(encodings, others[0] if others else {})
        return context, self.read.kept(encodings.detach(), context.detach())

    def _prompt(self, template: str) -> _Prompt:
        if template not in self.prompts:
            marks = {name: torch.empty(0) for name in self.encoders}
            readers = tokenizers_knowing(self.clip, [ConceptWord(PLACEHOLDER, self.superclass, marks)])
            rows = readers.tokenize_with_weights(template.replace(SLOT, PLACEHOLDER))
            self.prompts[template] = _Prompt(rows, _places(rows[spelling_name(self.clip)], template))
        return self.prompts[template]

    def pooled_superclass(self, _templates: Sequence[str]) -> None:
        """None: these networks read no pooled encoding."""
        return None


def spelling_name(clip) -> str:
    """The tokenizer whose tokens K and V read one by one: of several, the one that the network itself reads."""
    encoders = text_encoder_names(clip)
    return next((name for name in tokenizer_names(clip) if name not in encoders), encoders[0])


def _places(rows: Sequence[Sequence[tuple]], template: str) -> list[int]:
    if len(rows) != 1:
        raise ValueError(f"The template or caption {template[:60]!r}... is too long for this text encoder; shorten it.")
    return [n for n, (token, *_) in enumerate(rows[0]) if isinstance(token, CONCEPT_TOKENS)]


def reads_whole(clip) -> bool:
    """Whether a CLIP has text encoders of another kind than CLIP's own, whose chunks are all of 77 tokens."""
    return not set(tokenizer_names(clip)) <= CLIP_NAMES


def encode_whole(clip, captions: Sequence[str], read: Read) -> Iterator[tuple[Tensor, Tensor]]:
    """What K and V read of each caption (1, T, d) by the host's own text encoders, and the kinds of its tokens (1, T).

    Tokens that the host pads with are of no kind (-1): they are zero, and never edited.
    """
    spelled = spelling_name(clip)
    _start, end = specials_of(vocabulary(clip, spelled))
    for caption in captions:
        tokens = clip.tokenize(caption)
        answer = clip.encode_from_tokens(tokens, return_dict=True)
        context = read(answer["cond"], answer)
        row = [token if isinstance(token, int) else -1 for token, *_ in tokens[spelled][0]]
        yield context, torch.tensor([_kinds(row, end, context.shape[1])])


def _kinds(tokens: Sequence[int], ends: Sequence[int], length: int) -> list[int]:
    words = tokens.index(ends[-1]) if ends and ends[-1] in tokens else len(tokens)
    found = [TokenKind.WORD] * words + [TokenKind.END] * (len(tokens) > words)
    return [*found, *[-1] * (length - len(found))]
