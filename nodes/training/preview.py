"""Previews of a concept in training, drawn by the host's own model, CLIP and sampler."""

from __future__ import annotations

from dataclasses import dataclass

import comfy.sample
import torch
from torch import Tensor

from ...perfusion_ops import Concept, EditTerm, Gate, KeyLocking
from ...perfusion_ops.text.prompts import fill_template
from ..families.family import family_of
from ..host.applied import AppliedConcept
from ..host.clip import clip_with_concept
from ..host.device_memory import make_room
from ..host.model import model_with_concept
from .joint_model import host_in_training


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

    def draw(self, concept: Concept) -> Tensor:
        """One picture (H, W, 3), 0 to 1, on the CPU. What the host loaded for it leaves an accelerator again."""
        try:
            with host_in_training(False):
                return self._drawn(concept)
        finally:
            make_room(self.model.load_device, [self.model, self.clip.patcher])

    @torch.inference_mode()
    def _drawn(self, concept: Concept) -> Tensor:
        model = model_with_concept(self.model, AppliedConcept(EditTerm(concept, Gate(), 1.0, self.key_locking)))
        clip = clip_with_concept(self.clip, concept, 1.0, self.key_locking)
        positive, negative = (
            clip.encode_from_tokens_scheduled(clip.tokenize(text), show_pbar=False)
            for text in (fill_template(self.prompt, concept.word), "")
        )
        family = family_of(self.model)
        latent = comfy.sample.fix_empty_latent_channels(self.model, torch.zeros(1, 4, *self.size))
        noise = comfy.sample.prepare_noise(latent, self.seed)
        settings = {"denoise": 1.0, "disable_pbar": True, "seed": self.seed}
        samples = comfy.sample.sample(
            model,
            noise,
            self.steps,
            family.guidance,
            "euler",
            "simple" if family.transformer else "normal",
            positive,
            negative,
            latent,
            **settings,
        )
        decoded = self.vae.decode(samples)
        return decoded.reshape(-1, *decoded.shape[-3:])[0].float().cpu().clamp(0, 1)
