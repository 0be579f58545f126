"""Perfusion Text Statistics: the uncentered covariance of the user's own text encoder."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..perfusion_ops.text.captions import captions as shipped_captions
from .host.statistics import CAPTION_SEED, DEFAULT_CAPTIONS, measured
from .schema import StatisticsIO, schema


class PerfusionTextStatistics(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "covariance", "text statistics"],
            node_id="PerfusionTextStatistics",
            display_name="Perfusion Text Statistics",
            description="Measures which directions a text encoder's encodings use, over many captions. Train Perfusion "
            "Concept does it by itself when needed; use this node for captions of your own.",
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP the concept will be trained with."),
                io.Int.Input(
                    "captions",
                    default=DEFAULT_CAPTIONS,
                    min=100,
                    max=100_000,
                    step=100,
                    tooltip="How many of the shipped captions to use. The paper used 100,000.",
                ),
                io.String.Input(
                    "own_captions",
                    default="",
                    multiline=True,
                    tooltip="Captions of your own, one a line, in place of the shipped ones; thousands are needed.",
                ),
            ],
            outputs=[StatisticsIO.Output(display_name="statistics", tooltip="For Train Perfusion Concept.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, clip, captions, own_captions="") -> io.NodeOutput:
        own = [line.strip() for line in own_captions.splitlines() if line.strip()]
        statistics = measured(clip, own or shipped_captions(captions, CAPTION_SEED))
        text = f"{int(statistics.counts.sum()):,} tokens of encoder {statistics.encoder}."
        return io.NodeOutput(statistics, ui=ui.PreviewText(text))
