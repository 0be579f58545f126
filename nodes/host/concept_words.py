"""What a concept word is, and what stands for it in a prompt's tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...perfusion_ops.text.words import find_words, fold_word
from .naming import Naming

FORBIDDEN_IN_WORDS = '()[]{}:,;|\\"\n\r\t'
"""Characters that mean something in a prompt, so that a concept word with them would never be found."""
SYNTAX = "()[]{}|\\"
"""Of these, what a prompt reads as its own syntax inside a superclass too."""
EMBEDDING = "embedding:"
"""What a prompt reads as the name of a file from here on."""
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


def check_names(word: str, superclass: str) -> tuple[str, str]:
    """The concept word and the superclass, trimmed. Raises ValueError for names that prompts could not tell apart.

    With one name for both, or a word that is one of the superclass's, every other of the superclass would be the
    subject.
    """
    word, superclass = check_concept_word(word), " ".join(superclass.split())
    bad = sorted(set(superclass) & set(SYNTAX)) or [EMBEDDING] * (EMBEDDING in superclass.lower())
    if bad:
        raise ValueError(
            f"The superclass is {superclass!r} with {' '.join(map(repr, bad))}; expected one or several words, such as "
            "'teddy bear'."
        )
    if find_words(superclass, [word]):
        same = fold_word(word) == fold_word(superclass)
        also = "the superclass" if same else f"a word of the superclass {superclass!r}"
        new = f"my_{superclass.replace(' ', '_')}"
        raise ValueError(
            f"The concept word is {word!r}, which is {also} too: every {superclass} in a prompt would be your subject, "
            f"and no other could stand beside it. Choose a new word, such as {new!r}."
        )
    return word, superclass


def check_concept_word(word: str) -> str:
    """The concept word, trimmed. Raises ValueError when a prompt could not hold it."""
    word = " ".join(word.split())
    bad = sorted({character for character in word if character in FORBIDDEN_IN_WORDS})
    if not word or bad or word.lower().startswith(EMBEDDING):
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
