"""Copies of the host's networks for training: their own modules, through which gradients pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import MethodType

import comfy.model_management
import torch
from comfy.model_patcher import LowVramPatch
from comfy.quant_ops import QuantizedTensor
from torch import Tensor, nn

from ..families.recompute import recomputed
from .device_memory import pages
from .frozen_layers import is_known

PAGING = ("_v", "_v_weight", "_v_bias", "_v_block", "_pins", "_pin_state", "_prefetch")
PATCHES = ("weight_lowvram_function", "bias_lowvram_function")
"""What a host that pages weights hangs on its modules: a copy has its weights where it needs them, patches included."""


def loaded(patcher):
    """``patcher`` with all weights and LoRA patches in place, or where ``patched_weights`` finds them.

    Raises RuntimeError for a paging host's model that hooks change and that cannot be loaded otherwise.
    """
    if pages(patcher) and patcher.forced_hooks is not None:
        try:
            patcher = patcher.clone(disable_dynamic=True)
        except RuntimeError as error:
            raise RuntimeError(
                "The loader of this model does not let it be copied for training with hooks on it. Load it with Load "
                "Checkpoint, take the hooks off, or start ComfyUI with --disable-dynamic-vram."
            ) from error
    comfy.model_management.load_models_gpu([patcher], force_full_load=True)
    return patcher


def with_own_patches(patcher):
    """``patcher``, whose weights in memory have no other clone's LoRAs: those are taken out, and its own put in."""
    if patcher.model.current_weight_patches_uuid not in (None, patcher.patches_uuid):
        comfy.model_management.load_models_gpu([patcher])
    return patcher


def patched_weights(patcher, name: str) -> Iterator[tuple[str, Tensor]]:
    """The parameters of the network ``name`` as they act, with the LoRA patches the host would add at each use."""
    for key, tensor in _patched(patcher, name):
        dtype = _cast_to(patcher, f"{name}.{key}", tensor)
        yield key, tensor if dtype is None else _parameter(tensor.to(patcher.load_device, dtype))


def _patched(patcher, name: str, wanted: Callable[[str], bool] = bool) -> Iterator[tuple[str, Tensor]]:
    """Those that are ``wanted``, before the host casts them."""
    for key, tensor in getattr(patcher.model, name).named_parameters():
        whole = f"{name}.{key}"
        if not wanted(key):
            continue
        if whole in patcher.patches and whole not in patcher.backup and is_known(tensor):
            with torch.no_grad():
                patched = patcher.patch_weight_to_device(whole, device_to=patcher.load_device, return_weight=True)
            tensor = _parameter(patched)
        yield key, tensor


def acting_weights(patcher, name: str, wanted: Callable[[str], bool] = bool) -> Iterator[tuple]:
    """The same to be read as numbers: of other packs' kinds the bytes, and what LoRAs have their layers add to them.

    (key, tensor), and with a third part the dtype that the host casts the tensor to: who reads few numbers of it has
    no need to cast and move all.
    """
    for key, tensor in _patched(patcher, name, wanted):
        dtype = _cast_to(patcher, f"{name}.{key}", tensor)
        if is_known(tensor):
            yield (key, tensor) if dtype is None else (key, tensor, dtype)
        else:
            yield key, tensor.as_subclass(Tensor)
            added = _numbers_in(patcher.patches.get(f"{name}.{key}", ()))
            yield from ((f"{key} patch {number}", part) for number, part in enumerate(added))


def _numbers_in(value) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (int, float)):
        yield torch.tensor([float(value)])
    for part in value if isinstance(value, (tuple, list)) else (getattr(value, "weights", None) or ()):
        yield from _numbers_in(part)


def private_copy(patcher, name: str) -> nn.Module:
    """The network ``name`` of a loaded model, frozen, on its load device; call it outside inference mode.

    Modules and parameters are its own, the weights' memory is the host's. Copied is only what lies on another device,
    what the host patches at each use, and what it patches in place for as long as a hook is active.
    """
    module = getattr(patcher.model, name)
    changing = {key.removeprefix(f"{name}.") for key in patcher.hook_backup if key.startswith(f"{name}.")}
    # deepcopy takes what it finds here for done.
    known = _left_out(module)
    acting = (*patched_weights(patcher, name), *module.named_buffers())
    theirs = (*module.parameters(), *module.buffers())
    for (key, tensor), original in zip(acting, theirs, strict=True):
        if is_known(tensor) or _has_memory_of_its_own(tensor):
            known[id(original)] = _own_tensor(tensor, patcher.load_device, shared=key not in changing)
    copied = copy.deepcopy(module, known).requires_grad_(False).eval()
    for part in copied.modules():
        for attribute in (*PAGING, *PATCHES):
            vars(part).pop(attribute, None)
        own = (*part.parameters(recurse=False), *part.buffers(recurse=False))
        if any(tensor.device != patcher.load_device for tensor in own):
            part._apply(lambda tensor: tensor.to(patcher.load_device), recurse=False)
    return copied


