"""Apply Key-Locked Attention: a concept takes effect in a model and its CLIP."""

from __future__ import annotations

from comfy_api.latest import io

from ..perfusion_ops import Gate
from .host import messages
from .host.applying import put_in_effect
from .host.widgets import KEY_LOCKINGS
from .schema import (
    ConceptIO,
    bias_input,
    expert,
    key_locking_input,
    percent_input,
    schedule_input,
    schema,
    strength_input,
    temperature_input,
)


class PerfusionApplyKeyLockedAttention(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "concept", "key-locked", "rank-1", "personalization", "dreambooth", "textual inversion"],
            node_id="PerfusionApplyKeyLockedAttention",
            display_name="Apply Key-Locked Attention",
            description="Draws a trained concept wherever a prompt names its word. Chain this node for several "
            "concepts in one picture; their order does not matter. A prompt without the concept draws "
            "the same picture as without this node.",
            inputs=[
                io.Model.Input("model", tooltip="A model of the family that the concept was trained on."),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP of the same checkpoint. Encode your prompts with the clip output of this node.",
                ),
                ConceptIO.Input("concept", tooltip="From Load Perfusion Concept or Train Perfusion Concept."),
                strength_input(
                    "How strong the concept's look is. 0: exactly the superclass. 1: the concept as "
                    "trained. Above 1: exaggerated."
                ),
                bias_input(
                    0.6,
                    "The gate's bias. Lower: more of the subject. Higher: more of the text. The paper "
                    "uses 0.6 to 0.75 for local and 0.4 to 0.6 for global key locking.",
                ),
                temperature_input(0.15, "The gate's temperature: how softly the gate opens. The paper uses 0.15."),
                key_locking_input(),
                expert(
                    io.Boolean.Input(
                        "leak_free",
                        default=False,
                        tooltip="Closes the gate fully for words that have nothing in common with the concept. "
                        "Off: it stays open by about 2 %.",
                    )
                ),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip="A mask of where the concept's look may appear; soft edges are allowed. Outside, "
                    "its word draws the superclass. Not connected: everywhere.",
                ),
                expert(
                    percent_input(
                        "start_percent",
                        0.0,
                        "When the concept's look begins in sampling. Before, its word draws the superclass.",
                    )
                ),
                expert(
                    percent_input(
                        "end_percent",
                        1.0,
                        "When the concept's look ends in sampling. After, its word draws the superclass.",
                    )
                ),
                schedule_input("they are set here"),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model with the concept."),
                io.Clip.Output(
                    display_name="clip", tooltip="The CLIP that knows the concept word. Encode your prompts with it."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        clip,
        concept,
        visual_strength,
        bias,
        temperature,
        key_locking,
        leak_free,
        start_percent=0.0,
        end_percent=1.0,
        region=None,
        schedule=None,
    ) -> io.NodeOutput:
        edited = put_in_effect(
            model,
            clip,
            concept,
            visual_strength,
            Gate(bias, temperature, leak_free),
            KEY_LOCKINGS[key_locking],
            schedule,
            region=None if region is None else region.reshape(-1, *region.shape[-2:]).amax(0).clamp(0, 1),
            start_percent=start_percent,
            end_percent=end_percent,
        )
        edited.naming.stands(messages.warn_of(*edited.warnings, *edited.idle))
        return io.NodeOutput(edited.model, edited.clip)
