"""Weights of another pack's kind, packed in few bytes and unpacked by its own layers, as those of GGUF files are.

What such packs have in common: a tensor class whose ``shape`` is that of the numbers and not of the bytes, layers that
unpack it at each use, and LoRAs that hang on the tensor until then.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALE = 4
"""Bytes of a row's scale, which stand behind its numbers."""


class Packed(Tensor):
    """Rows of bytes (rows, columns + 4) for a matrix (rows, columns)."""

    patches = ()

    @classmethod
    def of(cls, matrix: Tensor) -> Packed:
        scale = matrix.abs().amax(1, keepdim=True).clamp(min=1e-9) / 127
        return torch.cat(((matrix / scale).round().to(torch.int8), scale.view(torch.int8)), 1).as_subclass(cls)

    @property
    def shape(self) -> torch.Size:
        rows, width = self.size()
        return torch.Size((rows, width - SCALE))

    def to(self, *args, **kwargs) -> Packed:
        moved = super().to(*args, **kwargs)
        moved.patches = self.patches
        return moved

    def new_empty(self, *args, **kwargs) -> Packed:
        return super().new_empty(*args, **kwargs).as_subclass(Packed)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """The matrix, with what LoRAs add."""
        import comfy.lora

        data = self.as_subclass(Tensor)
        matrix = data[:, :-SCALE].float() * data[:, -SCALE:].contiguous().view(torch.float32)
        for patches, key in self.patches:
            matrix = comfy.lora.calculate_weight(patches, matrix, key)
        return matrix.to(dtype)


def _linear(layer, x: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return nn.functional.linear(x, layer.weight.unpacked(x.dtype), bias)


def _embedding(layer, tokens: Tensor, out_dtype=None) -> Tensor:
    return nn.functional.embedding(tokens, layer.weight.unpacked(out_dtype or torch.float32))


def packed(module: nn.Module) -> nn.Module:
    """``module`` with the weights of its linear layers and embeddings packed."""
    for part in module.modules():
        forward = _linear if isinstance(part, nn.Linear) else _embedding if isinstance(part, nn.Embedding) else None
        if forward is not None:
            part.weight = nn.Parameter(Packed.of(part.weight.detach().float()), requires_grad=False)
            part.__class__ = type(f"Packed{type(part).__name__}", (type(part),), {"forward": forward})
    return module


def rounded(module: nn.Module) -> nn.Module:
    """``module`` with the numbers that the packed weights stand for, in plain tensors."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            part.weight.data = Packed.of(part.weight.detach().float()).unpacked(part.weight.dtype)
    return module


def packing_patcher(patcher):
    """A host's patcher of a packed model, of a class that hangs LoRAs on the packed weights."""
    patcher = patcher.clone()
    patcher.__class__ = _class_that_hangs_patches(type(patcher))
    return patcher


def _class_that_hangs_patches(kind: type) -> type:
    class PackingPatcher(kind):
        def patch_weight_to_device(self, key: str, device_to=None, inplace_update: bool = False) -> None:
            weight = self.model.get_parameter(key)
            if key in self.patches and isinstance(weight, Packed):
                weight.patches = [(self.patches[key], key)]
            elif key in self.patches:
                super().patch_weight_to_device(key, device_to, inplace_update)

        def unpatch_model(self, *args, **kwargs) -> None:
            for parameter in self.model.parameters():
                if isinstance(parameter, Packed):
                    parameter.patches = []
            super().unpatch_model(*args, **kwargs)

    return PackingPatcher
