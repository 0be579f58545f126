"""The host's CLIP: a clone whose tokenizer knows concept words and whose text encoders mark what they encode.

To everybody else it is the host's own: its text encoder's class and members, and tokenizers of the host's classes.
Marks are made by a forward hook on each text encoder, which the host's patcher sets while the clone is in use.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from comfy.patcher_extension import PatcherInjection
from torch import Tensor, nn

from ...perfusion_ops import Concept, KeyLocking
from ...perfusion_ops.edit.marks import with_marks
from ...perfusion_ops.text.words import fold_word
from .concept_words import CONCEPT_TOKENS, ConceptToken, ConceptWord, MarkedId, knowing, known_words, without_words
from .encoded_prompt import KEYS, MARKED, SUPERCLASS, EncodedPrompt
from .naming import Naming
from .network_tokens import marking
from .token_rows import in_rows, remembering_pictures

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


def clip_knowing(clip, new: ConceptWord):
    """A clone of ``clip`` that reads one word more. Raises ValueError for a word that is another concept's in it."""
    names = tokenizer_names(clip)
    if not names:
        raise ValueError("This CLIP has no tokenizer that can read a concept word. Connect the CLIP of the same model.")
    known = known_words(tokenizer(clip, names[0]).tokenizer)
    clone = clip.clone()
    clone.tokenizer = tokenizers_knowing(clip, _with_word(known, new))
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
            marking_hook = encoder.register_forward_hook(mark_what_is_held, with_kwargs=True)
            _hooks[encoder] = [marking_hook, *remembering_pictures(encoder)]


def _remove_hooks(patcher) -> None:
    for encoder in _text_encoders(patcher.model):
        for handle in _hooks.pop(encoder, ()):
            handle.remove()


def _text_encoders(model: nn.Module) -> list[nn.Module]:
    return [part for part in model.children() if hasattr(part, "encode_token_weights")]


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

    beside, learned = {}, [token for token in held if isinstance(token, ConceptToken)]
    if learned:
        beside[SUPERCLASS] = encoded(lambda _token: True)
    if len({token.superclass_keys for token in learned}) > 1:
        beside[KEYS] = encoded(lambda token: token.superclass_keys)
    namings = {token.naming for token in held}

    def remembering(part: int):
        encodings = output[part]
        if not isinstance(encodings, Tensor):
            return encodings
        others = {name: outputs[part] for name, outputs in beside.items()}
        if part == 0:
            others |= _marked_copies(encoder, encodings, prompts)
        has_start = encodings.ndim == 3 and "start" in getattr(encoder, "special_tokens", ("start",))
        start = encodings[0, 0].clone() if has_start else None
        return EncodedPrompt.beside_others(encodings, namings, start, others) if others else encodings

    return (remembering(0), remembering(1), *output[2:])


def _marked_copies(encoder: nn.Module, encodings: Tensor, prompts: Sequence[Sequence]) -> dict[str, Tensor]:
    """For each concept with a position gate, the encodings (B, T, d) with marks at its tokens.

    Encodings of several layers at once are (B, layers, T, d).
    """
    copies = {}
    for word in dict.fromkeys(t.naming.word for row in prompts for t in row if isinstance(t, MarkedId)):
        flags = [[isinstance(t, MarkedId) and t.naming.word == word for t in row] for row in prompts]
        held = [in_rows(encoder, *row, encodings.shape[-2]) for row in zip(prompts, flags, strict=True)]
        marked = torch.tensor(held)
        copies[MARKED + word] = with_marks(encodings, marked if encodings.ndim == 3 else marked.unsqueeze(1))
    return copies


def _concept_tokens(prompts) -> list[ConceptToken | MarkedId]:
    if not isinstance(prompts, (list, tuple)):
        return []
    rows = [row for row in prompts if isinstance(row, (list, tuple))]
    return [token for row in rows for token in row if type(token) in CONCEPT_TOKENS]


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
