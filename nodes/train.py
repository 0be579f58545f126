"""Train Perfusion Concept: a concept from a few pictures. The order of its inputs is a contract: append only."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from .host.widgets import KEY_LOCKINGS
from .schema import (
    KEY_LOCKING_TOOLTIP,
    ConceptIO,
    StatisticsIO,
    bias_input,
    expert,
    schema,
    temperature_input,
)
from .training.run import Training


class PerfusionTrainConcept(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema()

    @classmethod
    def execute(cls, **inputs: list) -> io.NodeOutput:
        finished = Training.of(inputs).run()
        sheet = torch.zeros(1, 64, 64, 3) if finished.sheet is None else finished.sheet.unsqueeze(0)
        shown = None if finished.sheet is None else ui.PreviewImage(sheet, cls=cls)
        return io.NodeOutput(finished.concept, {"loss": finished.losses}, finished.concept.word, sheet, ui=shown)


def _schema() -> io.Schema:
    return schema(
        ["perfusion", "train concept", "dreambooth", "textual inversion", "personalization", "few-shot"],
        node_id="PerfusionTrainConcept",
        display_name="Train Perfusion Concept",
        description="Learns one subject from about five pictures, as a concept of some 30 KB. Cancel keeps what is "
        "trained; queue again to go on. The same inputs queued again take the finished concept from disk.",
        is_input_list=True,
        is_output_node=True,
        inputs=[*_subject_inputs(), *_training_inputs(), *_preview_inputs()],
        outputs=[
            ConceptIO.Output(display_name="concept", tooltip="For Apply Key-Locked Attention and Save."),
            io.Custom("LOSS_MAP").Output(display_name="loss_map", tooltip="For Plot Loss Graph."),
            io.String.Output(display_name="word", tooltip="The word that names the concept in a prompt."),
            io.Image.Output(display_name="previews", tooltip="The previews drawn during training, side by side."),
        ],
    )


def _subject_inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", tooltip="SD 1.x, SD 2.x or SDXL, from Load Checkpoint; a LoRA on it stays in effect."),
        io.Clip.Input("clip", tooltip="The CLIP of the same checkpoint."),
        io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
        io.Image.Input(
            "images", tooltip="About five pictures of the subject: a batch or a list, of any sizes and aspect ratios."
        ),
        io.Mask.Input(
            "masks",
            optional=True,
            tooltip="White where the subject is, soft edges welcome: one for each picture. Helps to learn the subject "
            "and not its surroundings.",
        ),
        io.String.Input(
            "word", default="my_subject", tooltip="The concept word: what you will call the subject in prompts."
        ),
        io.String.Input(
            "superclass",
            default="dog",
            tooltip="What the subject is an example of: one or several words, such as dog or teddy bear.",
        ),
        StatisticsIO.Input(
            "statistics",
            optional=True,
            tooltip="From Perfusion Text Statistics; not connected: measured once on this CLIP and kept.",
        ),
    ]


def _training_inputs() -> list[io.Input]:
    return [
        io.Int.Input("steps", default=400, min=1, max=10_000, tooltip="Optimiser steps; a few hundred are usual."),
        io.Int.Input("batch_size", default=16, min=1, max=64, tooltip="Pictures per step. The paper uses 16."),
        io.Int.Input(
            "micro_batch",
            default=0,
            min=0,
            max=64,
            tooltip="Pictures computed at once; gradients add up to a batch. 0: the whole batch, halved by itself when "
            "memory runs out; on a CPU, 4.",
        ),
        io.Int.Input(
            "resolution",
            default=512,
            min=64,
            max=2048,
            step=8,
            tooltip="Larger pictures are scaled down to this many pixels squared, keeping their shape. 512 for SD 1.x, "
            "768 for SD 2.x, 1024 for SDXL.",
        ),
        expert(
            io.Float.Input(
                "value_learning_rate", default=0.03, min=0.0, max=1.0, step=0.001, tooltip="The paper uses 0.03."
            )
        ),
        expert(
            io.Float.Input(
                "word_learning_rate", default=0.006, min=0.0, max=1.0, step=0.001, tooltip="The paper uses 0.006."
            )
        ),
        expert(bias_input(0.75, "The gate's bias in training. The paper uses 0.75.")),
        temperature_input(0.1, "The gate's temperature in training. The paper uses 0.1."),
        io.Combo.Input("key_locking", options=list(KEY_LOCKINGS), default="local", tooltip=KEY_LOCKING_TOOLTIP),
        io.Boolean.Input(
            "flip", default=True, tooltip="Also show mirrored pictures; off for text, faces with a parting, logos."
        ),
        io.String.Input(
            "templates",
            default="",
            multiline=True,
            tooltip="Your own sentences, one a line, with {} in the subject's place. Empty: the shipped ones.",
        ),
        io.String.Input(
            "captions",
            default="",
            multiline=True,
            tooltip="A caption for each picture, one a line, with {} in the subject's place. Empty: templates.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=2**63 - 1,
            control_after_generate=False,
            tooltip="Another seed is another training.",
        ),
        expert(
            io.Combo.Input(
                "dtype",
                options=["auto", "float32", "bfloat16", "float16"],
                default="auto",
                tooltip="What the model computes in. auto: bfloat16 on a GPU that has it, else float32.",
            )
        ),
        io.Boolean.Input(
            "gradient_checkpointing",
            default=False,
            tooltip="Less memory, some 30 % slower: activations are computed twice.",
        ),
    ]


def _preview_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "preview_every",
            default=100,
            min=0,
            max=10_000,
            tooltip="Steps between previews on the node; 0 draws none.",
        ),
        io.String.Input(
            "preview_prompt", default="a photo of a {}", tooltip="What previews show; {} stands for the subject."
        ),
    ]
