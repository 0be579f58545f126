"""The model of a training with joint attention: how gates and residuals take effect in it, and how it predicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import torch
from torch import Tensor, nn

from ...perfusion_ops import FlowSchedule
from ...perfusion_ops.edit.injection import InjectedEdit
from ..families.joint import JointFamily
from ..host.joint_call import JointCall, picture_cells


class JointInjection:
    """How gates and residuals take effect in a private copy (perfusion_ops.training.task.Injection)."""

    def __init__(self, family: JointFamily, net: nn.Module) -> None:
        self.family, self.net, self.injected = family, net, InjectedEdit()
        self.value_widths = family.value_widths(net)
        self.call = JointCall(family.text_first)

    @contextmanager
    def inject(self) -> Iterator[InjectedEdit]:
        """While it lasts, the model follows the edit, and the host computes what gradients can pass."""
        modules = {name: module for name, (module, _) in self.family.layers(self.net).items()}
        with self.call.announced(modules), host_in_training(True):
            yield self.injected
        self.injected.clear()

    def options(self, latents: Tensor, encodings: Tensor) -> dict:
        """The model's options for its next call, with ``latents`` (B, C, ..., h, w) and ``encodings`` (B, T, d)."""
        context = self.injected.context
        self.call.places = math.prod(picture_cells(self.net, latents))
        self.call.gates = None if context is None else self.family.text_places(context.gates, self.net)
        self.call.residuals, self.call.observer = self.injected.value_residuals, self.injected.observer
        return self.call.options(self.family.options(encodings))


@contextmanager
def host_in_training(training: bool) -> Iterator[None]:
    """The host's switch between its fast kernels, which have no gradient, and plain ones."""
    # ComfyUI 0.13.0 has no such switch.
    before = getattr(comfy.model_management, "in_training", False)
    comfy.model_management.in_training = training
    try:
        yield
    finally:
        comfy.model_management.in_training = before


def joint_predictor(
    model, injection: JointInjection, pooled: Tensor | None, device: torch.device, dtype: torch.dtype
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """``predict`` of a training task. ``pooled`` (1, width) stands for every prompt's pooled encoding."""
    sampling = model.get_model_object("model_sampling")
    schedule: FlowSchedule = injection.family.noise_schedule(model)
    has_frames, second = model.model.latent_format.latent_dimensions == 3, injection.family.second

    def predict(noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
        latents = noisy.unsqueeze(2) if has_frames else noisy
        texts = {"cross_attn": encodings} if second is None else second.unpacked(encodings)
        conditions = host_conditions(model, latents, device, dtype, **texts, pooled_output=pooled)
        predicted = injection.net(
            latents.to(device, dtype),
            sampling.timestep(schedule.sigmas[timesteps.cpu()].to(device)).float(),
            transformer_options=injection.options(latents, conditions["context"]),
            **conditions,
        )
        return predicted.squeeze(2) if has_frames else predicted

    return predict


def host_conditions(model, latents: Tensor, device: torch.device, dtype: torch.dtype, **entries) -> dict[str, Any]:
    """What the host's MODEL gives its network beside ``latents`` (B, C, ..., h, w), of a conditioning's ``entries``."""
    conditions = {
        name: _on(cond.process_cond(batch_size=len(latents), area=None).cond, device, dtype)
        for name, cond in model.model.extra_conds(noise=latents, device=device, **entries).items()
    }
    return {"context": conditions.pop("c_crossattn"), **conditions}


def _on(value, device: torch.device, dtype: torch.dtype):
    if not isinstance(value, Tensor):
        return value
    return value.to(device, dtype if value.is_floating_point() else value.dtype)
