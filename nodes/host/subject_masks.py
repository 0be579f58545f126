"""Masks of what a word names, read from the cross-attention of the host's own model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import comfy.sample
import comfy.samplers
import torch
from comfy.utils import ProgressBar
from torch import Tensor
from torch.nn import functional

from ...perfusion_ops.training.subject_mask import NOISE_LEVELS, joined, soft_mask, word_attention
from ..families.family import family_of
from ..families.unet import UNet
from .belonging import check_first_stage, check_text_once
from .clip import tokenizer, tokenizer_names, vocabulary
from .vocabularies import superclass_tokens

MULTIPLE = 32
"""Sides of what the network sees, in pixels: all its resolutions divide them."""
AT_ONCE = 4
PROMPT = "a photo of a {}"
OVERRIDE = "optimized_attention_override"


@dataclass(frozen=True)
class MaskReader:
    """How to find what ``superclass`` names in pictures.

    Raises ValueError for models without its kind of attention, and for another model's CLIP or VAE.
    """

    model: object
    clip: object
    vae: object
    superclass: str
    resolution: int = 512
    seed: int = 0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(family_of(self.model), UNet):
            raise ValueError(
                f"The model is {family_of(self.model).title}; Perfusion Subject Mask reads the attention of SD 1.x, "
                "SD 2.x and SDXL alone. Use a checkpoint of one of these for the mask: it fits the same pictures. Or "
                "paint masks."
            )
        check_first_stage(self.model, self.vae)
        check_text_once(self.model, self.clip)

    @torch.inference_mode()
    def masks(self, groups: Sequence[Tensor]) -> list[Tensor]:
        """Masks (N, H, W), 0 to 1, of every group of pictures (N, H, W, C)."""
        groups = [group[..., :3] for group in groups]
        _check(groups)
        prompt = PROMPT.format(self.superclass.strip())
        positive = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(prompt), show_pbar=False)
        word, found, number = word_places(self.clip, prompt, self.superclass.strip()), [], 0
        bar = ProgressBar(len(NOISE_LEVELS) * sum(math.ceil(len(group) / AT_ONCE) for group in groups))
        for group in groups:
            parts = []
            for pictures in group.split(AT_ONCE):
                maps = self._maps(pictures, positive, word, number, lambda: bar.update(1))
                parts.append(functional.interpolate(maps[:, None], pictures.shape[1:3], mode="bilinear")[:, 0])
                number += len(pictures)
            found.append(torch.cat(parts).clamp(0, 1))
        return found

    def _maps(self, pictures: Tensor, positive, word: Sequence[int], first: int, seen: Callable[[], None]) -> Tensor:
        """Masks (B, h, w) in the latent's size, of pictures (B, H, W, 3) that are numbered from ``first`` on."""
        latents = comfy.sample.fix_empty_latent_channels(self.model, self.vae.encode(self._scaled(pictures)))
        draws = [torch.Generator().manual_seed(self.seed + first + n) for n in range(len(latents))]
        # Of latents and noise alike, the place of a picture in its batch changes nothing.
        noise = torch.stack([torch.randn(latents.shape[1:], generator=draw) for draw in draws])
        collector = _Collector(word, positive[0][0].shape[1], tuple(latents.shape))
        model = collector.watched(self.model)
        for sigma in self._sigmas():
            comfy.sample.sample_custom(
                model,
                noise,
                1.0,
                comfy.samplers.sampler_object("euler"),
                torch.tensor([sigma, 0.0]),
                positive,
                positive,
                latents,
                disable_pbar=True,
                seed=self.seed,
            )
            seen()
        return soft_mask(joined(collector.maps, latents.shape[-2:]), self.threshold)

    def _scaled(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[1:3]
        scale = min(1.0, self.resolution / math.sqrt(height * width))
        size = [max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in (height, width)]
        channels = functional.interpolate(pictures.movedim(-1, 1).float(), size, mode="bilinear", antialias=True)
        return channels.clamp(0, 1).movedim(1, -1)

    def _sigmas(self) -> Iterator[float]:
        sigmas = self.model.get_model_object("model_sampling").sigmas
        return (float(sigmas[round(level * (len(sigmas) - 1))]) for level in NOISE_LEVELS)


@dataclass
class _Collector:
    """Attention to ``word`` in the layers on the network's way up, where places are told apart best."""

    word: Sequence[int]
    tokens: int
    latents: tuple[int, ...]
    maps: list[Tensor] = field(default_factory=list)
    """(B, h, w), in each layer's own size."""

    def watched(self, model):
        """A clone of ``model`` that shows its attention to this collector, and computes what it did before."""
        clone = model.clone()
        options = clone.model_options["transformer_options"]
        before = options.get(OVERRIDE)

        def watch(attention, queries, keys, values, heads, *args, **settings):
            block = (settings.get("transformer_options") or {}).get("block", ("", 0))
            if block[0] == "output" and keys.shape[1] == self.tokens != queries.shape[1] and queries.ndim == 3:
                self._take(word_attention(queries, keys, heads, self.word))
            if before is None:
                return attention(queries, keys, values, heads, *args, **settings)
            return before(attention, queries, keys, values, heads, *args, **settings)

        clone.model_options = {**clone.model_options, "transformer_options": {**options, OVERRIDE: watch}}
        return clone

    def _take(self, attention: Tensor) -> None:
        count, (height, width) = self.latents[0], self.latents[-2:]
        while height * width > attention.shape[1] and height * width > 1:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        # Nodes that ask for both prompts at a cfg of 1 get the same one twice.
        whole = attention.shape[0] % count == 0 and attention.shape[1] == height * width
        if whole:
            self.maps.append(attention.reshape(-1, count, height, width).mean(0).cpu())


def word_places(clip, prompt: str, superclass: str) -> list[int]:
    """Places of the superclass's tokens in an encoded prompt. Raises ValueError when the prompt does not hold them."""
    name = tokenizer_names(clip)[0]
    wanted = superclass_tokens(vocabulary(clip, name), superclass)
    chunk = [token for token, *_ in tokenizer(clip, name).tokenize_with_weights(prompt)[0]]
    for first in range(len(chunk) - len(wanted), 0, -1):
        part = chunk[first : first + len(wanted)]
        if all(isinstance(token, int) for token in part) and part == wanted:
            return list(range(first, first + len(wanted)))
    raise ValueError(
        f"The superclass is {superclass!r}, which the prompt does not hold as plain words; expected one or a few words "
        "without brackets, such as 'teddy bear', and no concept word."
    )


def _check(groups: Sequence[Tensor]) -> None:
    if not sum(map(len, groups)):
        raise ValueError("No pictures are connected; expected at least one.")
    for number, picture in enumerate((picture for group in groups for picture in group), start=1):
        if not torch.isfinite(picture).all():
            raise ValueError(f"Picture {number} holds pixels that are not numbers (NaN or infinite); load it again.")
