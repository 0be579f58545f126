"""A batch of training: which pictures, what noise, and their loss."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .noise import masked_loss
from .settings import TrainingSettings
from .task import Picture, TrainingTask


@dataclass(frozen=True)
class Draw:
    """One picture of a batch: which, how it is shown, and the noise on it."""

    picture: int
    mirrored: bool
    template: str
    timestep: int
    noise: Tensor  # (C, h, w)


def draw_batch(task: TrainingTask, settings: TrainingSettings, generator: torch.Generator) -> list[Draw]:
    """Choose a batch, on the CPU and picture by picture, so that it depends on nothing but the random stream."""

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    draws = []
    for _ in range(settings.batch_size):
        index = below(len(task.pictures))
        picture = task.pictures[index]
        mirrored = below(2) == 1 and settings.flip and picture.mirrored is not None
        templates = picture.templates or task.templates
        draws.append(
            Draw(
                picture=index,
                mirrored=mirrored,
                template=templates[below(len(templates))],
                timestep=below(len(task.schedule)),
                noise=torch.randn(picture.latent.shape, generator=generator),
            )
        )
    return draws


def micro_batches(
    task: TrainingTask, draws: Sequence[Draw], size: int, alike: Callable[[Draw], Hashable] = lambda draw: None
) -> list[list[Draw]]:
    """Split a batch into forwards of one latent shape, of draws that are ``alike``, at most ``size`` each."""
    by_shape: dict[tuple[torch.Size, Hashable], list[Draw]] = {}
    for draw in draws:
        by_shape.setdefault((draw.noise.shape, alike(draw)), []).append(draw)
    return [group[i : i + size] for group in by_shape.values() for i in range(0, len(group), size)]


def picture_losses(task: TrainingTask, draws: Sequence[Draw], encodings: Tensor) -> Tensor:
    """The masked loss of each draw (B,)."""
    pictures = [task.pictures[draw.picture] for draw in draws]
    latents = torch.stack([p.mirrored if d.mirrored else p.latent for p, d in zip(pictures, draws, strict=True)])
    masks = torch.stack([_mask(p, d.mirrored) for p, d in zip(pictures, draws, strict=True)])
    noise = torch.stack([draw.noise for draw in draws])
    timesteps = torch.tensor([draw.timestep for draw in draws])
    latents, masks, noise = (t.to(task.device, torch.float32) for t in (latents, masks, noise))
    noisy = task.schedule.add_noise(latents, noise, timesteps)
    prediction = task.predict(noisy, timesteps, encodings)
    return masked_loss(prediction, task.schedule.target(latents, noise, timesteps), masks)


def _mask(picture: Picture, mirrored: bool) -> Tensor:
    mask = picture.latent.new_ones(picture.latent.shape[1:]) if picture.mask is None else picture.mask
    return mask.flip(-1) if mirrored else mask


def run_identity(task: TrainingTask, settings: TrainingSettings) -> str:
    """A fingerprint of everything that decides the outcome except the model's own weights."""
    digest = hashlib.sha256(json.dumps(settings.as_dict(), sort_keys=True).encode())
    texts = (task.word, task.superclass, task.base_family, tuple(task.templates), task.schedule.prediction)
    digest.update(repr(texts).encode())
    for tensor in (task.inverse_covariance, task.schedule.numbers()):
        if tensor is not None:
            digest.update(_bytes_of(tensor.double()))
    for picture in task.pictures:
        digest.update(repr((tuple(picture.latent.shape), picture.templates)).encode())
        for tensor in (picture.latent, picture.mask, picture.mirrored):
            if tensor is not None:
                digest.update(_bytes_of(tensor.float()))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
