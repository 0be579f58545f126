"""Beside a pack that has the layers read a text of its own, as normalized attention guidance does with Wan."""

from __future__ import annotations

import types

import pytest
import torch

from builders.cross_world import TEXT, CrossWorld

TO_GUIDE = 4.0
SUPERCLASS = TEXT.format("teddy bear")


@pytest.fixture(scope="module", params=["learned word", "position"])
def world(request, pack):
    world = CrossWorld(pack, "wan21")
    world.a_concept = world.concept() if request.param == "learned word" else world.position_concept()
    return world


def guided(world, model, other: torch.Tensor | None, swapped: bool = False, seen: list | None = None):
    """The model, whose layers read each row of a batch alone, and ``other`` (1, T, d) beside each.

    ``swapped``: it reads ``other`` alone. The keys and values of each reading are put into ``seen``.
    """
    seen = [] if seen is None else seen
    from comfy.ldm.modules.attention import optimized_attention

    def attended(attention, queries, context):
        keys, values = attention.norm_k(attention.k(context)), attention.v(context)
        seen.append((keys, values))
        return optimized_attention(queries, keys, values, heads=attention.num_heads)

    def forward(attention, x, context, **_settings):
        rows = []
        for row, own in zip(x.split(1), context.split(1), strict=True):
            queries = attention.norm_q(attention.q(row))
            found = attended(attention, queries, other if swapped else own)
            if other is not None and not swapped:
                beside = attended(attention, queries, other)
                found = TO_GUIDE * found - (TO_GUIDE - 1) * beside
            rows.append(found)
        return attention.o(torch.cat(rows))

    clone = model.clone()
    for number, block in enumerate(world.net.blocks):
        bound = types.MethodType(forward, block.cross_attn)
        clone.add_object_patch(f"diffusion_model.blocks.{number}.cross_attn.forward", bound)
    return clone


def negative(world) -> torch.Tensor:
    return world.context("blurred, by day")


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_prompts_that_are_read_one_by_one_draw_the_concept(world, cfg):
    """With two rows in a call the layers read one at a time, each must get its own row's edit."""
    model, clip = world.applied(world.a_concept)
    text = TEXT.format("teddy_t")
    drawn = world.draw(model, clip, text, cfg=cfg)
    assert torch.allclose(world.draw(guided(world, model, None), clip, text, cfg=cfg), drawn, atol=1e-4)


def test_a_text_beside_the_prompt_is_not_edited(world):
    """The pack's negative prompt would take the look away again that the prompt has."""
    model, clip = world.applied(world.a_concept)
    other, seen, attention = negative(world), [], world.net.blocks[0].cross_attn
    world.draw(guided(world, model, other, seen=seen), clip, TEXT.format("teddy_t"), cfg=1.0)
    plain = [(attention.norm_k(attention.k(text)), attention.v(text)) for text in (world.context(SUPERCLASS), other)]
    # The first layer's: the prompt, then the text beside it.
    readings = seen[:2]
    own, beside = (torch.equal(values, known[1]) for (_, values), known in zip(readings, plain, strict=True))
    assert beside and torch.equal(readings[1][0], plain[1][0])
    assert not own


def test_layers_that_read_another_text_alone_are_refused(world):
    """Else the concept would be silently without effect."""
    model, clip = world.applied(world.a_concept)
    patched = guided(world, model, negative(world), swapped=True)
    with pytest.raises(ValueError, match="reads another prompt than the model gave it"):
        world.draw(patched, clip, TEXT.format("teddy_t"), cfg=1.0)
    assert world.draw(patched, clip, SUPERCLASS, cfg=1.0).isfinite().all()


def test_a_region_beside_another_text_is_refused(world):
    """A guided layer is no sum of shares, so a region's share of it would be wrong."""
    model, clip = world.applied(world.a_concept, region=torch.ones(8, 8).tril())
    patched = guided(world, model, negative(world))
    with pytest.raises(ValueError, match="also reads a prompt of another node.*Take the region away"):
        world.draw(patched, clip, TEXT.format("teddy_t"), cfg=1.0)
