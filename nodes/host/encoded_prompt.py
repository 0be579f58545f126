"""A prompt's encodings that know which concepts they hold, whatever a workflow does to them.

What a prompt holds travels with the encodings themselves, since nodes mix, scale, cut and join conditionings in every
way there is. Beside each prompt go others: the same prompt with the superclass in its concepts' places, and copies
with marks where concepts with a position gate stand. Every function is applied to all of them. Where a prompt is equal
to what goes beside it, there is no concept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .naming import Naming, not_applied

JOINING = frozenset("cat concat concatenate hstack dstack vstack stack pad".split())
"""Functions whose result is a prompt though it may be wider than each of its sources."""
RANDOM = frozenset("dropout feature_dropout alpha_dropout bernoulli bernoulli_ normal_ uniform_ poisson".split())
"""Functions that draw: they must draw the same for the superclass prompt."""
SUPERCLASS, KEYS, MARKED = "superclass", "keys", "marked "
"""What goes beside a prompt: the superclass prompt, what globally locked keys are read from, and ``marked <word>``."""
IN_PLACE = frozenset("__setitem__ __set__ __iadd__ __isub__ __imul__ __itruediv__ __ipow__ __ifloordiv__".split())


class EncodedPrompt(Tensor):
    """Encodings (B, T, d) of prompts with concepts. Ordinary in every other way; pickled as a plain tensor.

    Whatever makes encodings of the same width, or as many numbers, out of a prompt's encodings is that prompt. Mixing
    several unites what they hold; what is written into becomes a prompt too.
    """

    namings: frozenset[Naming]
    """The concepts the prompt holds."""
    start: Tensor | None
    """The encoding of the start-of-text token (d,)."""
    beside: dict[str, Tensor]
    """What goes beside the prompt, token by token; what is missing equals the prompt itself."""

    @classmethod
    def of(cls, encodings: Tensor, namings, start: Tensor | None, superclass: Tensor, key_prompt: Tensor | None = None):
        keys = {} if key_prompt is None else {KEYS: key_prompt}
        return cls.beside_others(encodings, namings, start, {SUPERCLASS: superclass} | keys)

    @classmethod
    def beside_others(cls, encodings: Tensor, namings, start: Tensor | None, beside: Mapping[str, Tensor]):
        """``encodings`` that hold the concepts of ``namings``, with ``beside`` at their side."""
        return plain(encodings).as_subclass(cls).remember(namings, start, beside)

    def remember(self, namings, start: Tensor | None, beside: Mapping[str, Tensor]) -> EncodedPrompt:
        self.namings, self.start, self.beside = frozenset(namings), start, dict(beside)
        return self

    @property
    def superclass(self) -> Tensor:
        """The same prompt, token by token, with every concept's superclass in place of its word."""
        return beside_of(self, SUPERCLASS)

    @property
    def key_prompt(self) -> Tensor | None:
        """The same with the words of globally locked concepts replaced alone; none: all are, or none is."""
        return self.beside.get(KEYS)

    @property
    def words(self) -> frozenset[str]:
        return frozenset(naming.word for naming in self.namings)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name == "__iter__":
            return iter(args[0].unbind(0))
        if name == "__deepcopy__":
            return _copy(args[0])
        call = _Call(func, name, args, kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            return call.result()


def plain(value: Any) -> Any:
    """The same value without memory of concepts."""
    if not isinstance(value, EncodedPrompt):
        return value
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(Tensor)


def beside_of(value: Any, name: str) -> Any:
    """What goes beside a prompt under ``name``; a value that has no such thing is its own."""
    if not isinstance(value, EncodedPrompt):
        return value
    return value.beside[name] if name in value.beside else plain(value)


def superclass_of(value: Any) -> Any:
    """The superclass prompt's encodings; a value without concepts is its own."""
    return beside_of(value, SUPERCLASS)


class _Call:
    """One function call, made for a prompt and again for what goes beside it."""

    def __init__(self, func: Callable, name: str, args: tuple, kwargs: dict) -> None:
        self.func, self.name, self.args, self.kwargs = func, name, args, kwargs
        self.prompts = _prompts((args, kwargs))
        self.names = dict.fromkeys(name for prompt in self.prompts for name in prompt.beside)
        self.namings = frozenset().union(*(prompt.namings for prompt in self.prompts))

    def result(self) -> Any:
        written = _written(self.name, self.args, self.kwargs)
        if self._is_prompt(written):
            self._take_in(written)
        with _draws_kept(self.name, self.prompts[0].device, self.kwargs) as same_draws:
            result = self._of(lambda value: value if value is written else plain(value))
            if not isinstance(written, EncodedPrompt) and not self._holds_prompt(result):
                if self.name == "linear":
                    _tell_of_a_reader(self.namings)
                return result
            beside = {}
            for name in self.names:
                same_draws()
                beside[name] = self._of(partial(beside_of, name=name))
        if isinstance(written, EncodedPrompt):
            written.start = self._start(written)
            return result
        return self._marked(result, beside)

    def _of(self, part: Callable[[Any], Any]) -> Any:
        return self.func(*_map(part, self.args), **_map(part, self.kwargs))

    def _take_in(self, written: Tensor) -> None:
        """Make what is written into a prompt, if it is none yet: equal, before, to all that goes beside it."""
        if not isinstance(written, EncodedPrompt):
            # The caller goes on using this very object; a new one with the marks would be lost.
            written.__class__ = EncodedPrompt
            written.remember((), None, {})
        written.namings = self.namings
        for name in self.names:
            if name not in written.beside:
                written.beside[name] = plain(written).clone()

    def _holds_prompt(self, result: Any) -> bool:
        return any(map(self._is_prompt, result if isinstance(result, (tuple, list)) else [result]))

    def _is_prompt(self, value: Any) -> bool:
        if not isinstance(value, Tensor) or not value.ndim or value.numel() < 2 or not value.is_floating_point():
            return False
        if self.name.endswith("_like") or self.name.startswith("new_"):
            return False
        sources = [prompt for prompt in self.prompts if prompt.ndim]
        alike = any(value.shape[-1] == prompt.shape[-1] or value.numel() == prompt.numel() for prompt in sources)
        return alike or self.name in JOINING

    def _marked(self, result: Any, beside: dict[str, Any]) -> Any:
        if isinstance(result, (tuple, list)):
            others = [{name: parts[n] for name, parts in beside.items()} for n in range(len(result))]
            parts = [self._marked(*both) for both in zip(result, others, strict=True)]
            # torch's named tuples take their fields as one sequence, as tuple and list do.
            return type(result)(parts)
        if not self._is_prompt(result):
            return result
        return EncodedPrompt.beside_others(result, self.namings, self._start(result), beside)

    def _start(self, result: Tensor) -> Tensor | None:
        """The start-of-text token's encoding in ``result``: its first token's, as long as none was cut or joined."""
        source = next((prompt for prompt in self.prompts if prompt.start is not None), None)
        if source is None:
            return None
        if result.ndim > 1 and source.ndim > 1 and result.shape[-2] == source.shape[-2]:
            return plain(result)[..., 0, :].reshape(-1, result.shape[-1])[0].clone()
        return source.start


def _copy(prompt: EncodedPrompt) -> EncodedPrompt:
    start = None if prompt.start is None else prompt.start.clone()
    beside = {name: encodings.clone() for name, encodings in prompt.beside.items()}
    return EncodedPrompt.beside_others(plain(prompt).clone(), prompt.namings, start, beside)


def _written(name: str, args: tuple, kwargs: dict) -> Any:
    """What a function writes into; none for one that only makes something new."""
    if kwargs.get("out") is not None:
        return kwargs["out"]
    in_place = name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
    return args[0] if in_place and args else None


def _tell_of_a_reader(namings: frozenset[Naming]) -> None:
    """A network reads the prompt as it is. Models with the concepts get theirs edited, and without marks."""
    for naming in namings:
        naming.fails(not_applied(naming))


@contextmanager
def _draws_kept(name: str, device: torch.device, kwargs: dict) -> Iterator[Callable[[], None]]:
    """Gives a function that sets the random stream back to where it was, for functions that draw from it."""
    if name not in RANDOM:
        yield lambda: None
        return
    generator = kwargs.get("generator")
    if generator is None:
        generator = torch.default_generator if device.type == "cpu" else torch.cuda.default_generators[device.index]
    before = generator.get_state()
    yield lambda: generator.set_state(before)


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
