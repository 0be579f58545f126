"""The tokens of a prompt as the host's tokenizers made them, with names that a reader knows from what was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...perfusion_ops.edit.gate_table import PromptToken
from ...perfusion_ops.text.covariance import TokenKind
from .concept_words import CONCEPT_TOKENS, ConceptToken, known_words, superclass_tokens, without_words

BROKEN = "\ufffd"
"""What a tokenizer gives for some bytes of a letter without the others."""
LONGEST_LETTER = 4
"""Bytes of a letter in UTF-8, hence tokens that one letter can take."""


def prompt_tokens(clip, tokenized: dict[str, Any], length: int) -> tuple[PromptToken, ...]:
    """The tokens behind ``length`` encodings of a prompt, from what ``clip.tokenize`` returned.

    Where no tokenizer gives as many, as with a pack that makes encodings of its own, tokens have numbers alone.
    """
    for name, chunks in tokenized.items():
        tokenizer = getattr(clip.tokenizer, f"clip_{name}", None)
        if tokenizer is None or sum(map(len, chunks)) < length:
            continue
        tokens = [token for n, chunk in enumerate(chunks) for token in _chunk_tokens(tokenizer, chunk, n)]
        return tuple(tokens[:length])
    return tuple(PromptToken(f"#{n}", TokenKind.WORD) for n in range(length))


def _chunk_tokens(tokenizer, chunk: Sequence[tuple], number: int) -> list[PromptToken]:
    ids = [pair[0] for pair in chunk]
    kinds = _kinds(ids, tokenizer)
    words = _concept_words(ids, tokenizer)
    labels = _labels(ids, kinds, words, without_words(tokenizer.tokenizer))
    return [
        PromptToken(label, kind, word, float(pair[1]), number)
        for label, kind, word, pair in zip(labels, kinds, words, chunk, strict=True)
    ]


def _kinds(ids: Sequence, tokenizer) -> list[TokenKind]:
    end = next((n for n, token in enumerate(ids) if n and _is(token, tokenizer.end_token)), len(ids))
    kinds = [TokenKind.WORD] * end + [TokenKind.END] + [TokenKind.PADDING] * len(ids)
    if ids and _is(ids[0], tokenizer.start_token):
        kinds[0] = TokenKind.START
    return kinds[: len(ids)]


def _is(token: Any, special: int | None) -> bool:
    return not isinstance(token, Tensor) and token == special


def _concept_words(ids: Sequence, tokenizer) -> list[str]:
    """Of each token the concept word that it stands for; a superclass of m tokens is m tokens of the word."""
    lengths = {
        word.word: len(superclass_tokens(without_words(tokenizer.tokenizer), word.superclass))
        for word in known_words(tokenizer.tokenizer)
    }
    words = [""] * len(ids)
    for n, token in enumerate(ids):
        if isinstance(token, CONCEPT_TOKENS):
            word = token.naming.word
            first = n - lengths.get(word, 1) + 1 if isinstance(token, ConceptToken) else n
            words[max(0, first) : n + 1] = [word] * (n + 1 - max(0, first))
    return words


def _labels(ids: Sequence, kinds: Sequence[TokenKind], words: Sequence[str], vocabulary) -> list[str]:
    special = {TokenKind.START: "<start>", TokenKind.END: "<end>", TokenKind.PADDING: "<padding>"}
    labels = [special.get(kind, "") for kind in kinds]
    for n, token in enumerate(ids):
        if labels[n]:
            continue
        if isinstance(token, ConceptToken):
            labels[n] = token.naming.word
        elif isinstance(token, Tensor):
            labels[n] = "<embedding>"
        else:
            for place, label in enumerate(_read(ids, n, kinds, vocabulary), n):
                labels[place] = label
        if words[n] and not isinstance(token, ConceptToken):
            labels[n] = f"{words[n]}:{labels[n]}"
    return labels


def _read(ids: Sequence, first: int, kinds: Sequence[TokenKind], vocabulary) -> list[str]:
    """The text of a token; of a letter in several tokens, the letter at the first and numbers at the others."""
    run: list[int] = []
    for token, kind in zip(ids[first : first + LONGEST_LETTER], kinds[first : first + LONGEST_LETTER], strict=True):
        if isinstance(token, Tensor) or kind is not TokenKind.WORD:
            break
        run.append(int(token))
        text = vocabulary.decode(run).strip()
        if text and BROKEN not in text:
            return [text, *(f"#{n}" for n in range(first + 1, first + len(run)))]
    return [f"#{first}"]
