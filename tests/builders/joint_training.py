"""A training in a small model with joint attention: what predicts in it, and a teacher whose look it learns."""

from __future__ import annotations

from collections.abc import Mapping
from unittest import mock

import pytest
import torch

from perfusion_ops.training.rates import Sizes

from .joint_models import TOKENS
from .joint_world import MARKED, JointWorld
from .older_hosts import skip_where_untrainable

STEP = 3e-1
"""Along a small gradient: with less, some processors round a part of the difference away."""


def trained_model(world: JointWorld, recompute: bool = False):
    """The injection of a training and what predicts in it, on a private copy."""
    skip_where_untrainable(world.pack, world.family)
    private = world.pack.task.PrivateModel.of(world.model, "float32", recompute)
    injection = world.pack.joint_model.JointInjection(world.family, private.unet)
    pooled = None if world.facts.pooled is None else torch.ones(1, world.facts.pooled)
    arguments = world.model, injection, pooled, private.device, private.dtype
    return injection, world.pack.joint_model.joint_predictor(*arguments)


def gradient_through_the_text(world: JointWorld) -> tuple[float, float, float]:
    """Along what a gradient lacks that stops at the text of edited layers: the whole one, the stopped one, and by
    finite differences."""
    injection, predict = trained_model(world)
    encodings, gates = world.packed(world.prompt(5).expand(2, -1, -1)), torch.zeros(2, TOKENS, 1)
    gates[:, MARKED[0]] = 1
    context = world.pack.ops.EditedContext(encodings, encodings, world.in_sequence(gates))
    noisy = torch.randn(world.latent, generator=torch.Generator().manual_seed(3))
    widths = world.family.value_widths(world.net)
    start = torch.randn(sum(widths.values()), generator=torch.Generator().manual_seed(4))

    def loss(residuals: torch.Tensor) -> torch.Tensor:
        parts = residuals.split(list(widths.values()))
        injected.use(context, {name: part.unsqueeze(0) for name, part in zip(widths, parts, strict=True)})
        return predict(noisy, torch.tensor([300, 800]), encodings).double().square().mean()

    def gradient() -> torch.Tensor:
        residuals = start.clone().requires_grad_()
        return torch.autograd.grad(loss(residuals), residuals)[0]

    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:
        whole, room = gradient(), world.pack.joint_call
        attend = room.attend_by_position
        with mock.patch.object(room, "attend_by_position", lambda shown, others, *more: attend(
            shown, lambda values: others(values).detach(), *more
        )):
            stopped = gradient()
        along = (whole - stopped) / (whole - stopped).norm()
        with torch.no_grad():
            ahead, back = (loss(start + step * along) for step in (STEP, -STEP))
    return (whole @ along).item(), (stopped @ along).item(), ((ahead - back) / (2 * STEP)).item()


def sizes_seen(world: JointWorld) -> tuple[dict[str, float], list[float]]:
    """Of a training's first forward: by layer, the size that it takes of the marked values; and, in the order of the
    attention, the size of the plain values that an edit changes."""
    injection, predict = trained_model(world)
    encodings, gates = world.packed(world.prompt(5).expand(2, -1, -1)), torch.zeros(2, TOKENS, 1)
    gates[:, list(MARKED)] = 1
    residuals = {name: torch.ones(1, width) for name, width in world.family.value_widths(world.net).items()}
    noisy, changed = torch.randn(world.latent, generator=torch.Generator().manual_seed(3)), []
    room, sizes = world.pack.joint_call, Sizes()
    attend = room.attend_by_position

    def spy(shown, others, values, *more):
        def watched(edited: torch.Tensor) -> torch.Tensor:
            changed.append(values[edited != values].double().square().mean().sqrt().item())
            return shown(edited)

        return attend(watched, others, values, *more)

    with torch.no_grad(), injection.inject() as injected, mock.patch.object(room, "attend_by_position", spy):
        injected.observer = sizes.observe
        injected.use(world.pack.ops.EditedContext(encodings, encodings, world.in_sequence(gates)), residuals)
        predict(noisy, torch.tensor([300, 800]), encodings)
    return {name.removeprefix("value_residuals/"): size.item() for name, size in sizes.found().items()}, changed


def learn_hidden_residuals_back(world: JointWorld, widths: Mapping[str, int]) -> None:
    """Learn a teacher's residuals in the layers ``widths`` again, on two rows of a prompt."""
    injection, predict = trained_model(world, recompute=True)
    encodings = world.prompt(5).expand(2, -1, -1)
    gates = torch.zeros(2, TOKENS, 1)
    gates[:, MARKED[0]] = 1
    noisy = torch.randn(world.latent, generator=torch.Generator().manual_seed(3))
    learn_back(world.pack, injection, predict, noisy, world.packed(encodings), world.in_sequence(gates), widths)


def learn_back(pack, injection, predict, noisy: torch.Tensor, encodings, gates, widths: Mapping[str, int]) -> None:
    """Learn a teacher's residuals from two predictions; gradients equal finite differences on the way."""
    timesteps = torch.tensor([300, 800])
    context = pack.ops.EditedContext(encodings, encodings, gates)
    generator = torch.Generator().manual_seed(4)
    hidden = {name: torch.randn(1, width, generator=generator) for name, width in widths.items()}
    learned = {name: torch.zeros(1, width, requires_grad=True) for name, width in widths.items()}
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:

        def predicted(residuals):
            injected.use(context, residuals)
            return predict(noisy, timesteps, encodings)

        with torch.no_grad():
            wanted = predicted(hidden)

        def loss():
            return (predicted(learned) - wanted).square().mean()

        first = loss()
        first.backward()
        name, step = next(iter(learned)), 1e-2
        gradient = learned[name].grad[0, 5].item()
        assert all(residual.grad.abs().max() > 0 for residual in learned.values())
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                learned[name][0, 5] += sign * step
                values.append(loss().item())
                learned[name][0, 5] -= sign * step
        assert gradient == pytest.approx((values[0] - values[1]) / (2 * step), rel=0.05, abs=1e-6)
        optimizer = torch.optim.Adam(learned.values(), lr=0.1)
        for _ in range(25):
            optimizer.zero_grad()
            last = loss()
            last.backward()
            optimizer.step()
    assert last < 0.35 * first
