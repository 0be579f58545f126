"""From the host's MODEL, CLIP and VAE to a training task, and previews of a concept in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import comfy.model_sampling
import comfy.sample
import torch
from torch import Tensor, nn

from ..perfusion_ops import Concept, EditTerm, Gate, KeyLocking, NoiseSchedule, Picture, TrainingTask
from ..perfusion_ops.prompts import fill_template
from .host_copies import checkpoint_gradients, loaded, make_room, private_copy
from .host_encoder import HostTextEncoder
from .host_layers import base_family, cross_attentions
from .host_model import AppliedConcept, model_with_concept
from .host_text import clip_with_concept
from .pictures import Shot

LATENT_CHANNELS = 4
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


PREDICTIONS = {
    comfy.model_sampling.EPS.calculate_denoised: "epsilon",
    comfy.model_sampling.V_PREDICTION.calculate_denoised: "velocity",
}


def noise_schedule(model) -> NoiseSchedule:
    """The model's own schedule. Raises ValueError for the kinds that training does not know."""
    sampling = model.get_model_object("model_sampling")
    discrete = comfy.model_sampling.ModelSamplingDiscrete
    # What a kind computes, not what it descends from: LCM and x0 prediction descend from noise prediction.
    prediction = PREDICTIONS.get(getattr(type(sampling), "calculate_denoised", None))
    if prediction is None or getattr(type(sampling), "timestep", None) is not discrete.timestep:
        kinds = " and ".join(kind.__name__ for kind in type(sampling).__bases__)
        raise ValueError(
            f"The model samples by {kinds}; training expects a discrete schedule with noise or v prediction, as SD "
            "1.x, SD 2.x and SDXL have. Train on the model as its checkpoint gives it."
        )
    alphas = 1 / (sampling.sigmas.double() ** 2 + 1)
    return NoiseSchedule(alphas.float().cpu(), prediction)


def check_reads_latents_alone(model) -> None:
    """Raise ValueError for a model that reads more than a noisy latent, which training cannot give it."""
    channels = model.model.model_config.unet_config["in_channels"]
    if channels != LATENT_CHANNELS:
        raise ValueError(
            f"The model reads {channels} channels, as inpainting and editing models do; training expects the "
            f"{LATENT_CHANNELS} of a latent. Load the text-to-image checkpoint that it was made from."
        )


def training_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 where the device computes in it, float32 elsewhere."""
    if name != "auto":
        return DTYPES[name]
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def latent_pictures(model, vae, shots: Sequence[Shot], flip: bool, captions: Sequence[str] = ()) -> list[Picture]:
    """Encode pictures, and their mirror images if ``flip``, by the first stage."""

    def encode(pixels: Tensor) -> Tensor:
        return model.model.process_latent_in(vae.encode(pixels.unsqueeze(0)))[0].float().cpu().clone()

    pictures = []
    for number, shot in enumerate(shots):
        latent = encode(shot.pixels)
        mask = None
        if shot.mask is not None:
            mask = nn.functional.interpolate(shot.mask[None, None].cpu(), size=latent.shape[1:], mode="area")[0, 0]
        own = (captions[number % len(captions)],) if captions else None
        mirrored = encode(shot.pixels.flip(1)) if flip else None
        pictures.append(Picture(latent, mask, mirrored, own))
    return pictures


@dataclass
class PrivateModel:
    """The U-Net training runs in: the host's weights, its LoRA patches on them, in modules of its own."""

    unet: nn.Module
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, model, dtype_name: str, recompute: bool) -> PrivateModel:
        patcher = loaded(model)
        dtype = training_dtype(dtype_name, patcher.load_device)
        unet = private_copy(patcher, "diffusion_model", dtype)
        make_room(patcher.load_device)
        if recompute:
            checkpoint_gradients(unet)
        return cls(unet, patcher.load_device, dtype)

    def predictor(self, model, pooled: Tensor | None):
        """``predict`` of a training task. ``pooled`` (1, 1280) conditions SDXL beside the picture's size."""

        def predict(noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
            height, width = (8 * side for side in noisy.shape[-2:])
            size = {"height": height, "width": width, "target_height": height, "target_width": width}
            adm = model.model.encode_adm(pooled_output=pooled, device="cpu", **size)
            extra = {} if adm is None else {"y": adm.to(self.device, self.dtype).expand(len(noisy), -1)}
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
    encoder: HostTextEncoder,
    word: str,
    pictures: Sequence[Picture],
    templates: Sequence[str],
    inverse_covariance: Tensor,
    metadata: dict[str, str],
) -> TrainingTask:
    """Everything ``train`` needs. Call it outside inference mode."""
    layers = cross_attentions(private.unet)
    return TrainingTask(
        word=word,
        superclass=encoder.superclass,
        base_family=base_family(model),
        pictures=pictures,
        encoder=encoder,
        predict=private.predictor(model, encoder.pooled_superclass(templates)),
        projections={name: (layer.to_k, layer.to_v) for name, layer in layers.items()},
        schedule=noise_schedule(model),
        inverse_covariance=inverse_covariance,
        templates=tuple(templates),
        device=private.device,
        metadata=metadata,
    )


@dataclass(frozen=True)
class Preview:
    """How to draw a concept in training with the host's own model, CLIP and sampler."""

    model: object
    clip: object
    vae: object
    prompt: str
    """With ``{}`` in the concept's place."""
    size: tuple[int, int]
    """Height and width in latent cells."""
    key_locking: KeyLocking
    seed: int
    steps: int = 20
    cfg: float = 6.0

    def draw(self, concept: Concept) -> Tensor:
        """One picture (H, W, 3), 0 to 1, on the CPU. The host's model leaves an accelerator to training again."""
        try:
            return self._drawn(concept)
        finally:
            make_room(self.model.load_device)

    @torch.inference_mode()
    def _drawn(self, concept: Concept) -> Tensor:
        model = model_with_concept(self.model, AppliedConcept(EditTerm(concept, Gate(), 1.0, self.key_locking)))
        clip = clip_with_concept(self.clip, concept, 1.0, self.key_locking)
        positive, negative = (
            clip.encode_from_tokens_scheduled(clip.tokenize(text), show_pbar=False)
            for text in (fill_template(self.prompt, concept.word), "")
        )
        latent = torch.zeros(1, 4, *self.size)
        noise = comfy.sample.prepare_noise(latent, self.seed)
        settings = {"denoise": 1.0, "disable_pbar": True, "seed": self.seed}
        samples = comfy.sample.sample(
            model, noise, self.steps, self.cfg, "euler", "normal", positive, negative, latent, **settings
        )
        return self.vae.decode(samples)[0].float().cpu().clamp(0, 1)
