"""How the other methods learn: the same pictures, noise, masks, prompts and number of steps, other parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from perfusion_ops import EditedContext, inject
from perfusion_ops.training.batch import draw_batch, picture_losses
from perfusion_ops.training.task import TrainingTask
from pixelworld.captions import Caption, sample_scene
from pixelworld.once import predict_with, the_world
from pixelworld.scene import render
from pixelworld.unet import value_projection_names
from pixelworld.world import as_batch, latents_from_pictures

from .adapters import adapted, new_pairs, restored
from .specs import DREAMBOOTH, LORA, RANK_ONE, RESIDUAL, WORD, Learning

LORA_RANK = {RANK_ONE: 1, LORA: 8}
PRIOR_PICTURES = 32
PRIOR_SHARE = 0.5
"""Pictures of the class in a DreamBooth step, as a share of the subject's."""


@cache
def adapted_modules(method: str) -> Mapping[str, object]:
    """What a method touches: the (to_k, to_v) pairs, those modules singly, or every linear layer and convolution."""
    unet = the_world().unet
    projections = value_projection_names(unet)
    if method == RESIDUAL:
        return projections
    if method == RANK_ONE:
        keys = {f"{name}.to_k": to_k for name, (to_k, _) in projections.items()}
        return keys | {f"{name}.to_v": to_v for name, (_, to_v) in projections.items()}
    return {name: module for name, module in unet.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))}


def learn_baseline(learning: Learning, task: TrainingTask) -> dict[str, Tensor]:
    """What the baseline learns, as named tensors."""
    learners = {WORD: learn_word, RESIDUAL: learn_residual, DREAMBOOTH: learn_dreambooth}
    return learners.get(learning.method, learn_pairs)(learning, task)


def optimise(
    learning: Learning,
    task: TrainingTask,
    groups: Sequence[dict],
    encode: Callable[[list[str]], Tensor],
    prior: Callable[[torch.Generator], Tensor] | None = None,
) -> None:
    """The steps all baselines share; the draws are those of ``perfusion_ops.train`` with the same settings."""
    settings, generator = learning.settings(), torch.Generator().manual_seed(learning.seed)
    prior_generator = torch.Generator().manual_seed(learning.seed + 1)
    optimizer = torch.optim.Adam(groups)
    for _ in range(learning.steps):
        draws = draw_batch(task, settings, generator)
        loss = picture_losses(task, draws, encode([draw.template for draw in draws])).mean()
        if prior is not None:
            loss = loss + prior(prior_generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def word_group(learning: Learning, task: TrainingTask) -> dict:
    word = task.encoder.initial_embeddings()["l"].requires_grad_()
    return {"params": [word], "lr": learning.word_rate}


def encode_word(task: TrainingTask, word: Tensor) -> Callable[[list[str]], Tensor]:
    def encode(templates: list[str]) -> Tensor:
        distinct = list(dict.fromkeys(templates))
        encoded = task.encoder.encode(distinct, {"l": word})
        return encoded.encodings[[distinct.index(template) for template in templates]]

    return encode


def learn_word(learning: Learning, task: TrainingTask) -> dict[str, Tensor]:
    """Textual inversion (Gal et al. 2022): the word's embedding alone."""
    group = word_group(learning, task)
    optimise(learning, task, [group], encode_word(task, group["params"][0]))
    return {"word": group["params"][0].detach()}


def learn_residual(learning: Learning, task: TrainingTask) -> dict[str, Tensor]:
    """The word, and a residual on every layer's value at the word's own position; nothing removed, no key locked."""
    group, projections = word_group(learning, task), adapted_modules(RESIDUAL)
    word = group["params"][0]
    residuals = {name: torch.zeros(to_v.out_features, requires_grad=True) for name, (_, to_v) in projections.items()}
    with inject(projections) as injected:

        def encode(templates: list[str]) -> Tensor:
            distinct = list(dict.fromkeys(templates))
            encoded = task.encoder.encode(distinct, {"l": word})
            gates = nn.functional.one_hot(encoded.positions, encoded.encodings.shape[1]).float().unsqueeze(-1)
            rows = torch.tensor([distinct.index(template) for template in templates])
            context = EditedContext(encoded.encodings, encoded.encodings, gates).rows(rows)
            injected.use(context, {name: residual.unsqueeze(0) for name, residual in residuals.items()})
            return encoded.encodings[rows]

        optimise(learning, task, [group, {"params": list(residuals.values()), "lr": learning.rate}], encode)
    return {"word": word.detach()} | {f"value_residuals/{name}": r.detach() for name, r in residuals.items()}


def learn_pairs(learning: Learning, task: TrainingTask) -> dict[str, Tensor]:
    """The word, and a LoRA (Hu et al. 2021) on what the method touches.

    Rank 1 on every cross-attention's keys and values, or rank 8 on every linear layer and convolution, which is what
    the host's own trainer adapts.
    """
    group, modules = word_group(learning, task), adapted_modules(learning.method)
    pairs = new_pairs(modules, LORA_RANK[learning.method], learning.seed)
    parameters = [tensor for pair in pairs.values() for tensor in pair]
    with adapted(modules, pairs):
        encode = encode_word(task, group["params"][0])
        optimise(learning, task, [group, {"params": parameters, "lr": learning.rate}], encode)
    word = {"word": group["params"][0].detach()}
    return word | {
        f"{side}/{name}": half.detach().half()
        for name, pair in pairs.items()
        for side, half in zip(("down", "up"), pair, strict=True)
    }


def learn_dreambooth(learning: Learning, task: TrainingTask) -> dict[str, Tensor]:
    """The word and all weights, with prior preservation on pictures of the class (Ruiz et al. 2023)."""
    unet, group = the_world().unet, word_group(learning, task)
    before = {name: parameter.detach().clone() for name, parameter in unet.named_parameters()}
    with restored(unet):
        unet.requires_grad_(True)
        groups = [group, {"params": list(unet.parameters()), "lr": learning.rate}]
        optimise(learning, task, groups, encode_word(task, group["params"][0]), prior_loss(learning, task))
        changes = {f"change/{n}": (p.detach() - before[n]) for n, p in unet.named_parameters()}
        unet.requires_grad_(False)
    return {"word": group["params"][0].detach()} | changes


def prior_loss(learning: Learning, task: TrainingTask) -> Callable[[torch.Generator], Tensor]:
    """The plain noise loss on rendered pictures of other individuals of the superclass, under its word."""
    rng = np.random.RandomState(learning.seed)
    caption = Caption(task.superclass)
    latents = latents_from_pictures(as_batch([render(sample_scene(caption, rng)) for _ in range(PRIOR_PICTURES)]))
    encoding = the_world().text_encoder.encode([caption.text()])
    count = int(PRIOR_SHARE * learning.batch_size)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(PRIOR_PICTURES, (count,), generator=generator)
        timesteps = torch.randint(len(task.schedule.alphas_cumprod), (count,), generator=generator)
        noise = torch.randn(count, *latents.shape[1:], generator=generator)
        noisy = task.schedule.add_noise(latents[chosen], noise, timesteps)
        predicted = predict_with(the_world().unet, noisy, timesteps, encoding.expand(count, -1, -1))
        return (predicted - noise).square().mean()

    return loss
