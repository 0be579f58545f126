"""A hook of the host that scales one concept's strength and moves its bias, for the conditionings it is set on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import comfy.hooks

from . import messages

STRENGTHS = "perfusion_strengths"
"""Name in a model call's options of: concept word -> factor on its strength."""
SHIFTS = "perfusion_bias_shifts"
"""Name in the same options of: every hook's word, which of its shifts of the bias holds, and how many it has."""
APPLIED = "perfusion"
"""Name in the same options of the model's concepts."""
KEYFRAMES_SCALE = ("strength", "bias_shift")
"""What keyframes can be multiplied with."""


class StrengthHook(comfy.hooks.TransformerOptionsHook):
    """Acts in model calls whose conditionings have it; all others do not see it."""

    def __init__(
        self,
        word: str = "",
        factor: float = 1.0,
        node: str | None = None,
        bias_shift: float = 0.0,
        keyframes_scale: str = KEYFRAMES_SCALE[0],
    ) -> None:
        super().__init__(transformers_dict={}, hook_scope=comfy.hooks.EnumHookScope.HookedOnly)
        self.word, self.factor, self.node = word, factor, node
        self.bias_shift, self.keyframes_scale = bias_shift, keyframes_scale

    def clone(self) -> StrengthHook:
        copied = super().clone()
        copied.word, copied.factor, copied.node = self.word, self.factor, self.node
        copied.bias_shift, copied.keyframes_scale = self.bias_shift, self.keyframes_scale
        return copied

    @property
    def shifts(self) -> tuple[float, ...]:
        """What the hook can move the bias by, over all of its keyframes."""
        frames = self.hook_keyframe.keyframes if self.keyframes_scale == "bias_shift" else ()
        return tuple(dict.fromkeys(self.bias_shift * float(frame.strength) for frame in frames)) or (self.bias_shift,)

    @property
    def rests(self) -> bool:
        """Whether the strength is 0 at any time."""
        frames = self.hook_keyframe.keyframes if self.keyframes_scale == "strength" else ()
        return self.factor == 0 or any(frame.strength == 0 for frame in frames)

    def add_hook_patches(self, model, model_options, target_dict, registered) -> bool:
        """As the host registers hooks when sampling starts: says so if the model does not have the concept."""
        applied = model_options.get("transformer_options", {}).get(APPLIED)
        if applied is None or self.word not in applied.edit.words:
            sentence = (
                f"This hook has no effect: the sampler's model does not have the concept {self.word!r}. Connect Apply "
                "Key-Locked Attention with this concept between the loader and the sampler."
            )
            messages.warn(sentence, sentence, self.node)
        return super().add_hook_patches(model, model_options, target_dict, registered)

    def on_apply_hooks(self, model, transformer_options: dict) -> None:
        """For one model call: the factor and the shift, one of them times the strength of the keyframe that holds now.
        """
        strengths, shifts = transformer_options.setdefault(STRENGTHS, {}), self.shifts
        # The host's interpolated keyframes have tensors for strengths.
        now = float(self.strength)
        frame = now if self.keyframes_scale == "strength" else 1.0
        strengths[self.word] = strengths.get(self.word, 1.0) * self.factor * frame
        holds = shifts.index(self.bias_shift * now) if len(shifts) > 1 else 0
        transformer_options.setdefault(SHIFTS, []).append((self.word, holds, len(shifts)))


def strength_hooks(word: str, factor: float, bias_shift: float = 0.0, keyframes_scale: str = "strength", before=None):
    """The hooks ``before``, if any, and one more."""
    hooks = comfy.hooks.HookGroup() if before is None else before.clone()
    hooks.add(StrengthHook(word, factor, messages.running_node(), bias_shift, keyframes_scale))
    return hooks


def possible_shifts(hooks, words: Sequence[str]) -> list[tuple[float, ...]]:
    """All that a conditioning's hooks, if any, can move the biases of ``words`` by, in an order that never changes."""
    acting = _acting(hooks, words)
    return [
        tuple(sum(shift for hook, shift in zip(acting, chosen, strict=True) if hook.word == word) for word in words)
        for chosen in product(*(hook.shifts for hook in acting))
    ]


def may_rest(hooks, words: Sequence[str]) -> bool:
    """Whether a conditioning's hooks, if any, take the whole strength of one of ``words`` away at any time."""
    return any(hook.rests for hook in _acting(hooks, words))


def _acting(hooks, words: Sequence[str]) -> list[StrengthHook]:
    return [hook for hook in (hooks.hooks if hooks else ()) if isinstance(hook, StrengthHook) and hook.word in words]


def shift_that_holds(options: Mapping[str, Any], words: Sequence[str]) -> tuple[int, int]:
    """In a model call with these options: which of ``possible_shifts`` holds, and how many there are."""
    number, count = 0, 1
    for word, holds, size in options.get(SHIFTS, ()):
        if word in words:
            number, count = number * size + holds, count * size
    return number, count
