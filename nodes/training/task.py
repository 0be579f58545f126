"""From the host's MODEL, CLIP and VAE to a training task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...perfusion_ops import Picture, TrainingTask
from ..families.family import family_of
from ..host.device_memory import make_room
from ..host.encoders import HostTextEncoder
from ..host.frozen_layers import compute_in
from ..host.gated_layers import keep_gates_alone
from ..host.network_reader import NetworkReader
from ..host.private_copies import checkpoint_gradients, loaded, private_copy
from ..host.superclass_prompts import SuperclassPrompts
from ..host.whole_prompts import WholePromptEncoder
from .cross_model import CrossInjection, cross_predictor
from .joint_model import JointInjection, joint_predictor
from .pictures import Shot

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def training_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 where the device computes in it, float32 elsewhere."""
    if name != "auto":
        return DTYPES[name]
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def latent_pictures(model, vae, shots: Sequence[Shot], flip: bool, captions: Sequence[str] = ()) -> list[Picture]:
    """Encode pictures, and their mirror images if ``flip``, by the first stage."""

    def encode(pixels: Tensor) -> Tensor:
        latent = model.model.process_latent_in(vae.encode(pixels.unsqueeze(0)))[0].float().cpu().clone()
        # Models of moving pictures have frames between channels and height.
        return latent[:, 0] if latent.ndim == 4 else latent

    pictures = []
    for number, shot in enumerate(shots):
        latent = encode(shot.pixels)
        mask = None
        if shot.mask is not None:
            mask = nn.functional.interpolate(shot.mask[None, None].cpu(), size=latent.shape[1:], mode="area")[0, 0]
        own = (captions[number],) if captions and captions[number] else None
        mirrored = encode(shot.pixels.flip(1)) if flip else None
        pictures.append(Picture(latent, mask, mirrored, own))
    return pictures


@dataclass
class PrivateModel:
    """The denoiser of a training: its own modules, on the host's weights with their LoRA patches."""

    unet: nn.Module
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, model, dtype_name: str, recompute: bool, beside: Sequence = ()) -> PrivateModel:
        """The other models leave the device, except those of the patchers ``beside``, which training reads as well."""
        patcher = loaded(model)
        dtype = training_dtype(dtype_name, patcher.load_device)
        family = family_of(model)
        unet = private_copy(patcher, "diffusion_model")
        compute_in(unet, dtype)
        keep_gates_alone(unet)
        make_room(patcher.load_device, [model, *beside])
        if family.transformer:
            family.differentiable(unet)
        if recompute:
            (family.recompute if family.transformer else checkpoint_gradients)(unet)
        return cls(unet, patcher.load_device, dtype)

    def text_encoder(
        self, model, clip, encoders: Mapping[str, nn.Module], superclass: str, device: torch.device
    ) -> HostTextEncoder | WholePromptEncoder:
        """Private copies of a CLIP's text encoders on ``device``, and what of this model reads their encodings."""
        if not family_of(model).transformer:
            return HostTextEncoder(clip, encoders, superclass, device)
        return WholePromptEncoder(clip, encoders, superclass, device, self._reader(model))

    def superclass_prompts(self, model, prompts: SuperclassPrompts) -> SuperclassPrompts:
        """Those of a training with a position gate, as this model's K and V read them."""
        return prompts if family_of(model).reading_layers(self.unet) is None else prompts.read_by(self._reader(model))

    def _reader(self, model) -> NetworkReader:
        return NetworkReader(family_of(model), self.unet, self.device, self.dtype)

    def predictor(self, model, pooled: Tensor | None):
        """``predict`` of a training task. ``pooled`` (1, 1280) conditions SDXL beside the picture's size."""
        family = family_of(model)

        def predict(noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
            height, width = (8 * side for side in noisy.shape[-2:])
            extra = family.conditioning(model, pooled, (height, width))
            extra = {name: t.to(self.device, self.dtype).expand(len(noisy), -1) for name, t in extra.items()}
            return self.unet(
                noisy.to(self.dtype),
                timesteps.to(self.device).float(),
                context=encodings.to(self.device, self.dtype),
                transformer_options={},
                **extra,
            )

        return predict


def training_task(
    model,
    private: PrivateModel,
    encoder: HostTextEncoder | WholePromptEncoder | SuperclassPrompts,
    word: str,
    pictures: Sequence[Picture],
    templates: Sequence[str],
    inverse_covariance: Tensor | None,
    metadata: dict[str, str],
) -> TrainingTask:
    """Everything ``train`` needs. Call it outside inference mode."""
    family, pooled = family_of(model), encoder.pooled_superclass(templates)
    if family.joint:
        injection = JointInjection(family, private.unet)
        predict, layers = joint_predictor(model, injection, pooled, private.device, private.dtype), {}
    else:
        layers = family.cross_attentions(private.unet)
        injection, predict = None, private.predictor(model, pooled)
        if family.transformer:
            injection = CrossInjection(layers, reading=not family.values_alone)
            predict = cross_predictor(model, private.unet, private.device, private.dtype)
    return TrainingTask(
        word=word,
        superclass=encoder.superclass,
        base_family=family.name,
        pictures=pictures,
        encoder=encoder,
        predict=predict,
        projections={name: (layer.to_k, layer.to_v) for name, layer in layers.items()},
        schedule=family.noise_schedule(model),
        inverse_covariance=inverse_covariance,
        templates=tuple(templates),
        device=private.device,
        metadata=metadata,
        injection=injection,
    )
