"""The host's CLIP: a clone whose tokenizer knows concept words and whose encodings remember them.

Nothing of the host's own objects is changed: tokenizers are copied shallowly, the text encoder is wrapped.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ...perfusion_ops import Concept, KeyLocking
from .encoded_prompt import EncodedPrompt

FORBIDDEN_IN_WORDS = '()[]{}:,;|\\"\n\r\t'
"""Characters that mean something in a prompt, so that a concept word with them would never be found."""


@dataclass(frozen=True)
class ConceptWord:
    """What a concept word becomes: the superclass's tokens, the last one replaced by the learned embedding."""

    word: str
    superclass: str
    embeddings: Mapping[str, Tensor] = field(default_factory=dict)
    """Text encoder name -> learned embedding; empty: the word is exactly the superclass (strength 0)."""
    superclass_keys: bool = False
    """Whether the superclass prompt must be encoded too, for global key locking."""


def check_concept_word(word: str) -> str:
    """The concept word, trimmed. Raises ValueError if a prompt cannot hold it."""
    word = " ".join(word.split())
    bad = sorted({character for character in word if character in FORBIDDEN_IN_WORDS})
    if not word or bad or word.lower().startswith("embedding:"):
        found = f"{word!r} with {' '.join(map(repr, bad))}" if bad else repr(word)
        raise ValueError(
            f"The concept word is {found}; expected a word without brackets, colons or commas, such as 'my_teddy'."
        )
    return word


class WordTokenizer:
    """In front of one text encoder's vocabulary: concept words become the superclass's tokens and a raw vector."""

    def __init__(self, vocabulary, encoder: str, words: Sequence[ConceptWord]) -> None:
        self.vocabulary = vocabulary
        self.tokens = {word.word.lower(): self._tokens_of(word, encoder) for word in words}
        # The longest word first: "my cat" must not be read as "my" and the concept "cat".
        names = sorted(self.tokens, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(_as_pattern, names)), re.IGNORECASE)

    def _tokens_of(self, word: ConceptWord, encoder: str) -> list:
        tokens = superclass_tokens(self.vocabulary, word.superclass)
        return [*tokens[:-1], word.embeddings[encoder]] if word.embeddings else tokens

    def __call__(self, text: str) -> dict[str, list]:
        start, *_, end = self.vocabulary("")["input_ids"]
        tokens, position = [], 0
        for match in self.pattern.finditer(text):
            tokens += self._plain_tokens(text[position : match.start()])
            tokens += self.tokens[" ".join(match.group().lower().split())]
            position = match.end()
        return {"input_ids": [start, *tokens, *self._plain_tokens(text[position:]), end]}

    def _plain_tokens(self, text: str) -> list[int]:
        return self.vocabulary(text)["input_ids"][1:-1]

    def __getattr__(self, name: str):
        return getattr(self.vocabulary, name)


def superclass_tokens(vocabulary, superclass: str) -> list[int]:
    """The superclass's token ids. Raises ValueError when there are none."""
    tokens = vocabulary(superclass)["input_ids"][1:-1]
    if not tokens:
        raise ValueError(f"The superclass is {superclass!r}; expected one or several words, such as 'teddy bear'.")
    return tokens


def _as_pattern(word: str) -> str:
    """The word on its own: not inside a longer word, any white space between its parts."""
    return r"(?<!\w)" + r"\s+".join(map(re.escape, word.split())) + r"(?!\w)"


class ConceptTextEncoder:
    """In front of the host's text encoder: marks what a prompt holds on the encodings of that prompt."""

    def __init__(self, encoder, words: Sequence[ConceptWord], superclass_ids: Mapping[str, Mapping[str, int]]) -> None:
        self.encoder = encoder
        self.words = tuple(words)
        self.superclass_ids = superclass_ids
        """Concept word -> text encoder name -> id of the superclass's last token."""

    def __getattr__(self, name: str):
        return getattr(self.encoder, name)

    def encode_token_weights(self, prompt: Mapping[str, list]):
        encodings, *others = self.encoder.encode_token_weights(prompt)
        held = [word for word in self.words if _holds(prompt, word)]
        if not held:
            return (encodings, *others)
        superclass = None
        globally_locked = [word for word in held if word.superclass_keys]
        if globally_locked:
            superclass = self.encoder.encode_token_weights(self._superclass_prompt(prompt, globally_locked))[0]
        if "g" in prompt:
            # SDXL also reads a pooled encoding, in training the superclass's: the look comes by the edit alone.
            others = self.encoder.encode_token_weights(self._superclass_prompt(prompt, held))[1:]
        names = frozenset(word.word for word in held)
        return (EncodedPrompt.of(encodings, names, encodings[0, 0].clone(), superclass), *others)

    def _superclass_prompt(self, prompt: Mapping[str, list], words: Sequence[ConceptWord]) -> dict[str, list]:
        """``prompt`` with the superclass in place of ``words``, token by token."""
        replacements = {
            id(embedding): self.superclass_ids[word.word][name]
            for word in words
            for name, embedding in word.embeddings.items()
        }
        return {
            name: [[(replacements.get(id(token), token), *rest) for token, *rest in chunk] for chunk in chunks]
            for name, chunks in prompt.items()
        }


