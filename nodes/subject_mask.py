"""Perfusion Subject Mask: where the subject is in its pictures, by the model's own attention to the superclass."""

from __future__ import annotations

from comfy_api.latest import io, ui

from .drawing.overlay import overlay, sheet
from .host.subject_masks import MaskReader
from .schema import expert, schema


class PerfusionSubjectMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "mask", "segmentation", "attention", "training mask"],
            node_id="PerfusionSubjectMask",
            display_name="Perfusion Subject Mask",
            description="Finds the subject in its pictures by the model's own attention to the superclass, as soft "
            "masks for Train Perfusion Concept. No other model is needed.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="From Load Checkpoint: SD 1.x, SD 2.x or SDXL."),
                io.Clip.Input("clip", tooltip="The CLIP of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                io.Image.Input(
                    "images", tooltip="Pictures of the subject, as a batch or a list. All sizes and shapes are allowed."
                ),
                io.String.Input(
                    "superclass",
                    default="dog",
                    tooltip="What to look for: one or several words, such as dog or teddy bear.",
                ),
                expert(
                    io.Float.Input(
                        "threshold",
                        default=0.0,
                        min=-0.5,
                        max=0.5,
                        step=0.01,
                        tooltip="Moves the mask's edge. Below 0 the mask grows, above 0 it shrinks.",
                    )
                ),
                expert(
                    io.Int.Input(
                        "resolution",
                        default=512,
                        min=64,
                        max=2048,
                        step=8,
                        tooltip="Larger pictures are looked at scaled down to the area of a square with this side. "
                        "Masks have the size of the pictures.",
                    )
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    tooltip="Of the noise on the pictures. The same seed gives the same masks.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="masks",
                    is_output_list=True,
                    tooltip="One mask for each picture, in its size, for the masks input of Train Perfusion Concept.",
                ),
                io.Image.Output(
                    display_name="overlay",
                    is_output_list=True,
                    tooltip="The pictures with everything outside of the mask darkened.",
                ),
            ],
        )

    @classmethod
    def execute(cls, images, **inputs: list) -> io.NodeOutput:
        reader = MaskReader(**{name: values[0] for name, values in inputs.items()})
        masks = reader.masks(images)
        shown = [overlay(group[..., :3].float(), mask) for group, mask in zip(images, masks, strict=True)]
        return io.NodeOutput(masks, shown, ui=ui.PreviewImage(sheet(shown), cls=cls))
