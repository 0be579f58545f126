"""From a peer's outputs to our concept: what their module computes for the word, in our terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .concept import Concept
from .peer_files import PeerConcept

TRAINED_SHARE = 0.5
"""Positions whose values moved at least this share of the most moved one count as trained."""


@dataclass(frozen=True)
class Conversion:
    """A peer's concept as ours, and how exact it is."""

    concept: Concept
    positions: tuple[int, ...]
    """Token positions (from 0) whose outputs were averaged; empty where the file has one vector a layer."""
    key_error: float
    """``|W_K i_s - o*_K| / |o*_K|`` over all layers: 0 if the file was trained on this model's keys."""
    value_spread: float
    """``|o*_V at a position - what is kept| / |o*_V|`` over the averaged positions; 0 for one vector a layer."""


def convert(
    peer: PeerConcept,
    projections: Mapping[str, tuple[Tensor, Tensor]],
    texts: Mapping[str, str],
    encoder: str,
) -> Conversion:
    """The concept that edits as ``peer`` does in a model with these ``projections``.

    A key's output is ``o*_K = W_K i_s``, so ``i_s`` is what all layers' keys together determine (least squares); with
    it the value residual is ``o*_V - W_V i_s``. The dual is ``C^-1 i*`` with the file's own inverse.

    Args:
        projections: layer name -> the weights ``W_K`` and ``W_V`` (d_out, d).
        texts: ``word``, ``superclass`` and ``base_family``.
        encoder: name of the text encoder that the word's embedding belongs to.

    Raises ValueError when the file gives no valid concept.
    """
    weights = torch.cat([projections[name][0] for name in peer.keys]).double()
    keys = torch.cat([peer.keys[name] for name in peer.keys], -1).double()
    superclasses = torch.linalg.lstsq(weights, keys.mT, driver="gelsd").solution.mT
    key_error = ((superclasses @ weights.mT - keys).norm() / keys.norm().clamp_min(1e-30)).item()
    residuals = {
        name: values.double() - superclasses @ projections[name][1].double().mT for name, values in peer.values.items()
    }
    moved = torch.cat(list(residuals.values()), -1).norm(dim=-1)
    chosen = (moved >= TRAINED_SHARE * moved.max()).nonzero().flatten()
    kept = {name: values[chosen].double().mean(0) for name, values in peer.values.items()}
    superclass = superclasses[chosen].mean(0)
    concept = Concept(
        **texts,
        target_input=peer.target_input,
        target_dual=(peer.inverse_covariance.double() @ peer.target_input.double()).float(),
        superclass_encoding=superclass.float(),
        word_embeddings={encoder: peer.word_embedding},
        value_residuals={
            name: (value - projections[name][1].double() @ superclass).float() for name, value in kept.items()
        },
    )
    positions = tuple(chosen.tolist()) if len(moved) > 1 else ()
    return Conversion(concept, positions, key_error, _spread(peer.values, kept, chosen))


def _spread(values: Mapping[str, Tensor], kept: Mapping[str, Tensor], chosen: Tensor) -> float:
    whole = torch.cat([tensor[chosen].double() for tensor in values.values()], -1)
    mean = torch.cat(list(kept.values()))
    return ((whole - mean).norm() / whole.norm().clamp_min(1e-30)).item()
