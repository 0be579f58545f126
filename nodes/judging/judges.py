"""How identity and agreement of drawn pictures are measured, and in words what was compared.

Both scores have ends that are pictures: identity is 0 for what the plain model draws for the superclass; agreement is 1
for it, as it follows the prompt as well as that model can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ...perfusion_ops.judging.scores import between, evidence, mean_cosine, mean_cosine_within
from ...perfusion_ops.text.prompts import fill_template
from ..host.clip import text_encoder, text_encoder_names
from ..host.naming import Naming
from ..training.pictures import Shot
from .drawing import Drawn, encoded
from .errors import denoising_errors
from .point import Point

BARE = "a photo of a {}"
GREY = 0.5


@dataclass(frozen=True)
class Score:
    identity: float
    agreement: float


class Judge(Protocol):
    """Scores the pictures of all prompts together. ``plain`` are the plain model's, of the same prompts and seeds."""

    def score(self, drawn: Sequence[Drawn], plain: Sequence[Drawn]) -> Score: ...

    def described(self) -> str: ...


class ModelJudge:
    """Without another model: by the errors of the drawing model itself, with and without a condition.

    Identity: how much better the concept at its usual dials explains the picture than the superclass does. Agreement:
    how much better the whole prompt explains it than the subject alone, for the concept's pictures with the concept.
    """

    def __init__(
        self,
        model,
        clip,
        vae,
        point: Point,
        prompts: Sequence[str],
        shots: Sequence[Shot],
        seed: int,
        naming: Naming | None = None,
    ) -> None:
        self.seed, concept = seed, point.concept
        usual = Point(concept).applied(model, clip, naming)

        def conditions(network, encoder, word: str) -> _Conditions:
            bare, *whole = (encoded(encoder, fill_template(prompt, word)) for prompt in (BARE, *prompts))
            return _Conditions(network, bare, whole)

        self.plain = conditions(model, clip, concept.superclass)
        self.concept = conditions(usual.model, usual.clip, concept.word)
        self.own = sum(self._of_picture(vae, shot) for shot in shots) / len(shots)
        self.ends: tuple[float, float] | None = None

    def score(self, drawn: Sequence[Drawn], plain: Sequence[Drawn]) -> Score:
        if self.ends is None:
            self.ends = self._evidence(plain, self.plain)
        # Plain pictures follow their prompt as the plain model reads it; the concept's prompt is another one.
        identity, agreement = self.ends if drawn is plain else self._evidence(drawn, self.concept)
        return Score(between(identity, self.ends[0], self.own), between(agreement, 0.0, self.ends[1]))

    def _evidence(self, drawn: Sequence[Drawn], drawer: _Conditions) -> tuple[float, float]:
        """Mean nats a level for the concept against the superclass, and for the prompt against the subject alone."""
        found = []
        for number, each in enumerate(drawn):
            latents = each.latents
            for_prompt = evidence(
                self._errors(drawer.model, drawer.bare, latents),
                self._errors(drawer.model, drawer.whole[number], latents),
            )
            for_concept = evidence(
                self._errors(self.plain.model, self.plain.whole[number], latents),
                self._errors(self.concept.model, self.concept.whole[number], latents),
            )
            found.append((float(for_concept.mean()), float(for_prompt.mean())))
        identity, agreement = (sum(column) / len(found) for column in zip(*found, strict=True))
        return identity, agreement

    def _of_picture(self, vae, shot: Shot) -> float:
        """The evidence for the concept on one training picture, inside its mask."""
        latent, masks = vae.encode(shot.pixels[None]).cpu(), None
        if shot.mask is not None:
            masks = functional.interpolate(shot.mask[None, None].cpu(), size=latent.shape[-2:], mode="area")[0]
        sides = (self._errors(side.model, side.bare, latent, masks) for side in (self.plain, self.concept))
        return float(evidence(*sides).mean())

    def _errors(self, model, positive, latents: Tensor, masks: Tensor | None = None) -> Tensor:
        return denoising_errors(model, positive, latents, self.seed, masks)

    def described(self) -> str:
        return (
            "Measured without another model, by the errors of this model itself in denoising the drawn pictures. "
            "Identity: how much better the concept explains a picture than the superclass does; 0 for the plain "
            "model's pictures, 1 for your pictures. Agreement: how much better the whole prompt explains a picture "
            "than the subject alone; 1 for the plain model's pictures."
        )


@dataclass(frozen=True)
class _Conditions:
    """What one word is drawn with: a model, its prompt of nothing but the subject, and the whole prompts."""

    model: Any
    bare: list
    whole: list[list]


class VisionJudge:
    """By cosines of CLIP_VISION encodings: with the user's pictures, and with the prompt or plain pictures."""

    def __init__(self, vision, clip, superclass: str, prompts: Sequence[str], shots: Sequence[Shot]) -> None:
        self.vision = vision
        self.pictures = torch.cat([self._encoded(on_grey(shot).unsqueeze(0)) for shot in shots])
        self.texts = text_encodings(clip, [fill_template(p, superclass) for p in prompts], self.pictures.shape[-1])

    def score(self, drawn: Sequence[Drawn], plain: Sequence[Drawn]) -> Score:
        encodings, plain = ([self._encoded(each.pictures) for each in part] for part in (drawn, plain))
        asked = plain if self.texts is None else [text[None] for text in self.texts]
        identity = between(
            mean_cosine(torch.cat(encodings), self.pictures),
            mean_cosine(torch.cat(plain), self.pictures),
            mean_cosine_within(self.pictures),
        )

        def agreement(pictures: Sequence[Tensor]) -> float:
            return sum(mean_cosine(*pair) for pair in zip(pictures, asked, strict=True)) / len(asked)

        zero = agreement([self.pictures] * len(asked))
        return Score(identity, between(agreement(encodings), zero, agreement(plain)))

    def _encoded(self, pictures: Tensor) -> Tensor:
        return self.vision.encode_image(pictures)["image_embeds"].float().cpu()

    def described(self) -> str:
        told = "the prompt's encoding by the text encoder"
        if self.texts is None:
            told = (
                "the plain model's picture of the same prompt and seed, as this CLIP has no text encoder of the "
                "CLIP_VISION model's kind"
            )
        return (
            "Measured by cosines of the CLIP_VISION model's encodings. Identity: with your pictures; 0 for the plain "
            "model's pictures, 1 for your pictures among themselves. Agreement: with "
            f"{told}; 0 for your pictures, 1 for the plain model's."
        )


def on_grey(shot: Shot) -> Tensor:
    """(H, W, 3): the picture, grey outside of its mask."""
    if shot.mask is None:
        return shot.pixels
    mask = (shot.mask / shot.mask.max())[..., None]
    return mask * shot.pixels + (1 - mask) * GREY


def text_encodings(clip, texts: Sequence[str], width: int) -> Tensor | None:
    """Projected encodings (N, width) of texts, if this CLIP is the other half of a CLIP_VISION model of that width.

    None for other text encoders. Those of Stable Diffusion 1.x are of the kind of ViT-L, but their files lack the
    projection into the space of the pictures.
    """
    name = {1024: "h", 1280: "g"}.get(width)
    if name not in text_encoder_names(clip):
        return None
    projection = text_encoder(clip, name).transformer.text_projection.weight
    if not projection.any() or not projection.isfinite().all():
        return None
    pooled = [clip.encode_from_tokens(clip.tokenize(text), return_pooled=True)[1] for text in texts]
    return torch.cat(pooled).float().cpu()
