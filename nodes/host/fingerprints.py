"""Short names made of weights: the same in every dtype, read from an accelerator in one go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

SAMPLES_PER_TENSOR = 64
LARGE_TENSOR = 2**14


def fingerprint(tensors: Iterable[tuple]) -> str:
    """16 hex digits of weights: names, shapes and a sample of each tensor's numbers, the same in fp16 and fp32.

    ``tensors`` are (name, tensor), or (name, tensor, the dtype it acts in).
    """
    names, samples = [], []
    for name, tensor, *acts_in in tensors:
        names.append((name, tuple(tensor.shape)))
        flat = tensor.detach().flatten()
        step = max(1, flat.numel() // SAMPLES_PER_TENSOR)
        sample = flat[::step][:SAMPLES_PER_TENSOR]
        for dtype in (*acts_in, torch.float16):
            # Not every accelerator knows float8.
            sample = (sample.cpu() if dtype.itemsize == 1 else sample).to(dtype)
        # A copy, not a view: a weight made for this reading alone can go.
        samples.append(sample.clone())
    digest = hashlib.sha256()
    for name, numbers in zip(names, _numbers(samples), strict=True):
        digest.update(repr((*name, numbers)).encode())
    return digest.hexdigest()[:16]


def _numbers(samples: list[Tensor]) -> list[list[float]]:
    """One transfer for each device: an accelerator waits at every one."""
    places: dict[torch.device, list[int]] = {}
    for number, sample in enumerate(samples):
        places.setdefault(sample.device, []).append(number)
    found: dict[int, list[float]] = {}
    for numbers in places.values():
        together = iter(torch.cat([samples[n] for n in numbers]).tolist())
        found |= {n: list(islice(together, len(samples[n]))) for n in numbers}
    return [found[n] for n in range(len(samples))]


def encoder_identity(encoders: dict[str, nn.Module]) -> str:
    """A fingerprint of text encoders by their embeddings and norms, which LoRAs leave alone."""
    return fingerprint(
        (f"{name}.{key}", tensor)
        for name, encoder in sorted(encoders.items())
        for key, tensor in encoder.named_parameters()
        if is_of_identity(key)
    )


def is_of_identity(key: str) -> bool:
    """Whether a text encoder is told by this weight."""
    return "embedding" in key or "norm" in key


def first_stage_identity(vae) -> str:
    """A fingerprint of a VAE by its larger weights: the host may hold the small ones in one dtype or another."""
    return fingerprint(
        (name, tensor) for name, tensor in vae.first_stage_model.named_parameters() if tensor.numel() >= LARGE_TENSOR
    )
