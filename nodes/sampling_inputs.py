"""The inputs of nodes that draw by themselves: the model without a concept, and those of KSampler."""

from __future__ import annotations

import comfy.samplers
from comfy_api.latest import io

from .schema import seed_input


def model_inputs() -> list[io.Input]:
    """What is drawn with, for nodes that apply the concept themselves."""
    return [
        io.Model.Input(
            "model", tooltip="The model, without Apply Key-Locked Attention: this node applies the concept."
        ),
        io.Clip.Input("clip", tooltip="The CLIP of the same checkpoint."),
        io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
    ]


def sampling_inputs() -> list[io.Input]:
    """In the order and with the defaults of KSampler."""
    return [
        seed_input("The same for all pictures, so that they differ in nothing else."),
        io.Int.Input("steps", default=20, min=1, max=10_000, tooltip="Steps of the sampler, as in KSampler."),
        io.Float.Input(
            "cfg", default=6.0, min=0.0, max=100.0, step=0.1, tooltip="The guidance, as in KSampler. The paper uses 6."
        ),
        io.Combo.Input("sampler_name", options=comfy.samplers.KSampler.SAMPLERS, tooltip="As in KSampler."),
        io.Combo.Input("scheduler", options=comfy.samplers.KSampler.SCHEDULERS, tooltip="As in KSampler."),
        io.Float.Input(
            "denoise",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="As in KSampler. Below 1, the pictures start from latent_image.",
        ),
    ]


def judging_inputs() -> list[io.Input]:
    """What scores are measured with."""
    return [
        io.Image.Input(
            "images",
            optional=True,
            tooltip="The training pictures, as a batch or a list. Connect them for scores.",
        ),
        io.Mask.Input(
            "masks",
            optional=True,
            tooltip="The masks of the training pictures, white where the subject is. Identity is then measured on the "
            "subject alone.",
        ),
        io.ClipVision.Input(
            "clip_vision",
            optional=True,
            tooltip="From Load CLIP Vision. Scores are then cosines of its encodings. Not connected: the model's own "
            "errors are used, which needs no download.",
        ),
    ]
