"""Regions of every shape in every family: the places of a layer that change are those of the region, seen from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from builders.cross_world import TEXT

WORDS = ("teddy_t", "mug_m")
CORNERS = torch.zeros(8, 8), torch.zeros(8, 8)
CORNERS[0][:4, :2] = 1
CORNERS[1][6:, 2:] = 1
"""No two turns or mirror images of a corner are alike."""
NOWHERE, WHITE = torch.zeros(8, 8), torch.ones(8, 8)


def cells(region: Tensor, height: int, width: int) -> set[int]:
    """The places of a layer with so many rows and columns that a region touches."""
    shares = functional.interpolate(region[None, None], size=(height, width), mode="area")
    return set(shares.flatten().nonzero().flatten().tolist())


def check(answers: Callable[..., Tensor], height: int, width: int) -> None:
    """``answers(first region[, second region])`` of a layer's picture places (B, Q, d): each concept in its own alone.
    """
    nowhere, first, second, both = (
        answers(*regions) for regions in ((NOWHERE, NOWHERE), (CORNERS[0], NOWHERE), (NOWHERE, CORNERS[1]), CORNERS)
    )
    for answer, corner in zip((first, second), CORNERS, strict=True):
        changed = (answer != nowhere).any(-1).any(0).nonzero().flatten().tolist()
        assert set(changed) == cells(corner, height, width)
    torch.testing.assert_close(both - nowhere, (first - nowhere) + (second - nowhere), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(first, answers(CORNERS[0]), rtol=1e-3, atol=1e-4)
    assert torch.equal(answers(CORNERS[0], WHITE), answers(CORNERS[0], None)), "an all-white region is no region"


def applied(pack, model, concepts, regions):
    """A MODEL with the concepts for which there are regions, as a chain of Apply nodes makes it."""
    for concept, region in zip(concepts, regions, strict=False):
        term, naming = pack.ops.EditTerm(concept, pack.ops.Gate()), pack.naming.Naming(concept.word)
        model = pack.model.model_with_concept(model, pack.model.AppliedConcept(term, region, naming=naming))
    return model


def first_answer(net: torch.nn.Module, attention: torch.nn.Module, draw: Callable[[], object]) -> Tensor:
    """What one attention gives (B, Q, d) at its first call; for regions it is called again from inside."""
    found, open_ = [], []

    def ends(_module, _args, output) -> None:
        open_.pop()
        if not open_:
            found.append((output[0] if isinstance(output, tuple) else output).clone())

    hooks = []

    def listen(*_) -> None:
        """Behind the edit's own hooks."""
        hooks.append(attention.register_forward_pre_hook(lambda *_: open_.append(None)))
        hooks.append(attention.register_forward_hook(ends))

    hooks.append(net.register_forward_pre_hook(listen))
    draw()
    for hook in hooks:
        hook.remove()
    return found[0]


def test_text_cross_attention(cross_world):
    """Two subjects side by side would change places, or each would wear the other's look."""
    world = cross_world
    concepts = [world.position_concept(), world.position_concept("mug_m", "coffee cup", 2)]
    clip = world.clip
    for concept in concepts:
        clip = world.pack.clip.clip_with_concept(clip, concept, 1.0, world.pack.ops.KeyLocking.LOCAL)
    prompt = clip.encode_from_tokens_scheduled(clip.tokenize(TEXT.format("teddy_t and a mug_m")), show_pbar=False)
    attention = next(iter(world.family.layers(world.net).values())).attention
    side = world.family.patch(world.net)

    def answers(*regions: Tensor) -> Tensor:
        model = applied(world.pack, world.model, concepts, regions)
        return first_answer(world.net, attention, lambda: world.sample(model, prompt))

    check(answers, world.latent[-2] // side, world.latent[-1] // side)


def test_joint_attention(joint_world):
    """The same where text and picture share one attention."""
    world, room = joint_world, joint_world.pack.joint_call
    concepts, prompt = [world.concept(word, seed) for seed, word in enumerate(WORDS, 1)], world.prompt(5, WORDS)
    attend, (height, width) = room.attend_by_position, (side // world.net.patch_size for side in world.latent[-2:])

    def answers(*regions: Tensor) -> Tensor:
        seen = []

        def keep(shown, others, values, gates, *more) -> Tensor:
            answer, (output_heads_first, text_first) = attend(shown, others, values, gates, *more), more[-2:]
            answer_of_places = answer.transpose(1, 2).flatten(2) if output_heads_first else answer
            seen.append(answer_of_places[:, gates.shape[1] if text_first else 0 :][:, : height * width])
            return answer

        with mock.patch.object(room, "attend_by_position", keep):
            world.draw(applied(world.pack, world.model, concepts, regions), prompt, steps=1, cfg=1.0)
        return seen[0]

    check(answers, height, width)


@pytest.mark.parametrize(("layer", "level"), [("input_blocks.1.1", 0), ("input_blocks.3.1", 1)])
def test_a_u_net(pack, loaded, pack_concept, layer, level):
    """Each level of a U-Net has a grid of its own, half of the one before, rounded up."""
    import comfy.sample

    (model, clip), (height, width) = loaded, (9, 7)
    net, concepts = model.model.diffusion_model, []
    for seed, word in enumerate(WORDS, 1):
        whole = pack_concept(word, "bear", seed).value_residuals
        silent = {name: residual * name.startswith(layer) for name, residual in whole.items()}
        concepts.append(pack.ops.Concept(word, "bear", "sd1", value_residuals=silent, gate="position"))
        clip = pack.clip.clip_with_concept(clip, concepts[-1], 1.0, pack.ops.KeyLocking.LOCAL)
    prompt = clip.encode_from_tokens_scheduled(clip.tokenize("a teddy_t and a mug_m"), show_pbar=False)
    (attention,) = (each for name, each in pack.unet.UNETS[0].cross_attentions(net).items() if name.startswith(layer))
    noise, empty = torch.randn(1, 4, height, width), torch.zeros(1, 4, height, width)

    def answers(*regions: Tensor) -> Tensor:
        edited, settings = applied(pack, model, concepts, regions), {"disable_pbar": True, "seed": 1}
        samples = comfy.sample.sample
        return first_answer(
            net, attention, lambda: samples(edited, noise, 1, 1.0, "euler", "normal", prompt, prompt, empty, **settings)
        )

    for _ in range(level):
        height, width = -(-height // 2), -(-width // 2)
    with torch.inference_mode():
        check(answers, height, width)
