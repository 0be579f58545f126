"""What a network's own layers make of a text encoder's encodings, before its K and V read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..families.family import Family, family_of


@dataclass(frozen=True)
class NetworkReader:
    """The layers of one network, wherever they lie and in whatever dtype they compute."""

    family: Family
    net: nn.Module
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, patcher) -> NetworkReader:
        """Those of a loaded MODEL."""
        model = patcher.model
        return cls(family_of(patcher), model.diffusion_model, patcher.load_device, inference_dtype(model))

    def __call__(self, encodings: Tensor, entries: Mapping[str, Any]) -> Tensor:
        """What K and V read (B, T, d) of ``encodings`` and the conditioning's other ``entries``."""
        return self.family.context(self.net, encodings.to(self.device, self.dtype), entries)

    def kept(self, encodings: Tensor, context: Tensor) -> Tensor | None:
        """bool (B, T): the tokens of a ``context`` read of ``encodings`` that no edit may touch."""
        return self.family.kept(encodings.to(context.device), context)

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The layers' weights by name; none where K and V read the encodings themselves."""
        layers = self.family.reading_layers(self.net)
        return iter(()) if layers is None else layers.named_parameters()


def as_encoded(encodings: Tensor, _entries: Mapping[str, Any]) -> Tensor:
    """For networks whose K and V read the encodings themselves."""
    return encodings


def inference_dtype(model) -> torch.dtype:
    """The dtype that the host's model computes in, whatever the dtype of its weights."""
    return model.manual_cast_dtype or model.get_dtype()
