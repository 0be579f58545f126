"""Evaluate Perfusion Concept: a sheet of pictures and a table that a person can post."""

from __future__ import annotations

from comfy_api.latest import io

from .judging.evaluate import Evaluation
from .judging.prompts import KINDS
from .sampling_inputs import judging_inputs, model_inputs, sampling_inputs
from .schema import ConceptIO, bias_input, key_locking_input, schedule_input, schema, strength_input, temperature_input


class PerfusionEvaluate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "evaluate", "benchmark", "compare lora", "test concept"],
            node_id="PerfusionEvaluate",
            display_name="Evaluate Perfusion Concept",
            description="Draws a concept on several prompts beside the plain model and, if connected, other methods, "
            "and measures identity, agreement and what a prompt without the concept loses.",
            is_input_list=True,
            inputs=[
                *(*_what(), *sampling_inputs(), *_dials(), *judging_inputs(), *_pair("other"), *_pair("second")),
                schedule_input("they are set here"),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="All pictures, a row for each method."),
                io.Image.Output(display_name="pictures", tooltip="The pictures of all rows, as KSampler drew them."),
                io.String.Output(display_name="table", tooltip="The scores and how they were measured, as markdown."),
            ],
        )

    @classmethod
    def execute(cls, **inputs: list) -> io.NodeOutput:
        evaluated = Evaluation.of(inputs).run()
        return io.NodeOutput(evaluated.sheet, evaluated.pictures, evaluated.table)


def _what() -> list[io.Input]:
    return [
        *model_inputs(),
        ConceptIO.Input("concept", tooltip="From Load Perfusion Concept or Train Perfusion Concept."),
        io.Latent.Input(
            "latent_image", tooltip="From Empty Latent Image. A batch gives as many pictures of each prompt."
        ),
        io.Combo.Input(
            "kind", options=list(KINDS), tooltip="What the subject is: chooses prompts of the paper's kind."
        ),
        io.String.Input(
            "prompts",
            default="",
            multiline=True,
            tooltip="Your own prompts, one on each line, with {} in place of the subject. Empty: those of kind.",
        ),
        io.String.Input("negative", default="", multiline=True, tooltip="The negative prompt."),
    ]


def _dials() -> list[io.Input]:
    return [
        bias_input(0.6, "The gate's bias. The paper uses 0.6 to 0.75 for local key locking."),
        temperature_input(0.15, "The gate's temperature. The paper uses 0.15."),
        strength_input("How strong the concept's look is."),
        key_locking_input(),
    ]


def _pair(name: str) -> list[io.Input]:
    """Another method's model, CLIP and word."""
    return [
        io.Model.Input(
            f"{name}_model", optional=True, tooltip="The model with a LoRA of the same subject, to compare."
        ),
        io.Clip.Input(
            f"{name}_clip", optional=True, tooltip="The CLIP with that LoRA; for an embedding, the plain one."
        ),
        io.String.Input(
            f"{name}_word",
            default="",
            optional=True,
            tooltip="What names the subject there, such as embedding:my_cat or sks dog.",
        ),
    ]
