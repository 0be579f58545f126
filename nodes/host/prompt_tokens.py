"""The tokens of a prompt as the host's tokenizers made them, with names that a reader knows from what was written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product, takewhile
from typing import Any

from ...perfusion_ops.edit.gate_table import PromptToken
from ...perfusion_ops.text.covariance import TokenKind
from .clip import text_encoder, tokenizer, tokenizer_names, vocabulary
from .concept_words import CONCEPT_TOKENS, ConceptToken
from .vocabularies import known_words, superclass_tokens, without_words
from .whole_prompts import CLIP_NAMES, spelling_name

BROKEN = "\ufffd"
"""What a tokenizer gives for some bytes of a letter without the others."""
SPACE = "\u2581"
"""How vocabularies of the sentencepiece kind write a space."""
LONGEST_LETTER = 4
"""Bytes of a letter in UTF-8, hence tokens that one letter can take."""


def prompt_tokens(clip, tokenized: dict[str, Any], length: int) -> tuple[PromptToken, ...]:
    """The tokens behind ``length`` encodings of a prompt, from what ``clip.tokenize`` returned.

    Text encoders that read a prompt inside a template leave the template's first tokens out of the encodings, some its
    last ones too; networks pad with zeros behind the prompt. Where no tokenizer is known, as with a pack of its own
    kind, tokens have numbers.
    """
    counts = {name: sum(map(len, tokenized[name])) for name in tokenizer_names(clip) if name in tokenized}
    names = _one_behind_the_other(clip, counts, length)
    if not set(names) <= set(counts):
        return tuple(PromptToken(f"#{n}", TokenKind.WORD) for n in range(length))
    chunks = enumerate((name, chunk) for name in names for chunk in tokenized[name])
    tokens = [token for n, (name, chunk) in chunks for token in _chunk_tokens(tokenizer(clip, name), chunk, n)]
    padding = [PromptToken("<padding>", TokenKind.PADDING)] * (length - len(tokens))
    end = len(tokens) - (_template_behind(clip, names[-1], tokenized) if len(tokens) > length else 0)
    return (*tokens[max(0, end - length) : end], *padding)


def _template_behind(clip, name: str, tokenized: dict[str, Any]) -> int:
    """How many tokens of the template stand behind a prompt: as many as the CLIP says that it leaves out."""
    suffix = getattr(clip.tokenizer, "SUFFIX", None)
    if suffix is None:
        return 0
    first = vocabulary(clip, name)(suffix)["input_ids"][0]
    behind = [token for token, *_ in tokenized[name][-1]][::-1]
    return behind.index(first) + 1 if first in behind else 0


def _one_behind_the_other(clip, counts: dict[str, int], length: int) -> tuple[str, ...]:
    """The tokenizers whose tokens stand in ``length`` encodings: one, or CLIP's before those of another kind."""
    clips = [name for name in counts if name in CLIP_NAMES and text_encoder(clip, name) is not None]
    others = [name for name in counts if name not in CLIP_NAMES]
    enough = [name for name in (*clips, *others) if counts[name] >= length]
    if enough:
        return (min(enough, key=counts.get),)
    pairs = [pair for pair in product(clips, others) if sum(counts[name] for name in pair) == length]
    return pairs[0] if pairs else (spelling_name(clip),)


def _chunk_tokens(reader, chunk: Sequence[tuple], number: int) -> list[PromptToken]:
    ids = [pair[0] for pair in chunk]
    kinds = _kinds(ids, reader)
    words = _concept_words(ids, reader.tokenizer)
    labels = _labels(ids, kinds, words, reader)
    return [
        PromptToken(label, kind, word, float(pair[1]), number)
        for label, kind, word, pair in zip(labels, kinds, words, chunk, strict=True)
    ]


def _kinds(ids: Sequence, reader) -> list[TokenKind]:
    """What each token is. Behind an end token all is padding; readers without one pad with a token of their own."""
    end = next((n for n, token in enumerate(ids) if n and _is(token, reader.end_token)), len(ids))
    kinds = [TokenKind.WORD] * end + [TokenKind.END] + [TokenKind.PADDING] * len(ids)
    if ids and _is(ids[0], reader.start_token):
        kinds[0] = TokenKind.START
    if end == len(ids):
        padding = takewhile(lambda token: _is(token, getattr(reader, "pad_token", None)), reversed(ids))
        for n, _ in enumerate(padding, start=1):
            kinds[len(ids) - n] = TokenKind.PADDING
    return kinds[: len(ids)]


def _is(token: Any, special: int | None) -> bool:
    return isinstance(token, int) and special is not None and token == special


def _concept_words(ids: Sequence, vocabulary) -> list[str]:
    """Of each token the concept word that it stands for; a superclass of m tokens is m tokens of the word."""
    lengths = {
        word.word: len(superclass_tokens(without_words(vocabulary), word.superclass))
        for word in known_words(vocabulary)
    }
    words = [""] * len(ids)
    for n, token in enumerate(ids):
        if isinstance(token, CONCEPT_TOKENS):
            word = token.naming.word
            first = n - lengths.get(word, 1) + 1 if isinstance(token, ConceptToken) else n
            words[max(0, first) : n + 1] = [word] * (n + 1 - max(0, first))
    return words


def _labels(ids: Sequence, kinds: Sequence[TokenKind], words: Sequence[str], reader) -> list[str]:
    special = {TokenKind.START: "<start>", TokenKind.END: "<end>", TokenKind.PADDING: "<padding>"}
    labels = [special.get(kind, "") for kind in kinds]
    for n, token in enumerate(ids):
        if labels[n]:
            continue
        if isinstance(token, ConceptToken):
            labels[n] = token.naming.word
        elif not isinstance(token, int):
            labels[n] = "<embedding>"
        else:
            for place, label in enumerate(_read(ids, n, kinds, reader), n):
                labels[place] = label
    named = zip(labels, words, strict=True)
    return [label if word in ("", label) else f"{word}:{label}" for label, word in named]


def _read(ids: Sequence, first: int, kinds: Sequence[TokenKind], reader) -> list[str]:
    """The text of a token; of a letter in several tokens, the letter at the first and numbers at the others."""
    run: list[int] = []
    for token, kind in zip(ids[first : first + LONGEST_LETTER], kinds[first : first + LONGEST_LETTER], strict=True):
        if not isinstance(token, int) or kind is not TokenKind.WORD:
            break
        run.append(int(token))
        text = _text(run, reader)
        if text and BROKEN not in text:
            return [text, *(f"#{n}" for n in range(first + 1, first + len(run)))]
    return [f"#{first}"]


def _text(ids: list[int], reader) -> str:
    vocabulary = without_words(reader.tokenizer)
    if hasattr(vocabulary, "decode"):
        return vocabulary.decode(ids).strip()
    return "".join(reader.inv_vocab.get(token, BROKEN) for token in ids).replace(SPACE, " ").strip()
