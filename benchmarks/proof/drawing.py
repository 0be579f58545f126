"""From a drawing's description to pictures, and from pictures to a record of what the reader sees in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelworld.art import SIZE
from pixelworld.captions import Caption
from pixelworld.reader import identity_score, read
from pixelworld.sampling import sample
from pixelworld.scene import Individual, training_pictures
from pixelworld.world import pictures_from_latents

from .baselines import adapted_modules
from .methods import State, Taught, applied, prompt_text
from .scoring import attributes_right, diversity, nearest_distance
from .specs import RESIDUAL, Drawing, Subject
from .subjects import unseen_prompts
from .world_access import predict, recalled, the_world

BATCH = 40
SAMPLING_SEED = 30_000
PROMPT_SEED = 900


def prompts_of(subject: Subject, count: int) -> list[Caption]:
    """The first ``count`` of the subject's prompts."""
    return unseen_prompts(subject.individual(), count, PROMPT_SEED + subject.index + (500 if subject.tuning else 0))


def picture_seed(prompt: int, seed: int) -> int:
    """One noise for each prompt and seed, the same for every method."""
    return SAMPLING_SEED + 1000 * seed + prompt


def draw(drawing: Drawing, state: State) -> Tensor:
    """Pictures (prompts * seeds, 16, 16, 3), uint8; all prompts with the first seed, then with the next."""
    captions = prompts_of(drawing.learning.subject, drawing.prompts)
    wanted = [(index, seed) for seed in range(drawing.seeds) for index in range(len(captions))]
    parts = []
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        texts = [prompt_text(captions[index], drawing.learning.method) for index, _ in part]
        with applied([Taught(drawing.learning, state)], drawing.dial, texts) as encodings:
            seeds = [picture_seed(*entry) for entry in part]
            parts.append(draw_batch(encodings, seeds, drawing.steps, drawing.guidance))
    return torch.cat(parts)


@torch.no_grad()
def draw_batch(
    encodings: Tensor, seeds: Sequence[int], steps: int = 10, guidance: float = 3.0, width: int = SIZE
) -> Tensor:
    """Pictures (B, 16, width, 3), uint8, with whatever edits are in force."""
    how = {"steps": steps, "guidance": guidance, "width": width}
    with recalled(adapted_modules(RESIDUAL)):
        latents = sample(the_world(), encodings, list(seeds), denoiser=predict, **how)
    return (255 * pictures_from_latents(latents)).round().to(torch.uint8)


def record_of(drawing: Drawing, pictures: Tensor) -> dict[str, Any]:
    """What is in the pictures: a row for each, and the diversity over seeds of each prompt."""
    subject = drawing.learning.subject
    individual = subject.individual()
    captions = prompts_of(subject, drawing.prompts)
    unit = pictures.float() / 255
    rows = [
        row_of(individual, captions[number % len(captions)], *parts)
        for number, parts in enumerate(
            zip(read(unit), identity_score(unit, individual).tolist(), unit.numpy(), strict=True)
        )
    ]
    by_prompt = unit.numpy().reshape(drawing.seeds, len(captions), *unit.shape[1:])
    return {"rows": rows, "diversity": [diversity(by_prompt[:, index]) for index in range(len(captions))]}


def row_of(individual: Individual, caption: Caption, reading, identity: float, picture: np.ndarray) -> dict[str, Any]:
    shots = [shot.pixels for shot in training_pictures(individual)]
    return {
        "identity": identity,
        "right": attributes_right(caption, reading),
        "class": any(figure.class_word == individual.class_word for figure in reading.figures),
        "copied": reading.place == individual.place,
        "nearest": nearest_distance(picture, shots),
    }
