"""Copies of the host's networks to train with: their own weights, in which gradients may flow."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable

import comfy.model_management
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

SAMPLES_PER_TENSOR = 64


def loaded(patcher):
    """``patcher``, or a static clone of one that pages its weights, with all weights and LoRA patches in place.

    Raises RuntimeError when the host cannot make that clone.
    """
    if hasattr(patcher, "is_dynamic") and patcher.is_dynamic():
        try:
            patcher = patcher.clone(disable_dynamic=True)
        except RuntimeError as error:
            raise RuntimeError(
                "The loader of this model does not let it be copied for training. Load it with Load Checkpoint, or "
                "start ComfyUI with --disable-dynamic-vram."
            ) from error
    comfy.model_management.load_models_gpu([patcher], force_full_load=True)
    return patcher


def make_room(device: torch.device) -> None:
    """Let the host move its own models off an accelerator; it loads them again when it needs them."""
    if device.type != "cpu":
        comfy.model_management.free_memory(1e30, device)


def private_copy(module: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """``module`` with weights of its own, frozen, in ``dtype``; call it outside inference mode.

    Weights loaded in inference mode cannot take part in a backward pass; clones made outside of it can.
    """
    copied = copy.deepcopy(module).requires_grad_(False).eval()
    return copied if dtype is None else copied.to(dtype)


def protect_from_in_place_sums(text_encoder: nn.Module) -> None:
    """Let norms of a private copy keep their own input: the host adds to it in place, which backward must not see."""
    for name, module in text_encoder.named_modules():
        if "layer_norm" in name:
            module.register_forward_pre_hook(lambda _module, args: (args[0].clone(), *args[1:]))


def checkpoint_gradients(unet: nn.Module) -> None:
    """Compute a private copy's transformer blocks again in the backward pass instead of keeping their activations."""
    for module in unet.modules():
        if hasattr(module, "attn2") and hasattr(module, "ff"):
            module.forward = _recomputed(module.forward)


def _recomputed(forward):
    return lambda *args, **kwargs: checkpoint(forward, *args, use_reentrant=False, **kwargs)


def fingerprint(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """16 hex digits of weights: names, shapes and a sample of each tensor's numbers, the same in fp16 and fp32."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        flat = tensor.detach().flatten()
        sample = flat[:: max(1, flat.numel() // SAMPLES_PER_TENSOR)][:SAMPLES_PER_TENSOR]
        digest.update(repr((name, tuple(tensor.shape), sample.to("cpu", torch.float16).tolist())).encode())
    return digest.hexdigest()[:16]


def encoder_identity(encoders: dict[str, nn.Module]) -> str:
    """A fingerprint of text encoders by their embeddings and norms, which LoRAs leave alone."""
    return fingerprint(
        (f"{name}.{key}", tensor)
        for name, encoder in sorted(encoders.items())
        for key, tensor in encoder.named_parameters()
        if "embedding" in key or "norm" in key
    )