def _holds(prompt: Mapping[str, list], word: ConceptWord) -> bool:
    return any(
        token is embedding
        for name, embedding in word.embeddings.items()
        for chunk in prompt.get(name, ())
        for token, *_ in chunk
    )


def text_encoder_names(clip) -> tuple[str, ...]:
    """Short names of the CLIP text encoders inside: ``("l",)``, ``("h",)``, ``("g", "l")``."""
    return tuple(name for name in ("g", "h", "l") if hasattr(clip.tokenizer, f"clip_{name}"))


def text_encoder(clip, name: str):
    """One of the text encoders, as the host's module."""
    return getattr(clip.cond_stage_model, f"clip_{name}")


def vocabulary(clip, name: str):
    """The tokenizer of one text encoder: text -> ``{"input_ids": [start, ..., end]}``, without concept words."""
    tokenizer = getattr(clip.tokenizer, f"clip_{name}").tokenizer
    return tokenizer.vocabulary if isinstance(tokenizer, WordTokenizer) else tokenizer


def clip_with_concept(clip, concept: Concept, strength: float, key_locking: KeyLocking):
    """A clone of ``clip`` that reads the concept's word. Raises ValueError when its text encoders do not fit."""
    _check_encoders(clip, concept)
    known = clip.cond_stage_model.words if isinstance(clip.cond_stage_model, ConceptTextEncoder) else ()
    if any(word.word.lower() == concept.word.lower() for word in known):
        raise ValueError(f"The concept word {concept.word!r} stands for two concepts; give one of them another word.")
    new = ConceptWord(
        word=concept.word,
        superclass=concept.superclass,
        embeddings=dict(concept.word_embeddings) if strength else {},
        superclass_keys=key_locking.uses_superclass_prompt,
    )
    words = sorted((*known, new), key=lambda word: word.word)
    clone = clip.clone()
    clone.tokenizer = copy.copy(clip.tokenizer)
    for name in concept.word_embeddings:
        tokenizer = copy.copy(getattr(clip.tokenizer, f"clip_{name}"))
        tokenizer.tokenizer = WordTokenizer(vocabulary(clip, name), name, words)
        setattr(clone.tokenizer, f"clip_{name}", tokenizer)
    encoder = clip.cond_stage_model
    inner = encoder.encoder if isinstance(encoder, ConceptTextEncoder) else encoder
    ids = {
        word.word: {name: superclass_tokens(vocabulary(clip, name), word.superclass)[-1] for name in word.embeddings}
        for word in words
    }
    clone.cond_stage_model = ConceptTextEncoder(inner, words, ids)
    return clone


def _check_encoders(clip, concept: Concept) -> None:
    found, needed = set(text_encoder_names(clip)), set(concept.word_embeddings)
    if found != needed:
        raise ValueError(
            f"The concept {concept.word!r} was trained for the text encoders {_listed(needed)} of {concept.base_family}"
            f"; this CLIP has {_listed(found) or 'none of that kind'}. Load a checkpoint of that family, or train it "
            "again."
        )
    for name, embedding in concept.word_embeddings.items():
        width = text_encoder(clip, name).transformer.get_input_embeddings().weight.shape[1]
        if embedding.shape[0] != width:
            raise ValueError(
                f"The concept {concept.word!r} has a word embedding of width {embedding.shape[0]} for text encoder "
                f"{name!r}; this CLIP has width {width}. Load a checkpoint of {concept.base_family}, or train again."
            )


def _listed(names) -> str:
    return " and ".join(repr(name) for name in sorted(names))


def tokens_without_weights(clip, text: str) -> dict[str, list[list]]:
    """Token ids of each text encoder, chunk by chunk."""
    tokens = clip.tokenize(text)
    return {name: [[token for token, *_ in chunk] for chunk in chunks] for name, chunks in tokens.items()}
