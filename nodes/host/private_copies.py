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
LARGE_TENSOR = 2**14


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


def private_copy(patcher, name: str, dtype: torch.dtype | None = None) -> nn.Module:
    """The network ``name`` of a loaded model, frozen, on its load device; call it outside inference mode.

    Modules and parameters are its own, the weights' memory is the host's: only what is not in ``dtype`` (none: any
    will do), or what the host patches in place for as long as a hook is active, is copied.
    """
    module = getattr(patcher.model, name)
    changing = {key.removeprefix(f"{name}.") for key in patcher.hook_backup if key.startswith(f"{name}.")}
    # deepcopy takes what it finds here for done.
    known = {
        id(tensor): _own_tensor(tensor, dtype, shared=key not in changing)
        for key, tensor in (*module.named_parameters(), *module.named_buffers())
        if type(tensor) in (Tensor, nn.Parameter)
    }
    copied = copy.deepcopy(module, known).requires_grad_(False).eval()
    return copied.to(patcher.load_device) if dtype is None else copied.to(patcher.load_device, dtype)


def _own_tensor(tensor: Tensor, dtype: torch.dtype | None, shared: bool) -> Tensor:
    """``tensor`` in ``dtype`` if it is of a floating one, over the same memory where it can be."""
    # A tensor made in inference mode cannot be saved for a backward pass; another one over its storage can.
    place = tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride()
    found = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(*place)
    if dtype is not None and tensor.is_floating_point():
        found = found.to(dtype)
    if not shared and found.data_ptr() == tensor.data_ptr():
        found = found.clone()
    return nn.Parameter(found, requires_grad=False) if isinstance(tensor, nn.Parameter) else found


class _FrozenLinear(torch.autograd.Function):
    """``x W^T + b`` in the dtype of ``x`` with a frozen ``W`` in another, of which no cast copy waits for backward."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return nn.functional.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return gradient @ weight.to(gradient.dtype), None, None


def keep_weights_small(text_encoder: nn.Module) -> None:
    """Let a private copy compute in float32 with weights of another dtype, cast one by one as they are needed."""
    for module in text_encoder.modules():
        if isinstance(module, nn.Linear) and type(module.weight) is nn.Parameter and "forward" not in vars(module):
            module.forward = _frozen_linear(module)


def _frozen_linear(module: nn.Linear):
    return lambda x: _FrozenLinear.apply(x, module.weight, module.bias)


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


def first_stage_identity(vae) -> str:
    """A fingerprint of a VAE by its larger weights: the host may hold the small ones in one dtype or another."""
    return fingerprint(
        (name, tensor) for name, tensor in vae.first_stage_model.named_parameters() if tensor.numel() >= LARGE_TENSOR
    )
