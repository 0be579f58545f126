"""Prompts for a part of the picture in every family: the concept stays in its part, and a region is the picture's."""

from __future__ import annotations

import pytest
import torch

from builders.cross_world import TEXT

NAMED, SUPERCLASS, OTHER = "teddy_t", "teddy bear", "cat"


class Wide:
    """A picture twice as wide as a family's small one, drawn in one step of the host's own sampling."""

    def __init__(self, world, encode) -> None:
        self.world, self.encode = world, encode
        self.shape = (1, *world.latent[1:-1], 2 * world.latent[-1])
        self.height, self.width = world.latent[-2:]
        self.half = torch.zeros(self.height, 2 * self.width)
        self.half[:, : self.width] = 1

    def part(self, right: bool, masked: bool) -> dict:
        """What a conditioning node says of the left or the right half."""
        if masked:
            mask = self.half.flip(-1) if right else self.half
            return {"mask": mask.unsqueeze(0), "mask_strength": 1.0, "set_area_to_bounds": False}
        return {"area": (self.height, self.width, 0, right * self.width), "strength": 1.0}

    @torch.inference_mode()
    def draw(self, applied, *prompts: tuple[str, dict]) -> torch.Tensor:
        import comfy.sample

        model, clip = applied
        conds = [[value, others | part] for word, part in prompts for value, others in self.encode(clip, word)]
        empty = comfy.sample.fix_empty_latent_channels(model, torch.zeros(self.shape))
        noise = torch.randn(self.shape, generator=torch.Generator().manual_seed(1)).view(empty.shape)
        negative, settings = self.encode(clip, OTHER), {"disable_pbar": True, "seed": 1}
        return comfy.sample.sample(model, noise, 1, 3.0, "euler", "simple", conds, negative, empty, **settings)

    def halves(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return picture.split(self.width, -1)


def areas_stay_apart(wide: Wide, plain, applied) -> None:
    for masked in (False, True):
        left, right = (wide.part(side, masked) for side in (False, True))
        before = wide.draw(plain, (SUPERCLASS, left), (OTHER, right))
        named = wide.draw(applied(), (NAMED, left), (OTHER, right))
        changed = [(new - old).abs().max() for new, old in zip(*map(wide.halves, (named, before)), strict=True)]
        assert changed[0] > 1e-2 and changed[1] == 0
        assert torch.equal(wide.draw(applied(), (SUPERCLASS, left), (OTHER, right)), before)


def a_region_is_the_whole_pictures(wide: Wide, plain, applied) -> None:
    left, right = (wide.part(side, masked=False) for side in (False, True))
    regional, everywhere = applied(region=wide.half), wide.draw(applied(), (NAMED, left), (NAMED, right))
    close = {"rtol": 1e-3, "atol": 1e-3 * max(1, everywhere.std().item())}
    nowhere = wide.draw(plain, (SUPERCLASS, left), (SUPERCLASS, right))
    drawn = wide.halves(wide.draw(regional, (NAMED, left), (NAMED, right)))
    torch.testing.assert_close(drawn[0], wide.halves(everywhere)[0], **close)
    torch.testing.assert_close(drawn[1], wide.halves(nowhere)[1], **close)
    assert (drawn[0] - wide.halves(nowhere)[0]).abs().max() > 1e-2


TESTS = pytest.mark.parametrize("shown", [areas_stay_apart, a_region_is_the_whole_pictures], ids=lambda f: f.__name__)
"""A prompt in one half leaves the other half alone, to the bit; and a concept with a region and a prompt with an area:
the look is where both are, not squeezed into the area."""


@TESTS
def test_text_cross_attention(cross_world, shown):
    """Two characters side by side, each by its own prompt: neither shows in the other's half."""
    world = cross_world

    def encode(clip, word: str):
        return clip.encode_from_tokens_scheduled(clip.tokenize(TEXT.format(word)), show_pbar=False)

    # Outside of its region a learned word keeps its own key; a position gate is the superclass there.
    concept = world.concept() if shown is areas_stay_apart else world.position_concept()
    shown(Wide(world, encode), (world.model, world.clip), lambda **where: world.applied(concept, **where))


@TESTS
def test_joint_attention(joint_world, shown):
    """The same where text and picture share one attention."""
    world = joint_world
    named, other = world.prompt(5, [NAMED]), world.prompt(7)
    prompts = {NAMED: named, SUPERCLASS: world.pack.encoded_prompt.plain(named), OTHER: other}

    def encode(_clip, word: str):
        pooled = {"pooled_output": None if world.facts.pooled is None else torch.ones(1, world.facts.pooled)}
        prompt, second = world.given(prompts[word])
        return [[prompt, pooled | second]]

    shown(Wide(world, encode), (world.model, None), lambda **where: (world.applied(world.concept(), **where), None))
