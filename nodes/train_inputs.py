"""The inputs of Train Perfusion Concept. Their order is a contract: append only."""

from __future__ import annotations

from comfy_api.latest import io

from .host.widgets import GATES, LAYERS
from .schema import StatisticsIO, bias_input, expert, key_locking_input, seed_input, temperature_input


def train_inputs() -> list[io.Input]:
    """In the order in which stored workflows have them."""
    learning = [*_size_inputs(), *_method_inputs(), *_data_inputs(), *_precision_inputs()]
    return [*_subject_inputs(), *learning, *_preview_inputs(), *_later_inputs()]


def _subject_inputs() -> list[io.Input]:
    return [
        io.Model.Input(
            "model", tooltip="From Load Checkpoint or Load Diffusion Model. A LoRA on the model stays active."
        ),
        io.Clip.Input("clip", tooltip="The CLIP of the same checkpoint."),
        io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
        io.Image.Input(
            "images",
            tooltip="About five pictures of the subject, as a batch or a list. All sizes and shapes are allowed.",
        ),
        io.Mask.Input(
            "masks",
            optional=True,
            tooltip="One mask for each picture, white where the subject is; soft edges are allowed. With "
            "masks, the subject is learned and its surroundings are not.",
        ),
        io.String.Input(
            "word", default="my_subject", tooltip="The concept word: the name of the subject in your prompts."
        ),
        io.String.Input(
            "superclass",
            default="dog",
            tooltip="What the subject is: one or several words, such as dog or teddy bear.",
        ),
        StatisticsIO.Input(
            "statistics",
            optional=True,
            tooltip="From Perfusion Text Statistics. Not connected: measured once for this CLIP and kept on disk.",
        ),
    ]


def _size_inputs() -> list[io.Input]:
    return [
        io.Int.Input("steps", default=400, min=1, max=10_000, tooltip="Optimiser steps. A few hundred are usual."),
        io.Int.Input("batch_size", default=16, min=1, max=64, tooltip="Pictures in each step. The paper uses 16."),
        io.Int.Input(
            "micro_batch",
            default=0,
            min=0,
            max=64,
            tooltip="Pictures computed at once; their gradients add up to a batch. 0: the whole batch, halved "
            "when memory runs out; on a CPU, 4.",
        ),
        io.Int.Input(
            "resolution",
            default=512,
            min=64,
            max=2048,
            step=8,
            tooltip="Larger pictures are scaled down to the area of a square with this side. Their shape "
            "stays. 512 for SD 1.x, 768 for SD 2.x, 1024 for SDXL.",
        ),
    ]


def _method_inputs() -> list[io.Input]:
    return [
        expert(
            io.Float.Input(
                "value_learning_rate",
                default=0.03,
                min=0.0,
                max=1.0,
                step=0.001,
                tooltip="Learning rate of the values. The paper uses 0.03. For transformers, such as Flux, it is a "
                "share of the size of the model's own values.",
            )
        ),
        expert(
            io.Float.Input(
                "word_learning_rate",
                default=0.006,
                min=0.0,
                max=1.0,
                step=0.001,
                tooltip="Learning rate of the word's embedding. The paper uses 0.006. For transformers, such as Anima, "
                "it is a share of the embedding's size.",
            )
        ),
        expert(bias_input(0.75, "The gate's bias in training. The paper uses 0.75.")),
        temperature_input(0.1, "The gate's temperature in training. The paper uses 0.1."),
        key_locking_input(),
    ]


def _data_inputs() -> list[io.Input]:
    return [
        io.Boolean.Input(
            "flip",
            default=True,
            tooltip="Also train on mirrored pictures. Switch it off where left and right matter, as in text and logos.",
        ),
        io.String.Input(
            "templates",
            default="",
            multiline=True,
            tooltip="Your own sentences, one on each line, with {} in place of the subject. Empty: the "
            "built-in sentences.",
        ),
        io.String.Input(
            "captions",
            default="",
            multiline=True,
            tooltip="One caption for each picture, one on each line or connected as a list, with {}, the word or "
            "the superclass for the subject. Empty: templates are used.",
        ),
        seed_input("Another seed gives another training."),
    ]


def _precision_inputs() -> list[io.Input]:
    return [
        expert(
            io.Combo.Input(
                "dtype",
                options=["auto", "float32", "bfloat16", "float16"],
                default="auto",
                tooltip="The precision of the computation. auto: bfloat16 on a GPU that supports it, otherwise "
                "float32.",
            )
        ),
        io.Boolean.Input(
            "gradient_checkpointing",
            default=False,
            tooltip="Less memory, slower: activations are computed twice.",
        ),
    ]


def _preview_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "preview_every",
            default=100,
            min=0,
            max=10_000,
            tooltip="Steps between two previews on the node. 0: no previews.",
        ),
        io.String.Input(
            "preview_prompt",
            default="a photo of a {}",
            tooltip="The prompt of the previews, with {} in place of the subject.",
        ),
    ]


def _later_inputs() -> list[io.Input]:
    """Optional, so that a workflow in API form that was saved without them still runs."""
    return [
        io.Int.Input(
            "snapshot_every",
            default=0,
            min=0,
            max=10_000,
            optional=True,
            tooltip="Steps between two snapshots of the concept, for Load Perfusion Concept. 0: none.",
        ),
        io.Combo.Input(
            "gate",
            options=list(GATES),
            default="auto",
            optional=True,
            tooltip="What is learned. learned word: the paper's method, a word and its values. position: the values "
            "alone, at the superclass's own words; less memory, and no text statistics. auto: learned word for SD 1.x, "
            "SD 2.x, SDXL, Anima and Cosmos-Predict2, position for other models.",
        ),
        expert(
            io.Combo.Input(
                "layers",
                options=list(LAYERS),
                default="auto",
                optional=True,
                tooltip="The layers that learn values, with the gate position. later half: the last half of them, for "
                "half the file and less memory. auto: later half where text and picture share one attention, as in "
                "Flux and Z-Image, and all in other models. In our tests on a small Z-Image the later half kept the "
                "subject better, alone and beside a second concept (benchmarks/RESULTS.md).",
            )
        ),
    ]
