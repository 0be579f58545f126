"""Create Hook: Perfusion: a concept's strength for one prompt, and over the sampling steps."""

from __future__ import annotations

from comfy_api.latest import io

from .host.strength_hook import strength_hooks
from .schema import ConceptIO, schema


class PerfusionCreateHook(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "hook", "schedule", "keyframes", "regional", "strength over time"],
            node_id="PerfusionCreateHook",
            display_name="Create Hook: Perfusion",
            description="Scales a concept's visual strength for one prompt. With Set Hook Keyframes the strength "
            "changes during sampling. Prompts without the hook are not touched.",
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
            ],
            outputs=[
                io.Custom("HOOKS").Output(
                    display_name="hooks",
                    tooltip="For Set Hook Keyframes, Cond Set Props and the core's other hook nodes.",
                )
            ],
        )

    @classmethod
    def execute(cls, concept, strength, prev_hooks=None) -> io.NodeOutput:
        return io.NodeOutput(strength_hooks(concept.word, strength, prev_hooks))
