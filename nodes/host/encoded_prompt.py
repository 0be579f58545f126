"""A prompt's encodings that know which concepts they hold, whatever a workflow does to them.

The host's conditioning nodes keep the entries of one conditioning and drop those of the other (concatenate, average),
so what a prompt holds must travel with the encodings themselves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

KEEPING = frozenset(
    "cat concat concatenate mul multiply div divide true_divide add sub subtract rsub neg lerp narrow to type float "
    "half double bfloat16 cpu cuda clone detach contiguous repeat expand repeat_interleave index_select pad where "
    "__getitem__ __mul__ __rmul__ __truediv__ __add__ __radd__ __sub__ __rsub__ __neg__ __deepcopy__".split()
)
"""Functions after which encodings still are the prompt's: joined, mixed, scaled, cut or moved."""


class EncodedPrompt(Tensor):
    """Encodings (B, T, d) of a prompt with concepts. Ordinary in every other way; pickled as a plain tensor.

    Mixing several unites what they hold. The superclass prompt goes through the same functions, so that it stays
    aligned token by token.
    """

    words: frozenset[str] = frozenset()
    """Concept words the prompt holds."""
    start: Tensor | None = None
    """The encoding of the start-of-text token (d,)."""
    superclass: Tensor | None = None
    """Encodings of the superclass prompt (B, T, d), for global key locking only."""

    @classmethod
    def of(cls, encodings: Tensor, words: frozenset[str], start: Tensor | None, superclass: Tensor | None = None):
        prompt = plain(encodings).as_subclass(cls)
        prompt.words, prompt.start, prompt.superclass = words, start, superclass
        return prompt

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*_map(plain, args), **_map(plain, kwargs))
            prompts = _prompts((args, kwargs))
            if getattr(func, "__name__", "") not in KEEPING or not _is_encodings(result, prompts[0]):
                return result
            superclass = None
            if any(prompt.superclass is not None for prompt in prompts):
                superclass = func(*_map(superclass_of, args), **_map(superclass_of, kwargs))
        words = frozenset().union(*(prompt.words for prompt in prompts))
        return cls.of(result, words, prompts[0].start, superclass)


def plain(value: Any) -> Any:
    """The same value without memory of concepts."""
    return value.as_subclass(Tensor) if isinstance(value, EncodedPrompt) else value


def superclass_of(value: Any) -> Any:
    """The superclass prompt's encodings; a value without concepts is its own."""
    if not isinstance(value, EncodedPrompt):
        return value
    return plain(value) if value.superclass is None else value.superclass


def _is_encodings(result: Any, source: Tensor) -> bool:
    return isinstance(result, Tensor) and result.ndim == 3 and result.shape[-1] == source.shape[-1]


def _map(function, value):
    if isinstance(value, (list, tuple)):
        return type(value)(_map(function, item) for item in value)
    if isinstance(value, dict):
        return {key: _map(function, item) for key, item in value.items()}
    return function(value)


def _prompts(value) -> list[EncodedPrompt]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [prompt for item in value for prompt in _prompts(item)]
    return [value] if isinstance(value, EncodedPrompt) else []
