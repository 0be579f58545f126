"""The model of a training with text cross-attention that is no U-Net: how it predicts, and what gradients can pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ...perfusion_ops.edit.injection import InjectedEdit, inject
from ..families.cross import CrossAttention
from ..families.family import family_of
from .joint_model import host_conditions, host_in_training


class CrossInjection:
    """How gates and residuals take effect in a private copy (perfusion_ops.training.task.Injection).

    Not ``reading``, its K and V read what its own layers make of a prompt, and values alone are edited.
    """

    def __init__(self, layers: Mapping[str, CrossAttention], reading: bool = True) -> None:
        self.reading = reading
        self.projections = {name: (layer.to_k, layer.to_v) for name, layer in layers.items()}
        self.value_widths = {name: to_v.out_features for name, (_, to_v) in self.projections.items()}

    @contextmanager
    def inject(self) -> Iterator[InjectedEdit]:
        """While it lasts, the model follows the edit, and the host computes what gradients can pass."""
        with host_in_training(True), inject(self.projections, self.reading) as injected:
            yield injected


def cross_predictor(
    model, net: nn.Module, device: torch.device, dtype: torch.dtype
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """``predict`` of a training task, by a private copy ``net`` of the model's network."""
    family = family_of(model)
    times, second = family.times(model), family.second
    has_frames = model.model.latent_format.latent_dimensions == 3
    place = device, dtype

    def conditions(latents: Tensor, context: Tensor) -> dict[str, Tensor]:
        if second is None:
            return {"context": context.to(*place)}
        height, width = (8 * side for side in latents.shape[-2:])
        return host_conditions(model, latents, *place, **second.unpacked(context), height=height, width=width)

    def predict(noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        latents = noisy.unsqueeze(2) if has_frames else noisy
        predicted = net(
            latents.to(device, dtype),
            times[timesteps.cpu()].to(device),
            transformer_options={},
            **conditions(latents, context),
        )
        return predicted.squeeze(2) if has_frames else predicted

    return predict
