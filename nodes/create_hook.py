"""Create Hook: Perfusion: a concept's strength and bias for one prompt, and over the sampling steps."""

from __future__ import annotations

from comfy_api.latest import io

from .host import messages
from .host.strength_hook import KEYFRAMES_SCALE, strength_hooks
from .schema import ConceptIO, schema, shift_input

NO_SHIFT = "keyframes_scale is bias_shift, and bias_shift is 0, so keyframes change nothing. Set bias_shift."


class PerfusionCreateHook(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "hook", "schedule", "keyframes", "regional", "strength over time"],
            node_id="PerfusionCreateHook",
            display_name="Create Hook: Perfusion",
            description="Scales a concept's visual strength and moves its bias for one prompt. With Set Hook Keyframes "
            "one of them changes during sampling. Prompts without the hook are not touched.",
            inputs=[
                ConceptIO.Input("concept", tooltip="A concept that Apply Key-Locked Attention adds to the same model."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    tooltip="Times visual_strength. 1: as without the hook. 0: the word draws the superclass. "
                    "Keyframes are multiplied with it.",
                ),
                io.Custom("HOOKS").Input("prev_hooks", optional=True, tooltip="Hooks that act beside this one."),
                shift_input(
                    "bias_shift",
                    "Added to Apply's bias. 0: as without the hook. Above 0: more of the text. Below 0: more of the "
                    "subject.",
                    optional=True,
                ),
                io.Combo.Input(
                    "keyframes_scale",
                    options=list(KEYFRAMES_SCALE),
                    optional=True,
                    default=KEYFRAMES_SCALE[0],
                    tooltip="What the strength of Set Hook Keyframes is multiplied with. strength: the look comes and "
                    "goes. bias_shift: the bias moves, and strength stays.",
                ),
            ],
            outputs=[
                io.Custom("HOOKS").Output(
                    display_name="hooks",
                    tooltip="For Set Hook Keyframes, Cond Set Props and the core's other hook nodes.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, concept, strength, prev_hooks=None, bias_shift=0.0, keyframes_scale=KEYFRAMES_SCALE[0]
    ) -> io.NodeOutput:
        messages.warn_of(NO_SHIFT if keyframes_scale == "bias_shift" and bias_shift == 0 else None)
        return io.NodeOutput(strength_hooks(concept.word, strength, bias_shift, keyframes_scale, prev_hooks))
