"""How a prompt reads with concept words: the host's own tokenizers, which know some words more."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...perfusion_ops.text.words import FoundWord, find_words
from .naming import Naming
from .spans import spans_of, specials_of

FORBIDDEN_IN_WORDS = '()[]{}:,;|\\"\n\r\t'
"""Characters that mean something in a prompt, so that a concept word with them would never be found."""
KEEPING = frozenset("to type float half double bfloat16 cpu cuda clone detach contiguous".split())
"""Functions after which a concept's token still is one."""


@dataclass(frozen=True)
class ConceptWord:
    """How a concept word reads: the superclass's tokens, the last of them replaced by the learned embedding."""

    word: str
    superclass: str
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    """Text encoder name -> learned embedding; empty: the word is exactly the superclass (strength 0)."""
    marked: bool = False
    """Whether the superclass's own tokens remember the concept, as a position gate needs."""
    superclass_keys: bool = False
    """Whether keys come from the superclass prompt: global key locking."""
    naming: Naming = field(default_factory=Naming)

    @property
    def draws(self) -> bool:
        """Whether more than the superclass is to be drawn."""
        return self.marked or bool(self.embeddings)

    def is_of_concept(self, other: ConceptWord) -> bool:
        """Whether both words are one concept's, which is applied to several models that share a CLIP."""
        same = (self.word, self.superclass) == (other.word, other.superclass)
        if not (self.draws and other.draws):
            return same
        parts, others = self.embeddings, other.embeddings
        same = same and self.marked == other.marked and parts.keys() == others.keys()
        return same and all(torch.equal(parts[name], others[name]) for name in parts)

    def instead_of(self, tokens: Sequence[int], encoder: str) -> list:
        """What stands in a prompt for one text encoder, in place of the superclass's ``tokens`` there.

        A learned word of another text encoder leaves marks: they say where the concept stands.
        """
        if encoder in self.embeddings and tokens:
            return [*tokens[:-1], ConceptToken.of(self.embeddings[encoder], self, tokens[-1])]
        return [MarkedId.of(token, self) for token in tokens] if self.marked or self.embeddings else list(tokens)


class ConceptToken(Tensor):
    """The learned embedding (width,) in a prompt's list of tokens, among the ids of the others.

    The host takes vectors as tokens. This one knows whose it is, and is equal to no id: packs compare tokens.
    """

    naming: Naming
    superclass_id: int
    """Id of the superclass's last token, which stands there in the superclass prompt."""
    superclass_keys: bool

    @classmethod
    def of(cls, embedding: Tensor, word: ConceptWord, superclass_id: int) -> ConceptToken:
        token = embedding.as_subclass(cls)
        token.naming, token.superclass_id, token.superclass_keys = word.naming, superclass_id, word.superclass_keys
        return token

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in ("__eq__", "__ne__") and not isinstance(args[1], Tensor):
            return name == "__ne__"
        with torch._C.DisableTorchFunctionSubclass():
            if name == "__deepcopy__":
                return args[0]
            result = func(*args, **(kwargs or {}))
            if name not in KEEPING or not isinstance(args[0], cls):
                return result
            token = result.as_subclass(cls)
            token.__dict__.update(args[0].__dict__)
            return token

    def vector(self) -> Tensor:
        """The embedding as a plain tensor."""
        return self.as_subclass(Tensor)


class MarkedId(int):
    """One of the superclass's token ids, which remembers the concept that it stands for. To all others, the id."""

    naming: Naming

    @classmethod
    def of(cls, token: int, word: ConceptWord) -> MarkedId:
        marked = cls(token)
        marked.naming = word.naming
        return marked

    def __deepcopy__(self, _memo) -> MarkedId:
        return self


CONCEPT_TOKENS = (ConceptToken, MarkedId)


def check_concept_word(word: str) -> str:
    """The concept word, trimmed. Raises ValueError when a prompt could not hold it."""
    word = " ".join(word.split())
    bad = sorted({character for character in word if character in FORBIDDEN_IN_WORDS})
    if not word or bad or word.lower().startswith("embedding:"):
        found = f"{word!r} with {' '.join(map(repr, bad))}" if bad else repr(word)
        raise ValueError(
            f"The concept word is {found}; expected a word without brackets, colons or commas, such as 'my_teddy'."
        )
    if not find_words(f"a {word} here", [word]):
        raise ValueError(
            f"The concept word is {ascii(word)}, which no prompt can name: it shows nothing, or begins with a mark "
            "that belongs to the letter before it. Choose a word with a letter, such as 'my_teddy'."
        )
    return word


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
