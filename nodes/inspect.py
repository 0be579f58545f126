"""Inspect Perfusion Gates: which words of a prompt each concept takes over, before any sampling."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..perfusion_ops.edit.gate_report import report
from .drawing.gate_picture import gate_picture
from .host.gates import gate_table
from .schema import schema


class PerfusionInspectGates(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "gate", "bias", "temperature", "similarity", "tokens", "inspect"],
            node_id="PerfusionInspectGates",
            display_name="Inspect Perfusion Gates",
            description="Shows which words of a prompt each concept takes over, and which it leaves to the text, "
            "without sampling: the gate at every token, and how it changes with bias and temperature.",
            inputs=[
                io.Model.Input("model", tooltip="The model from Apply Key-Locked Attention; the last one of a chain."),
                io.Clip.Input("clip", tooltip="The CLIP from the same Apply Key-Locked Attention."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt to look at, as you write it in CLIP Text Encode.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="picture",
                    tooltip="The gates as a picture: a row for each concept, a cell for each token.",
                ),
                io.String.Output(display_name="report", tooltip="The same as text, with all numbers."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model, clip, prompt) -> io.NodeOutput:
        table = gate_table(model, clip, prompt)
        picture, text = gate_picture(table), report(table)
        shown = {**ui.PreviewImage(picture, cls=cls).as_dict(), **ui.PreviewText(text).as_dict()}
        return io.NodeOutput(picture, text, ui=shown)
