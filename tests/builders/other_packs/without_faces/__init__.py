"""A custom node folder: faces with random features, for packs whose detectors are files of hundreds of MB."""

from __future__ import annotations

import torch


class EvaClip(torch.nn.Module):
    """What PuLID reads of a face beside its embedding: (1, 768), and five hidden states (1, 577, 1024)."""

    image_size, image_mean, image_std = 336, (0.5,) * 3, (0.5,) * 3

    def forward(self, image, **_settings):
        draw = torch.Generator().manual_seed(4)
        hidden = [torch.randn(1, 577, 1024, generator=draw) for _ in range(5)]
        return torch.randn(1, 768, generator=draw).to(image), [state.to(image) for state in hidden]


class RandomEvaClip:
    RETURN_TYPES, FUNCTION, CATEGORY = ("EVA_CLIP",), "load", "perfusion tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        return (EvaClip(),)


NODE_CLASS_MAPPINGS = {"RandomEvaClip": RandomEvaClip}
