"""A hook of the host that scales one concept's strength, for the conditionings it is set on and as keyframes say."""

from __future__ import annotations

import comfy.hooks

from . import messages

STRENGTHS = "perfusion_strengths"
"""Name in a model call's options of: concept word -> factor on its strength."""
APPLIED = "perfusion"
"""Name in the same options of the model's concepts."""


class StrengthHook(comfy.hooks.TransformerOptionsHook):
    """Acts in model calls whose conditionings have it; all others do not see it."""

    def __init__(self, word: str = "", factor: float = 1.0, node: str | None = None) -> None:
        super().__init__(transformers_dict={}, hook_scope=comfy.hooks.EnumHookScope.HookedOnly)
        self.word, self.factor, self.node = word, factor, node

    def clone(self) -> StrengthHook:
        copied = super().clone()
        copied.word, copied.factor, copied.node = self.word, self.factor, self.node
        return copied

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
        """For one model call: the factor times the strength of the keyframe that holds now."""
        strengths = transformer_options.setdefault(STRENGTHS, {})
        strengths[self.word] = strengths.get(self.word, 1.0) * self.factor * self.strength


def strength_hooks(word: str, factor: float, before=None):
    """The hooks ``before``, if any, and one more."""
    hooks = comfy.hooks.HookGroup() if before is None else before.clone()
    hooks.add(StrengthHook(word, factor, messages.running_node()))
    return hooks
