"""The host's CLIP: a clone whose tokenizer knows concept words and whose text encoders mark what they encode.

To everybody else it is the host's own: its text encoder's class and members, and tokenizers of the host's classes.
Marks are made by a forward hook on each text encoder, which the host's patcher sets while the clone is in use.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from comfy.patcher_extension import PatcherInjection
from torch import Tensor, nn

from ...perfusion_ops import Concept, KeyLocking
from ...perfusion_ops.text.words import fold_word
from .concept_words import ConceptToken, ConceptWord, knowing, known_words, without_words
from .encoded_prompt import EncodedPrompt
from .naming import Naming

KEY = "perfusion"
_hooks: WeakKeyDictionary[nn.Module, object] = WeakKeyDictionary()
"""Text encoder -> the handle of its hook. One for all clones: it does nothing to prompts without concepts."""


def text_encoder_names(clip) -> tuple[str, ...]:
    """Short names of the CLIP text encoders inside: ``("l",)``, ``("h",)``, ``("g", "l")``."""
    return tuple(name for name in ("g", "h", "l") if hasattr(clip.tokenizer, f"clip_{name}"))


def text_encoder(clip, name: str):
    """One of the text encoders, as the host's module."""
    return getattr(clip.cond_stage_model, f"clip_{name}")


def vocabulary(clip, name: str):
    """The tokenizer of one text encoder: text -> ``{"input_ids": [start, ..., end]}``, without concept words."""
    return without_words(getattr(clip.tokenizer, f"clip_{name}").tokenizer)


def clip_with_concept(clip, concept: Concept, strength: float, key_locking: KeyLocking, naming: Naming | None = None):
    """A clone of ``clip`` that reads the concept's word. Raises ValueError when its text encoders do not fit."""
    _check_encoders(clip, concept)
    names = tuple(concept.word_embeddings)
    known = known_words(getattr(clip.tokenizer, f"clip_{names[0]}").tokenizer)
    if any(fold_word(word.word) == fold_word(concept.word) for word in known):
        raise ValueError(f"The concept word {concept.word!r} stands for two concepts; give one of them another word.")
    new = ConceptWord(
        word=concept.word,
        superclass=concept.superclass,
        embeddings=dict(concept.word_embeddings) if strength else {},
        superclass_keys=key_locking.uses_superclass_prompt,
        naming=naming or Naming(concept.word),
    )
    clone = clip.clone()
    clone.tokenizer = copy.copy(clip.tokenizer)
    for name in names:
        setattr(clone.tokenizer, f"clip_{name}", tokenizer_knowing(clip, name, (*known, new)))
    clone.patcher.set_injections(KEY, [PatcherInjection(_set_hooks, _remove_hooks)])
    return clone


def tokenizer_knowing(clip, name: str, words: Sequence[ConceptWord]):
    """A copy of one text encoder's tokenizer that reads ``words``."""
    tokenizer = copy.copy(getattr(clip.tokenizer, f"clip_{name}"))
    tokenizer.tokenizer = knowing(vocabulary(clip, name), name, sorted(words, key=lambda word: word.word))
    return tokenizer


def _set_hooks(patcher) -> None:
    for encoder in _text_encoders(patcher.model):
        if encoder not in _hooks:
            _hooks[encoder] = encoder.register_forward_hook(mark_what_is_held, with_kwargs=True)


def _remove_hooks(patcher) -> None:
    for encoder in _text_encoders(patcher.model):
        handle = _hooks.pop(encoder, None)
        if handle is not None:
            handle.remove()


def _text_encoders(model: nn.Module) -> list[nn.Module]:
    return [getattr(model, f"clip_{name}") for name in ("g", "h", "l") if hasattr(model, f"clip_{name}")]


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

    superclass = encoded(lambda _token: True)
    locked_globally = {token.superclass_keys for token in held}
    key_prompt = encoded(lambda token: token.superclass_keys) if len(locked_globally) > 1 else None
    namings = {token.naming for token in held}

    def marked(part: int):
        if not isinstance(output[part], Tensor):
            return output[part]
        keys = None if key_prompt is None else key_prompt[part]
        start = output[part][0, 0].clone() if output[part].ndim == 3 else None
        return EncodedPrompt.of(output[part], namings, start, superclass[part], keys)

    return (marked(0), marked(1), *output[2:])


def _concept_tokens(prompts) -> list[ConceptToken]:
    if not isinstance(prompts, (list, tuple)):
        return []
    return [token for row in prompts if isinstance(row, (list, tuple)) for token in row if type(token) is ConceptToken]


def _check_encoders(clip, concept: Concept) -> None:
    found, needed = set(text_encoder_names(clip)), set(concept.word_embeddings)
    if found != needed:
        raise ValueError(
            f"The concept {concept.word!r} was trained for the text encoders {_listed(needed)} of {concept.base_family}"
            f"; this CLIP has {_listed(found) or 'none of that kind'}. Load a checkpoint of that family, or retrain."
        )
    for name, embedding in concept.word_embeddings.items():
        width = text_encoder(clip, name).transformer.get_input_embeddings().weight.shape[1]
        if embedding.shape[0] != width:
            raise ValueError(
                f"The concept {concept.word!r} has a word embedding of width {embedding.shape[0]} for text encoder "
                f"{name!r}; this CLIP has width {width}. Load a checkpoint of family {concept.base_family}, or retrain."
            )


def _listed(names) -> str:
    return " and ".join(repr(name) for name in sorted(names))
