"""The host's CLIP: a clone whose tokenizer knows concept words and whose text encoders mark what they encode.

To everybody else it is the host's own: its text encoder's class and members, and tokenizers of the host's classes.
Marks are made by a forward hook on each text encoder, which the host's patcher sets while the clone is in use.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from comfy.patcher_extension import PatcherInjection
from torch import nn

from ...perfusion_ops import Concept, KeyLocking
from ...perfusion_ops.text.words import fold_word
from ..families.family import title_of
from .concept_words import ConceptWord
from .marking import marking_hooks
from .naming import Naming
from .network_tokens import marking
from .vocabularies import knowing, known_words, without_words

KEY = "perfusion"
PREFIX = "clip_"
_hooks: WeakKeyDictionary[nn.Module, list] = WeakKeyDictionary()
"""Text encoder -> the handles of its hooks. One pair for all clones: prompts without concepts stay as they are."""


def tokenizer_names(clip) -> tuple[str, ...]:
    """Short names of the tokenizers inside, as prompts have them: ``("l",)``, ``("g", "l")``, ``("t5xxl",)``."""
    return tuple(sorted(name.removeprefix(PREFIX) for name, part in vars(clip.tokenizer).items() if _reads(part)))


def _reads(part) -> bool:
    return hasattr(part, "tokenizer") and hasattr(part, "tokenize_with_weights")


def text_encoder_names(clip) -> tuple[str, ...]:
    """Those of the tokenizers whose tokens a text encoder reads; the network itself reads what others give."""
    return tuple(name for name in tokenizer_names(clip) if text_encoder(clip, name) is not None)


def text_encoder(clip, name: str):
    """One of the text encoders, as the host's module; none if there is no such module."""
    return _member(clip.cond_stage_model, name)


def text_encoders(clip) -> dict[str, nn.Module]:
    """All of them by name."""
    return {name: text_encoder(clip, name) for name in text_encoder_names(clip)}


def encoder_attribute(clip, name: str) -> str:
    """What the host calls one of the text encoders inside its CLIP model."""
    return _attribute(clip.cond_stage_model, name)


def tokenizer(clip, name: str):
    """One of the host's tokenizers."""
    return _member(clip.tokenizer, name)


def _member(whole, name: str):
    """The host calls the same part ``clip_l`` or ``t5xxl``."""
    return getattr(whole, _attribute(whole, name), None)


def _attribute(whole, name: str) -> str:
    return f"{PREFIX}{name}" if hasattr(whole, f"{PREFIX}{name}") else name


def vocabulary(clip, name: str):
    """What one of the tokenizers reads with: text -> ``{"input_ids": [...]}``, without concept words."""
    return without_words(tokenizer(clip, name).tokenizer)


def clip_with_concept(clip, concept: Concept, strength: float, key_locking: KeyLocking, naming: Naming | None = None):
    """A clone of ``clip`` that reads the concept's word. Raises ValueError when its text encoders do not fit."""
    if concept.has_learned_word:
        _check_encoders(clip, concept)
    new = ConceptWord(
        word=concept.word,
        superclass=concept.superclass,
        embeddings=dict(concept.word_embeddings) if strength else {},
        marked=bool(strength) and not concept.has_learned_word,
        superclass_keys=key_locking.uses_superclass_prompt,
        naming=naming or Naming(concept.word),
    )
    return clip_knowing(clip, new)


def words_known_to(clip) -> tuple[ConceptWord, ...]:
    """The concept words that a CLIP reads."""
    return known_words(tokenizer(clip, tokenizer_names(clip)[0]).tokenizer)


def clip_knowing(clip, new: ConceptWord):
    """A clone of ``clip`` that reads one word more. Raises ValueError for a word that is another concept's in it."""
    names = tokenizer_names(clip)
    if not names:
        raise ValueError("This CLIP has no tokenizer that can read a concept word. Connect the CLIP of the same model.")
    clone = clip.clone()
    clone.tokenizer = tokenizers_knowing(clip, _with_word(words_known_to(clip), new))
    unencoded = [name for name in names if name not in text_encoder_names(clip)]
    marking_them = [marking(unencoded)] if unencoded else []
    clone.patcher.set_injections(KEY, [PatcherInjection(_set_hooks, _remove_hooks), *marking_them])
    return clone


def _with_word(known: Sequence[ConceptWord], new: ConceptWord) -> list[ConceptWord]:
    """The words of a CLIP with one more. A concept may come again: two models, such as Wan 2.2's, share one CLIP."""
    folded = fold_word(new.word)
    for word in (word for word in known if fold_word(word.word) == folded):
        if not word.is_of_concept(new):
            raise ValueError(f"The concept word {new.word!r} stands for two concepts; give one of them another word.")
        if word.draws and new.embeddings and word.superclass_keys != new.superclass_keys:
            raise ValueError(
                f"The concept {new.word!r} is applied to two models of one CLIP, with global key locking for one of "
                "them alone. Choose global key locking in both Apply nodes, or in neither."
            )
        new = word if word.draws else new
    return [*(word for word in known if fold_word(word.word) != folded), new]


def tokenizers_knowing(clip, words: Sequence[ConceptWord]):
    """A copy of all tokenizers of a CLIP, which reads ``words``."""
    copied = copy.copy(clip.tokenizer)
    for name in tokenizer_names(clip):
        setattr(copied, _attribute(clip.tokenizer, name), tokenizer_knowing(clip, name, words))
    return copied


def tokenizer_knowing(clip, name: str, words: Sequence[ConceptWord]):
    """A copy of one text encoder's tokenizer that reads ``words``."""
    knowing_words = copy.copy(tokenizer(clip, name))
    knowing_words.tokenizer = knowing(vocabulary(clip, name), name, sorted(words, key=lambda word: word.word))
    return knowing_words


def _set_hooks(patcher) -> None:
    for encoder in _text_encoders(patcher.model):
        if encoder not in _hooks:
            _hooks[encoder] = marking_hooks(encoder)


def _remove_hooks(patcher) -> None:
    for encoder in _text_encoders(patcher.model):
        for handle in _hooks.pop(encoder, ()):
            handle.remove()


def _text_encoders(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.children() if hasattr(part, "encode_token_weights")]


def _check_encoders(clip, concept: Concept) -> None:
    found, needed = set(text_encoder_names(clip)), set(concept.word_embeddings)
    trained = title_of(concept.base_family)
    if found != needed:
        raise ValueError(
            f"The concept {concept.word!r} was trained for the text encoders {_listed(needed)} of {trained}; this CLIP "
            f"has {_listed(found) or 'none of that kind'}. Connect the CLIP of a checkpoint of {trained}, or retrain."
        )
    for name, embedding in concept.word_embeddings.items():
        width = text_encoder(clip, name).transformer.get_input_embeddings().weight.shape[1]
        if embedding.shape[0] != width:
            raise ValueError(
                f"The concept {concept.word!r} has a word embedding of width {embedding.shape[0]} for text encoder "
                f"{_listed([name])}; this CLIP has width {width}. Connect the CLIP of a checkpoint of {trained}, or "
                "retrain."
            )


def _listed(names) -> str:
    """Text encoders as their files are called: ``clip_l``, ``t5xxl``."""
    return " and ".join(PREFIX + name if len(name) == 1 else name for name in sorted(names))
