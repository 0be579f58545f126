"""Perfusion Text Statistics: the uncentered covariance of the user's own text encoder."""

from __future__ import annotations

from comfy_api.latest import io

from ..perfusion_ops.text.captions import captions as shipped_captions
from .host import messages
from .host.statistics import CAPTION_SEED, DEFAULT_CAPTIONS, measured
from .schema import StatisticsIO, schema


class PerfusionTextStatistics(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "covariance", "text statistics"],
            node_id="PerfusionTextStatistics",
            display_name="Perfusion Text Statistics",
            description="Measures how a text encoder's encodings are spread, over many captions. Train Perfusion "
            "Concept does this when needed. Use this node for your own captions.",
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP that you will train the concept with."),
                io.Int.Input(
                    "captions",
                    default=DEFAULT_CAPTIONS,
                    min=100,
                    max=100_000,
                    step=100,
                    tooltip="How many of the built-in captions to use. The paper used 100,000 captions.",
                ),
                io.String.Input(
                    "own_captions",
                    default="",
                    multiline=True,
                    tooltip="Your own captions, one on each line, in place of the built-in ones. Thousands are needed.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="For Anima, Wan and PixArt: the model, whose own layers read the text before the concept "
                    "does. Other CLIPs need none.",
                ),
            ],
            outputs=[StatisticsIO.Output(display_name="statistics", tooltip="For Train Perfusion Concept.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, clip, captions, own_captions="", model=None) -> io.NodeOutput:
        own = [line.strip() for line in own_captions.splitlines() if line.strip()]
        statistics = measured(clip, own or shipped_captions(captions, CAPTION_SEED), model)
        text = f"{int(statistics.counts.sum()):,} tokens of encoder {statistics.encoder}."
        return io.NodeOutput(statistics, ui=messages.last_line(text))
