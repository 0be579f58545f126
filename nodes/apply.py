"""Apply Key-Locked Attention: a concept takes effect in a model and its CLIP."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from comfy_api.latest import io
from torch import nn

from ..perfusion_ops import Concept, EditTerm, Gate, nearly_parallel
from ..perfusion_ops.edit.schedule import Schedule
from .families.family import check_fits
from .host import messages
from .host.applied import AppliedConcept, unused_settings
from .host.clip import clip_with_concept, text_encoder, text_encoder_names
from .host.fingerprints import encoder_identity
from .host.model import applied_terms, model_with_concept
from .host.naming import Naming
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

_identities: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""First text encoder of a CLIP -> the fingerprint of all of them."""


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
        locking, naming = KEY_LOCKINGS[key_locking], Naming(concept.word, messages.running_node())
        zero = "visual_strength" if visual_strength == 0 else "The schedule's strength"
        gate = Gate(bias, temperature, leak_free)
        visual_strength, gate, schedule = (schedule or Schedule()).into(visual_strength, gate)
        if visual_strength == 0:
            check_fits(model, concept)
            messages.warn_of(f"{zero} is 0, so {concept.word!r} draws exactly {concept.superclass!r}.")
            return io.NodeOutput(model, clip_with_concept(clip, concept, visual_strength, locking))
        applied = AppliedConcept(
            EditTerm(concept, gate, visual_strength, locking),
            region=None if region is None else region.reshape(-1, *region.shape[-2:]).amax(0).clamp(0, 1),
            start_percent=start_percent,
            end_percent=end_percent,
            naming=naming,
            schedule=schedule,
        )
        edited = model_with_concept(model, applied)
        named = clip_with_concept(clip, concept, visual_strength, locking, naming)
        naming.standing = messages.warn_of(
            another_encoder(clip, concept),
            nearly_parallel(applied_terms(edited)),
            applied.without_effect(),
            unused_settings(applied.term),
        )
        return io.NodeOutput(edited, named)


def identity_of(clip) -> str:
    """The fingerprint of a CLIP's text encoders, taken once as long as the host keeps them: half of Apply's time."""
    encoders = {name: text_encoder(clip, name) for name in text_encoder_names(clip)}
    first = next(iter(encoders.values()))
    if first not in _identities:
        _identities[first] = encoder_identity(encoders)
    return _identities[first]


def another_encoder(clip, concept: Concept) -> str | None:
    """A sentence when ``clip`` is not what the concept was trained with. One that was fine-tuned may serve: no refusal.

    What is compared are 64 numbers of each embedding and norm: LoRAs leave them alone, and they are the same in fp16
    and fp32. Concepts without a fingerprint are taken as they come.
    """
    trained = concept.metadata.get("encoder")
    found = identity_of(clip) if trained else None
    if found == trained:
        return None
    return (
        f"The concept {concept.word!r} was trained with another text encoder than this CLIP's (fingerprint {trained}, "
        f"found {found}), so the subject may look less like itself. Use the CLIP of the checkpoint it was trained on, "
        "or train it again."
    )
