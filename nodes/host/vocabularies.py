"""How a prompt reads with concept words: the host's own tokenizers, which know some words more."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any

from ...perfusion_ops.text.words import FoundWord, find_words
from .concept_words import CONCEPT_TOKENS, ConceptWord
from .spans import spans_of, specials_of


class _ConceptVocabulary:
    """Mixed into the class of a host's tokenizer: texts without concept words get the host's own answer."""

    perfusion_words: tuple[ConceptWord, ...]
    perfusion_vocabulary: Any
    perfusion_encoder: str
    perfusion_tokens: dict[str, list]
    """Word -> its tokens in prompts that CLIP reads; others depend on the text around."""

    def __call__(self, text=None, *args, **kwargs):
        answer = self.perfusion_vocabulary(text, *args, **kwargs)
        if isinstance(text, str):
            found = find_words(text, self.perfusion_tokens)
            return type(answer)({"input_ids": self._read(text, found, **kwargs)}) if found else answer
        lines = text if isinstance(text, (list, tuple)) else ()
        if any(isinstance(line, str) and find_words(line, self.perfusion_tokens) for line in lines):
            return type(answer)({"input_ids": [self(line, *args, **kwargs)["input_ids"] for line in text]})
        return answer

    def _read(self, text: str, found: Sequence[FoundWord], **kwargs) -> list:
        by_parts = len(self.perfusion_vocabulary("")["input_ids"]) > 1
        tokens = self._in_parts(text, found, **kwargs) if by_parts else self._as_a_whole(text, found, **kwargs)
        for token in tokens:
            if isinstance(token, CONCEPT_TOKENS):
                token.naming.was_read()
        return tokens

    def _in_parts(self, text: str, found: Sequence[FoundWord], add_special_tokens: bool = True, **_others) -> list:
        """For vocabularies of CLIP, which read a word alike wherever it stands."""
        start, *_, end = self.perfusion_vocabulary("")["input_ids"]
        tokens, position = [], 0
        for place in found:
            tokens += plain_tokens(self.perfusion_vocabulary, text[position : place.start])
            tokens += self.perfusion_tokens[place.word]
            position = place.end
        tokens += plain_tokens(self.perfusion_vocabulary, text[position:])
        return [start, *tokens, end] if add_special_tokens else tokens

    def _as_a_whole(self, text: str, found: Sequence[FoundWord], **kwargs) -> list:
        """For vocabularies to which a space before a word belongs: the superclass prompt, and where it stands in it."""
        words = {word.word: word for word in self.perfusion_words}
        whole, spans, position = "", [], 0
        for place in found:
            whole += text[position : place.start]
            spans.append((len(whole), len(whole) + len(words[place.word].superclass)))
            whole += words[place.word].superclass
            position = place.end
        whole += text[position:]
        tokens, places = spans_of(self.perfusion_vocabulary, whole, spans, **kwargs)
        for place, numbers in zip(found, places, strict=True):
            replaced = words[place.word].instead_of([tokens[n] for n in numbers], self.perfusion_encoder)
            for n, token in zip(numbers, replaced, strict=True):
                tokens[n] = token
        return tokens


def knowing(vocabulary, encoder: str, words: Sequence[ConceptWord]):
    """A copy of ``vocabulary``, of the host's own class, that reads ``words`` for one text encoder."""
    known = copy.copy(vocabulary)
    known.__class__ = _class_knowing_words(type(vocabulary))
    known.perfusion_vocabulary, known.perfusion_words, known.perfusion_encoder = vocabulary, tuple(words), encoder
    known.perfusion_tokens = {
        word.word: word.instead_of(superclass_tokens(vocabulary, word.superclass), encoder) for word in words
    }
    return known


@cache
def _class_knowing_words(kind: type) -> type:
    return type(kind.__name__, (_ConceptVocabulary, kind), {"__module__": kind.__module__})


def known_words(vocabulary) -> tuple[ConceptWord, ...]:
    """The concept words that a vocabulary knows."""
    return vocabulary.perfusion_words if isinstance(vocabulary, _ConceptVocabulary) else ()


def without_words(vocabulary):
    """The host's own vocabulary."""
    return vocabulary.perfusion_vocabulary if isinstance(vocabulary, _ConceptVocabulary) else vocabulary


def plain_tokens(vocabulary, text: str) -> list[int]:
    """Ids of ``text`` alone, without those that the vocabulary puts around every text."""
    start, end = specials_of(vocabulary)
    tokens = vocabulary(text)["input_ids"]
    return tokens[len(start) : len(tokens) - len(end)]


def superclass_tokens(vocabulary, superclass: str) -> list[int]:
    """The superclass's token ids. Raises ValueError when there are none."""
    tokens = plain_tokens(vocabulary, superclass)
    if not tokens:
        raise ValueError(f"The superclass is {superclass!r}; expected one or several words, such as 'teddy bear'.")
    return tokens
