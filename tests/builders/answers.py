"""What a model answers at chosen times of sampling, all else the same: what a schedule is compared by."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import torch

from builders.places import PACK


@torch.inference_mode()
def answers_at(model, conds, latent: Sequence[int], shares: Sequence[float], spread: float = 1.0) -> torch.Tensor:
    """What ``model`` makes of the same noise at each of ``shares`` of sampling, with CFG, in one sampling run.

    With ``spread`` below 1 all rows of the batch but the first have a smaller sigma.
    """
    import comfy.sample
    import comfy.samplers

    sampling = model.get_model_object("model_sampling")
    sigmas = [float(sampling.percent_to_sigma(share)) for share in shares]
    noise, empty = torch.randn(latent, generator=torch.Generator().manual_seed(1)), torch.zeros(latent)
    empty = comfy.sample.fix_empty_latent_channels(model, empty)
    found = []

    def each(network, x, steps, extra_args, callback=None, disable=None):
        for sigma in steps[:-1]:
            rows = torch.full((len(x),), spread)
            rows[0] = 1
            # Not x, which the host scaled by the first of the sigmas.
            found.append(network(noise.view(x.shape), sigma * rows, **extra_args))
        return found[-1]

    sampler, steps = comfy.samplers.KSAMPLER(each), torch.tensor([*sigmas, 0.0])
    settings = {"disable_pbar": True, "seed": 1}
    comfy.sample.sample_custom(model, noise.view(empty.shape), 3.0, sampler, steps, *conds, empty, **settings)
    return torch.stack(found)


def schedule_of(*points: tuple[float, float, float], by: str = "step"):
    """A schedule of the pack through points (share of sampling, strength, bias shift), as a chain of nodes makes it."""
    made = import_module(f"{PACK}.perfusion_ops.edit.schedule")
    levels = [made.Level(*point) for point in points]
    first, *others = [made.Schedule.between(*pair, by) for pair in zip(levels, levels[1:], strict=False)]
    for other in others:
        first = first.then(other)
    return first
