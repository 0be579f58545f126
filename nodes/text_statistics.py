"""Perfusion Text Statistics: the uncentered covariance of the user's own text encoder, measured once and kept."""

from __future__ import annotations

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io, ui

from ..perfusion_ops.captions import captions as shipped_captions
from ..perfusion_ops.captions import corpus_fingerprint
from ..perfusion_ops.covariance import TokenKind, UncenteredCovariance
from . import folders
from .host_copies import fingerprint
from .host_encoder import encode_captions
from .host_text import text_encoder, text_encoder_names
from .schema import StatisticsIO, schema
from .short_prompts import batches, cut_after

DEFAULT_CAPTIONS = 4000
CAPTION_SEED = 0
BATCH = 16
PADDED_CAPTIONS = 500
"""Captions encoded with all their padding, for its second moment: some 32,000 tokens of it. The others are encoded to
their end token; 4,000 shipped captions are then 27 % of the tokens."""


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


def measured(clip, captions: list[str]) -> UncenteredCovariance:
    """The statistics of ``clip`` over ``captions``: from disk when they were measured before."""
    clip.load_model()
    encoder = fingerprint(
        (f"{name}.{key}", tensor)
        for name in text_encoder_names(clip)
        for key, tensor in text_encoder(clip, name).named_parameters()
    )
    path = folders.statistics_folder() / f"{encoder}_{corpus_fingerprint(captions)}{folders.EXTENSION}"
    if path.exists():
        return UncenteredCovariance.load(path)
    statistics = _measure(clip, captions, encoder)
    folders.made(path.parent)
    statistics.save(path)
    return statistics


@torch.no_grad()
def _measure(clip, captions: list[str], encoder: str) -> UncenteredCovariance:
    statistics, done = None, 0
    progress = comfy.utils.ProgressBar(len(captions))
    for batch, tokens in batches(clip, captions, PADDED_CAPTIONS, BATCH):
        comfy.model_management.throw_exception_if_processing_interrupted()
        with cut_after(clip, tokens):
            encodings, kinds = encode_captions(clip, batch)
        kinds = kinds[:, :tokens]
        if tokens is not None:
            # What padding is left is that of the shorter captions alone: no fair sample.
            kinds = torch.where(kinds == TokenKind.PADDING, -1, kinds)
        if statistics is None:
            statistics = UncenteredCovariance(encodings.shape[-1], encoder, corpus_fingerprint(captions))
        statistics.update(encodings, kinds)
        done += len(batch)
        progress.update_absolute(done)
    return statistics