def _left_out(module: nn.Module) -> dict[int, object]:
    """What a copy is not to copy: a paging host's bookkeeping, and patches that its weights already have."""
    known: dict[int, object] = {}
    for part in module.modules():
        own = vars(part)
        known |= {id(own[name]): None for name in (*PAGING, *PATCHES) if own.get(name) is not None}
        for functions in (own[name] for name in ("weight_function", "bias_function") if name in own):
            known[id(functions)] = [f for f in functions if not isinstance(f, LowVramPatch)]
    return known


def _has_memory_of_its_own(tensor: Tensor) -> bool:
    """Whether a weight of another pack's kind is bytes that its class reads, and no shell around other tensors."""
    return type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__


def _own_tensor(tensor: Tensor, device: torch.device, shared: bool) -> Tensor:
    """``tensor`` on ``device``, over the same memory where it can be."""
    if isinstance(tensor, QuantizedTensor):
        names, how = tensor.__tensor_flatten__()
        parts = {name: _own_tensor(getattr(tensor, name), device, shared) for name in names}
        own = type(tensor).__tensor_unflatten__(parts, how, tensor.shape, tensor.stride())
        return _parameter(own) if isinstance(tensor, nn.Parameter) else own
    if not is_known(tensor):
        # What its class knows of it, such as LoRAs that wait for each use, the host may take off it later.
        own = _own_tensor(tensor.as_subclass(Tensor), device, shared).as_subclass(type(tensor))
        vars(own).update({name: copy.copy(value) for name, value in vars(tensor).items()})
        return own
    if tensor.is_meta:  # a weight that its file lacks, as the host fills it in
        own = torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
    else:
        # A tensor made in inference mode cannot be saved for a backward pass; another one over its storage can.
        place = tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride()
        own = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(*place).to(device)
        if not shared and own.data_ptr() == tensor.data_ptr():
            own = own.clone()
    return _parameter(own) if isinstance(tensor, nn.Parameter) else own


def _parameter(tensor: Tensor) -> Tensor:
    """``tensor`` as a frozen parameter. torch would copy a quantised one's scales, so that it is only marked as one."""
    if isinstance(tensor, QuantizedTensor):
        tensor._is_param = True
        return tensor
    return nn.Parameter(tensor, requires_grad=False)


def _cast_to(patcher, key: str, tensor: Tensor) -> torch.dtype | None:
    """A paging host keeps weights as their file has them, and casts them to the model's dtype on the way."""
    path, _, name = key.rpartition(".")
    dtype = getattr(patcher.model.get_submodule(path), f"{name}_comfy_model_dtype", None) if pages(patcher) else None
    return None if isinstance(tensor, QuantizedTensor) or tensor.dtype == dtype else dtype


def protect_from_in_place_sums(text_encoder: nn.Module) -> None:
    """Let norms of a private copy keep their own input: the host adds to it in place, which backward must not see."""
    for name, module in text_encoder.named_modules():
        if "layer_norm" in name:
            module.register_forward_pre_hook(lambda _module, args: (args[0].clone(), *args[1:]))
        elif hasattr(module, "input_layernorm") and not hasattr(module, "pre_feedforward_layernorm"):
            module.forward = MethodType(_with_own_sums, module)


def _with_own_sums(layer: nn.Module, x: Tensor, **others):
    """A layer of the host's Llama kind, which writes its output into its input."""
    attended, keys_and_values = layer.self_attn(hidden_states=layer.input_layernorm(x), **others)
    x = x + attended
    return x + layer.mlp(layer.post_attention_layernorm(x)), keys_and_values


def checkpoint_gradients(network: nn.Module) -> None:
    """Compute the blocks of a private copy again in the backward pass, instead of keeping their activations.

    Of a U-Net: residual blocks, and transformers block by block or, where they have one block, whole. Of a text
    encoder: its layers.
    """
    for module in network.modules():
        if _is_text_layer(module):
            # The host adds to its input in place; what is computed again must start from it as it was.
            module.forward = recomputed(_on_a_copy(module.forward))
        elif _is_unet_block(module):
            module.forward = recomputed(module.forward)


def _is_text_layer(module: nn.Module) -> bool:
    has_parts = hasattr(module, "self_attn") and hasattr(module, "mlp")
    return has_parts or type(module).__name__ == "T5Block"


def _is_unet_block(module: nn.Module) -> bool:
    if hasattr(module, "transformer_blocks"):
        return len(module.transformer_blocks) == 1
    return all(hasattr(module, part) for part in ("attn2", "ff")) or hasattr(module, "in_layers")


def _on_a_copy(forward):
    return lambda x, *args, **kwargs: forward(x.clone(), *args, **kwargs)
