"""Attention as packs with kernels of their own set it, such as SageAttention: computed by theirs, the host's not asked.
"""

from __future__ import annotations

import torch
from torch import Tensor


def own_attention(calls: list):
    """An override that counts its calls in ``calls`` and computes in float64; for ``transformer_options``."""

    def override(_attention, queries: Tensor, keys: Tensor, values: Tensor, heads: int, mask=None, **settings):
        calls.append(queries.shape)
        tensors = queries, keys, values
        if not settings.get("skip_reshape"):
            tensors = [t.reshape(*t.shape[:2], -1, queries.shape[-1] // heads).transpose(1, 2) for t in tensors]
        q, k, v = (tensor.double() for tensor in tensors)
        k, v = (tensor.repeat_interleave(q.shape[1] // tensor.shape[1], 1) for tensor in (k, v))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if mask is not None:
            mask = mask.unsqueeze(1) if mask.ndim == 3 else mask
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.double()
        output = (scores.softmax(-1) @ v).to(queries.dtype)
        return output if settings.get("skip_output_reshape") else output.transpose(1, 2).flatten(2)

    return {"optimized_attention_override": override}
