"""The text encoder's uncentered covariance: measured once on the user's own CLIP, and kept on disk."""

from __future__ import annotations

import comfy.model_management
import comfy.utils
import torch

from ...perfusion_ops.text.captions import corpus_fingerprint
from ...perfusion_ops.text.covariance import TokenKind, UncenteredCovariance
from . import folders
from .clip import text_encoder, text_encoder_names
from .encoders import encode_captions
from .fingerprints import fingerprint
from .short_prompts import batches, cut_after

DEFAULT_CAPTIONS = 4000
CAPTION_SEED = 0
BATCH = 16
PADDED_CAPTIONS = 500
"""Captions encoded with all their padding, for its second moment: some 32,000 tokens of it. The others are encoded to
their end token; 4,000 shipped captions are then 27 % of the tokens."""


def measured(clip, captions: list[str]) -> UncenteredCovariance:
    """The statistics of ``clip`` over ``captions``, from disk if they were measured before."""
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
