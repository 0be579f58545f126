"""The text encoder's uncentered covariance: measured once on the user's own CLIP, and kept on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import comfy.model_management
import comfy.utils
import torch

from ...perfusion_ops import GateKind
from ...perfusion_ops.text.captions import corpus_fingerprint
from ...perfusion_ops.text.covariance import TokenKind, UncenteredCovariance
from ..families.family import family_of
from . import folders
from .belonging import check_text_once
from .clip import encoder_attribute, text_encoder_names, tokenizer_names
from .encoders import encode_captions
from .fingerprints import fingerprint
from .messages import running_node, show_on_node
from .network_reader import NetworkReader, as_encoded
from .private_copies import acting_weights, loaded, with_own_patches
from .short_prompts import batches, cut_after
from .whole_prompts import encode_whole, reads_whole

DEFAULT_CAPTIONS = 4000
CAPTION_SEED = 0
BATCH = 16
PADDED_CAPTIONS = 500
"""Captions encoded with all their padding, for its second moment: some 32,000 tokens of it. The others are encoded to
their end token; 4,000 shipped captions are then 27 % of the tokens."""


def measured(clip, captions: list[str], model=None) -> UncenteredCovariance:
    """The statistics of ``clip`` over ``captions``, from disk if they were measured before.

    Some models read what layers of their own make of the text encoder's encodings: then ``model`` must be given.
    Raises ValueError if it is missing, for a model whose concepts need no statistics, and for another model's CLIP.
    """
    family = None if model is None else family_of(model)
    if family is not None and GateKind.LEARNED_WORD not in family.gates:
        raise ValueError(
            f"{family.title} learns by the position gate alone, which needs no text statistics. Take this node out."
        )
    if model is not None:
        check_text_once(model, clip)
    if reads_whole(clip):
        return _measured_as_read(clip, captions, model)
    clip.load_model()
    encoder = fingerprint(_encoder_parameters(clip))
    return _kept(encoder, captions, lambda: _measure(clip, captions, encoder))


def _encoder_parameters(clip) -> Iterator[tuple]:
    """All that encodings are made of, with the layer that CLIP Set Last Layer chose. Checkpoints of SD 1.x lack the
    projection of pooled encodings, and the host leaves it as the memory was: with it, statistics would be measured
    anew at every start."""
    if clip.layer_idx is not None:
        yield "last layer", torch.tensor([float(clip.layer_idx)])
    for name in text_encoder_names(clip):
        for key, *weight in acting_weights(clip.patcher, encoder_attribute(clip, name)):
            if "text_projection" not in key:
                yield f"{name}.{key}", *weight


def text_identity(clip) -> tuple:
    """All that decides what ``clip`` makes of a prompt: weights with their LoRAs, its kind, and options of tokenizers.

    Load CLIP gives one file another kind for each of its types: other sentences around a prompt, other layers.
    """
    kinds = [type(part).__name__ for part in (clip.cond_stage_model, clip.tokenizer)]
    with_own_patches(clip.patcher)
    return fingerprint(_encoder_parameters(clip)), *kinds, sorted(getattr(clip, "tokenizer_options", {}).items())


def _kept(encoder: str, captions: list[str], measure: Callable[[], UncenteredCovariance]) -> UncenteredCovariance:
    """From disk, or measured and saved in the first folder that takes the file. Raises ValueError if none does."""
    name = f"{encoder}_{corpus_fingerprint(captions)}{folders.EXTENSION}"
    paths = [folder / name for folder in folders.statistics_folders()]
    found = next(filter(Path.exists, paths), None)
    if found is not None:
        return UncenteredCovariance.load(found)
    statistics = measure()
    for path in paths[:-1]:
        try:
            return _saved(statistics, path)
        except ValueError as error:
            logging.info("Perfusion: %s", error)
    return _saved(statistics, paths[-1])


def _saved(statistics: UncenteredCovariance, path: Path) -> UncenteredCovariance:
    """As the file gives them back: it keeps half of a matrix whose halves differ by rounding on some machines."""
    folders.made(path.parent)
    statistics.save(path)
    return UncenteredCovariance.load(path)


def _measured_as_read(clip, captions: list[str], model) -> UncenteredCovariance:
    """The same for text encoders that read prompts as a whole, and for networks with layers behind them."""
    if model is None and set(tokenizer_names(clip)) != set(text_encoder_names(clip)):
        raise ValueError(
            "The model of this CLIP reads its text by layers of its own; expected the model as well. Connect it to the "
            "input model of Perfusion Text Statistics, or let Train Perfusion Concept measure."
        )
    clip.load_model()
    reader = None if model is None else NetworkReader.of(loaded(model))
    parameters = () if reader is None else reader.parameters()
    encoder = fingerprint((*_encoder_parameters(clip), *parameters))
    return _kept(encoder, captions, lambda: _measure_as_read(clip, captions, encoder, reader))


class _Told:
    """On its node, what takes so long and when it ends: a processor needs many minutes."""

    def __init__(self, total: int) -> None:
        self.total, self.started = total, time.monotonic()
        self.bar = comfy.utils.ProgressBar(total)

    def __call__(self, done: int) -> None:
        self.bar.update_absolute(done)
        seconds = (time.monotonic() - self.started) / done * (self.total - done)
        left = time.strftime("%H:%M:%S", time.gmtime(seconds))
        line = f"Measuring the text encoder, once for this CLIP: {done}/{self.total} captions · {left} left"
        show_on_node(line if done < self.total else "", running_node())


@torch.inference_mode()
def _measure_as_read(clip, captions: list[str], encoder: str, reader: NetworkReader | None) -> UncenteredCovariance:
    statistics = None
    told = _Told(len(captions))
    for done in range(0, len(captions), BATCH):
        comfy.model_management.throw_exception_if_processing_interrupted()
        for encodings, kinds in encode_whole(clip, captions[done : done + BATCH], reader or as_encoded):
            if statistics is None:
                statistics = UncenteredCovariance(encodings.shape[-1], encoder, corpus_fingerprint(captions))
            statistics.update(encodings, kinds)
        told(min(done + BATCH, len(captions)))
    return statistics


@torch.no_grad()
def _measure(clip, captions: list[str], encoder: str) -> UncenteredCovariance:
    statistics, done = None, 0
    told = _Told(len(captions))
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
        told(done)
    return statistics
