"""The host's CLIP text encoders for training and statistics: batches of prompts in, encodings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from ...perfusion_ops import Encoded
from ...perfusion_ops.text.covariance import TokenKind
from ...perfusion_ops.text.prompts import SLOT
from .clip import encoder_attribute, text_encoder, text_encoder_names, tokenizer, tokenizer_knowing
from .concept_words import ConceptToken, ConceptWord
from .frozen_layers import compute_in
from .gated_layers import keep_gates_alone
from .own_encoders import OwnEncoders
from .private_copies import checkpoint_gradients, loaded, private_copy, protect_from_in_place_sums
from .short_prompts import first_tokens
from .spans import place_of

PLACEHOLDER = "perfusionconceptplaceholder"


class HostTextEncoder(OwnEncoders):
    """Text encoders and vocabularies of one CLIP, for one superclass (perfusion_ops.TextEncoder)."""

    def __init__(self, clip, encoders: Mapping[str, nn.Module], superclass: str, device: torch.device) -> None:
        # SDXL's context is clip_l beside clip_g.
        in_order = {name: encoders[name] for name in sorted(encoders, key="lgh".index)}
        super().__init__(clip, in_order, superclass, device)

    def encode(self, templates: Sequence[str], embeddings: Mapping[str, Tensor] | None) -> Encoded:
        """See perfusion_ops.TextEncoder. Raises ValueError for a template longer than one chunk of 75 tokens."""
        return self._encoded(self._read(templates), embeddings)

    def superclass_encodings(self, templates: Sequence[str]) -> Tensor:
        """See perfusion_ops.TextEncoder: prompts are encoded to their end alone."""
        read = self._read(templates)
        with self._to_the_end(*next(iter(read.items()))):
            return self._encoded(read, None).concept_encodings()

    def _read(self, templates: Sequence[str]) -> dict[str, list[list]]:
        return {name: chunks_of(self.clip, name, self.superclass, templates) for name in self.encoders}

    def _encoded(self, read: Mapping[str, list[list]], embeddings: Mapping[str, Tensor] | None) -> Encoded:
        outputs = []
        for name, chunks in read.items():
            positions = [next(n for n, t in enumerate(chunk) if isinstance(t, ConceptToken)) for chunk in chunks]
            inserted = self.last_token(name) if embeddings is None else embeddings[name]
            for chunk, position in zip(chunks, positions, strict=True):
                chunk[position] = inserted
            outputs.append(self.encoders[name](chunks)[0])
        encodings = torch.cat(outputs, dim=-1)
        keep = torch.zeros(encodings.shape[:2], dtype=torch.bool, device=encodings.device)
        keep[:, 0] = True
        return Encoded(encodings, torch.tensor(positions), keep)

    def _to_the_end(self, name: str, chunks: list[list]) -> AbstractContextManager[None]:
        """Inside, no more is encoded than the longest of ``chunks``, which the text encoder ``name`` reads: the padding
        behind it changes nothing there."""
        end = tokenizer(self.clip, name).end_token
        return first_tokens(self.encoders.values(), 1 + max(place_of(end, chunk, 1) for chunk in chunks))

    @torch.no_grad()
    def pooled_superclass(self, templates: Sequence[str]) -> Tensor | None:
        """SDXL's pooled encoding of the superclass prompts (1, 1280), averaged over the templates."""
        if "g" not in self.encoders:
            return None
        last = self.last_token("g")
        chunks = chunks_of(self.clip, "g", self.superclass, templates)
        chunks = [[last if isinstance(token, ConceptToken) else token for token in chunk] for chunk in chunks]
        with self._to_the_end("g", chunks):
            return self.encoders["g"](chunks)[1].mean(0, keepdim=True).cpu()


def chunks_of(clip, name: str, superclass: str, templates: Sequence[str]) -> list[list]:
    """The tokens of every template for the text encoder ``name``, a ConceptToken where the word is to stand.

    Raises ValueError for a template longer than one chunk of 75 tokens.
    """
    reader = tokenizer_knowing(clip, name, [ConceptWord(PLACEHOLDER, superclass, {name: torch.empty(0)})])
    found = []
    for template in templates:
        chunks = reader.tokenize_with_weights(template.replace(SLOT, PLACEHOLDER))
        if len(chunks) != 1:
            raise ValueError(
                f"The template or caption {template[:60]!r}... is longer than 75 tokens; shorten it for training."
            )
        found.append([token for token, _weight in chunks[0]])
    return found


def private_encoders(clip, recompute: bool = False) -> tuple[dict[str, nn.Module], torch.device]:
    """A CLIP's text encoders, computing in float32, that gradients can pass through; and where they run.

    With ``recompute``, their layers are computed again in the backward pass and keep no activations.
    """
    patcher = loaded(clip.patcher)
    encoders = {}
    for name in text_encoder_names(clip):
        encoders[name] = private_copy(patcher, encoder_attribute(clip, name))
        compute_in(encoders[name], torch.float32)
        keep_gates_alone(encoders[name])
        protect_from_in_place_sums(encoders[name])
        if recompute:
            checkpoint_gradients(encoders[name])
    return encoders, patcher.load_device


def encode_captions(clip, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Encodings (P, 77, d) of short captions by the host's own text encoders, and the kinds of their tokens (P, 77)."""
    model = clip.cond_stage_model
    model.reset_clip_options()
    if clip.layer_idx is not None:
        model.set_clip_options({"layer": clip.layer_idx})
    model.set_clip_options({"execution_device": clip.patcher.load_device})
    outputs, kinds = [], None
    for name in sorted(text_encoder_names(clip), key="lgh".index):
        reader = tokenizer(clip, name)
        rows = [[token for token, _ in reader.tokenize_with_weights(text)[0]] for text in captions]
        outputs.append(text_encoder(clip, name)(rows)[0])
        if kinds is None:
            kinds = torch.tensor([_kinds(row, reader.end_token) for row in rows])
    return torch.cat(outputs, dim=-1), kinds


def _kinds(tokens: Sequence, end_token: int) -> list[int]:
    end = place_of(end_token, tokens, 1)
    words = [TokenKind.WORD] * (end - 1)
    return [TokenKind.START, *words, TokenKind.END, *[TokenKind.PADDING] * (len(tokens) - end - 1)]
