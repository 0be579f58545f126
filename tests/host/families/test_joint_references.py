"""Joint attention with reference pictures: whose tokens are edited, and whose queries see it."""

from __future__ import annotations

import importlib

import pytest
import torch

from builders.joint_models import JOINT, WIDTH, joint_clip, small_model
from builders.joint_world import MARKED, JointWorld
from builders.older_hosts import skip_without
from builders.places import PACK

NOISE, OTHER_NOISE = 1, 2
CASES = {
    "Kontext": ("flux1", {}),
    "Flux.2": ("flux2", {"reference_latents_method": "index_timestep_zero"}),
    "Qwen-Image-Edit": ("qwen_image", {}),
    "Z-Image": ("zimage", {}),
    "Z-Image Omni": ("zimage", {"reference_latents_text_embeds": [5, 70, 3]}),
}
"""Title -> the family, and what else its conditioning has: lengths of the references' own texts."""


@pytest.fixture(scope="module", params=list(CASES))
def world(request, pack):
    family, entries = CASES[request.param]
    made = JointWorld(pack, family)
    # Where these layers mix places before the first joint one, nobody could tell them apart from outside.
    for layer in (*getattr(made.net, "context_refiner", ()), *getattr(made.net, "noise_refiner", ())):
        layer.attention.out.weight.data.zero_()
    generator = torch.Generator().manual_seed(9)
    made.entries = dict(entries)
    if "reference_latents_text_embeds" in entries:
        texts = [torch.randn(1, n, WIDTH, generator=generator) for n in entries["reference_latents_text_embeds"]]
        made.entries["reference_latents_text_embeds"] = texts
    made.latent = (1, *made.latent[1:])
    channels, (height, width) = made.latent[1], made.latent[-2:]
    sides = [(height, width), (height // 2, width)]
    frames = (1,) if made.model.model.latent_format.latent_dimensions == 3 else ()
    pictures = [torch.randn(1, channels, *frames, *side, generator=generator) for side in sides]
    made.entries["reference_latents"] = pictures
    return made


def draw(world, model, prompt, **settings) -> torch.Tensor:
    """Without guidance, as the host takes some of these in no batch."""
    return world.draw(model, prompt, entries=world.entries, cfg=1.0, **settings)


def first_attention(world, model, prompt, noise: int = NOISE) -> list[tuple[torch.Tensor, ...]]:
    """(queries, values, output) of the first joint layer's calls in a picture of ``prompt`` beside the references."""
    first, seen, open_ = next(iter(world.family.layers(world.net).values()))[0], [], []

    def spy(attention, queries, keys, values, heads, *args, **settings):
        output = attention(queries, keys, values, heads, *args, **settings)
        if open_:
            seen.append((queries, values, output))
        return output

    hook = first.register_forward_pre_hook(lambda *_: open_.append(None))
    second = list(world.family.layers(world.net).values())[1][0]
    ends = second.register_forward_pre_hook(lambda *_: open_.clear())
    draw(world, model, prompt, options={"optimized_attention_override": spy}, seed=noise, steps=1)
    hook.remove()
    ends.remove()
    return seen


def moved(one: torch.Tensor, other: torch.Tensor) -> set[int]:
    """The places of a sequence at which heads (B, H, L, D) differ."""
    return set((one != other).transpose(1, 2).flatten(2).any(-1).any(0).nonzero().flatten().tolist())


def test_the_edit_stands_at_the_words_and_the_picture_alone_sees_it(world):
    """Found from outside: the words are what moves with the prompt's tokens, the picture what moves with the noise."""
    named = world.prompt(5, ["teddy_t"])
    plain = world.pack.encoded_prompt.plain(named)
    other = plain.clone()
    other[:, list(MARKED)] += 1
    base, noisy, moved_words = (
        first_attention(world, world.model, prompt, noise)[0]
        for prompt, noise in ((plain, NOISE), (plain, OTHER_NOISE), (other, NOISE))
    )
    words, picture = moved(base[0], moved_words[0]), moved(base[0], noisy[0])
    assert len(words) == len(MARKED) and len(picture) * world.net.patch_size**2 == world.latent[-2] * world.latent[-1]
    edited, aside = first_attention(world, world.applied(world.concept()), named)[:2]
    assert moved(edited[1], base[1]) == words, "values change at the words alone"
    assert torch.equal(aside[1], base[1]) and aside[0].shape[2] == base[0].shape[2] - len(picture)
    unseeing = sorted(set(range(base[0].shape[2])) - picture)
    torch.testing.assert_close(aside[2], base[2][:, unseeing], rtol=1e-4, atol=1e-4)


def test_a_prompt_without_the_word_is_the_plain_models_to_the_bit(world):
    """Reference pictures or not, only the prompt that names the concept draws it."""
    named = world.prompt(5, ["teddy_t"])
    plain = world.pack.encoded_prompt.plain(named)
    model = world.applied(world.concept())
    before = draw(world, world.model, plain)
    assert torch.equal(draw(world, model, plain), before)
    assert (draw(world, model, named) - before).abs().max() > 1e-3
    black = world.applied(world.concept(), region=torch.zeros(8, 8))
    torch.testing.assert_close(draw(world, black, named), before, rtol=1e-3, atol=1e-3)


def test_references_that_were_read_in_an_earlier_step(pack):
    """Flux KV Cache reads reference pictures once: later steps have their keys and values, and no queries of theirs."""
    nodes = importlib.import_module("comfy_extras.nodes_flux")
    if not hasattr(nodes, "FluxKVCache"):
        skip_without("node Flux KV Cache")
    world = JointWorld(pack, "flux2")
    world.latent = (1, *world.latent[1:])
    pictures = {"reference_latents": [torch.randn(1, 128, 4, 4, generator=torch.Generator().manual_seed(9))]}
    named, settings = world.prompt(5, ["teddy_t"]), {"entries": pictures, "cfg": 1.0, "steps": 3}
    plain = pack.encoded_prompt.plain(named)
    both = world.model, world.applied(world.concept())
    model, edited = (nodes.FluxKVCache.execute(each).result[0] for each in both)
    before = world.draw(model, plain, **settings)
    assert (before - world.draw(world.model, plain, **settings)).abs().max() > 1e-6, "the cache is at work"
    drawn = world.draw(edited, named, **settings)
    assert (drawn - before).abs().max() > 1e-3
    assert torch.equal(world.draw(edited, plain, **settings), before)


@pytest.mark.parametrize("family", ["sd3", "chroma", "hidream"])
def test_a_model_without_reference_pictures_draws_as_if_there_were_none(pack, family):
    """The host hands none on to these networks: with a reference in the conditioning, the concept draws the same."""
    world = JointWorld(pack, family)
    named, model = world.prompt(5, ["teddy_t"]), world.applied(world.concept())
    beside = {"reference_latents": [torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(9))]}
    assert torch.equal(world.draw(model, named, entries=beside, steps=1), world.draw(model, named, steps=1))


@pytest.mark.parametrize("family", ["flux1", "qwen_image"])
@pytest.mark.parametrize("before", [0, 2, 3])
def test_the_look_stays_at_its_words_beside_tokens_of_another_node(pack, family, before):
    """As USO's style reference puts them: the picture is that of a prompt which had these tokens all along."""
    if family == "qwen_image":
        skip_without("such patches in Qwen-Image")
    world = JointWorld(pack, family)
    model, once = world.applied(world.concept()), {"steps": 1, "cfg": 1.0}
    named, others = world.prompt(5, ["teddy_t"]), torch.randn(1, 3, world.facts.context, generator=torch.manual_seed(7))
    longer = torch.cat((others[:, :before], named, others[:, before:]), 1)
    expected = world.draw(model, longer, **once)
    model.set_model_post_input_patch(lambda given: given | _joined(given, world.net, others, before))
    torch.testing.assert_close(world.draw(model, named, **once), expected, rtol=1e-4, atol=1e-4)
    alone = world.draw(model, pack.encoded_prompt.plain(named), **once)
    assert (alone - expected).abs().max() > 1e-3


def _joined(given, net, others: torch.Tensor, before: int) -> dict[str, torch.Tensor]:
    """The network's own text with ``others`` around it, and as many places more."""
    norm = getattr(net, "txt_norm", None)
    added = net.txt_in(others if norm is None else norm(others)).expand(len(given["txt"]), -1, -1)
    ids, count = given["txt_ids"], given["txt"].shape[1] + added.shape[1]
    steps = torch.arange(count).view(1, -1, 1) * (ids[:, 1:2] - ids[:, :1])
    text = torch.cat((added[:, :before], given["txt"], added[:, before:]), 1)
    return {"txt": text, "txt_ids": ids[:, :1] + steps}


def test_a_text_that_another_node_made_anew_is_refused(pack):
    """Nobody knows which of its tokens are the words, and others would take the look."""
    world = JointWorld(pack, "flux1")
    model = world.applied(world.concept())
    model.set_model_post_input_patch(
        lambda given: given | {name: given[name].repeat(1, 2, 1).flip(1) for name in ("txt", "txt_ids")}
    )
    with pytest.raises(ValueError, match=r"reads 22 places of \d+; expected the prompt's 11 and .* connect it without"):
        world.draw(model, world.prompt(5, ["teddy_t"]), cfg=1.0)


def test_pictures_in_the_prompt_move_the_words(pack):
    """Qwen-Image-Edit's text encoder sees pictures of unlike sizes, each of which is many tokens before the words."""
    edit = importlib.import_module("comfy_extras.nodes_qwen").TextEncodeQwenImageEditPlus
    clip = joint_clip("qwen_image")
    word = pack.concept_words.ConceptWord("my_bear", "teddy bear", marked=True, naming=pack.naming.Naming("my_bear"))
    pictures = {"image1": torch.rand(1, 64, 64, 3), "image2": torch.rand(1, 64, 160, 3)}

    @torch.inference_mode()
    def encoded(reader, text: str) -> torch.Tensor:
        return edit.execute(reader, text, **pictures).result[0][0][0]

    named = encoded(pack.clip.clip_knowing(clip, word), "put my_bear on the sea")
    plain, other = encoded(clip, "put teddy bear on the sea"), encoded(clip, "put teddy cat on the sea")
    assert torch.equal(pack.encoded_prompt.plain(named), plain)
    marks = pack.conditioning.marks_of(named, ["my_bear"])[0, :, 0]
    places = marks.nonzero().flatten().tolist()
    # A decoder's encodings change from the changed token on.
    assert places[0] > 100 and places[-1] == (plain != other).any(-1)[0].nonzero()[0].item()


def test_flux_fill_draws_and_is_refused_for_training(pack):
    """A concept of Flux.1 fills a hole in a picture; training has no holes to give."""
    world, facts = JointWorld(pack, "flux1"), JOINT["flux1"]
    world.model = small_model("FluxInpaint", facts.unet | {"in_channels": 96, "out_channels": 16}, torch.float32)
    entries = {"concat_latent_image": torch.ones(1, 16, 8, 8), "concat_mask": torch.ones(1, 1, 64, 64)}
    named, once = world.prompt(5, ["teddy_t"]), {"steps": 1, "entries": entries}
    plain = world.pack.encoded_prompt.plain(named)
    before, model = world.draw(world.model, plain, **once), world.applied(world.concept())
    assert (world.draw(model, named, **once) - before).abs().max() > 1e-3
    assert torch.equal(world.draw(model, plain, **once), before)
    with pytest.raises(ValueError, match="reads 96 channels, as inpainting and editing models do"):
        pack.family.family_of(world.model).check_trainable(world.model)


def test_flux_with_a_control_lora_draws_and_is_refused_for_training(pack):
    """A LoRA that lets Flux.1 read a depth map widens its first layer: a concept draws beside it, none learns there."""
    import comfy.lora

    world, generator = JointWorld(pack, "flux1"), torch.Generator().manual_seed(4)
    weight = world.net.img_in.weight
    wide = [weight.shape[0], 2 * weight.shape[1]]
    file = {
        "diffusion_model.img_in.lora_up.weight": torch.randn(wide[0], 2, generator=generator),
        "diffusion_model.img_in.lora_down.weight": torch.randn(2, wide[1], generator=generator) / 8,
        "diffusion_model.img_in.reshape_weight": torch.tensor(wide),
    }
    loaded = comfy.lora.load_lora(file, comfy.lora.model_lora_keys_unet(world.model.model, {}))
    without, world.model = world.model, world.model.clone()
    assert world.model.add_patches(loaded)
    control = {"concat_latent_image": torch.randn(1, 16, 8, 8, generator=generator)}
    named, once = world.prompt(5, ["teddy_t"]), {"steps": 1, "entries": control}
    plain, model = world.pack.encoded_prompt.plain(named), world.applied(world.concept())
    before = world.draw(world.model, plain, **once)
    assert (before - world.draw(without, plain, **once)).abs().max() > 1e-2
    assert (world.draw(model, named, **once) - before).abs().max() > 1e-3
    assert torch.equal(world.draw(model, plain, **once), before)
    checks = importlib.import_module(f"{PACK}.nodes.training.checks")
    for _ in range(2):
        with pytest.raises(ValueError, match="layer diffusion_model.img_in read 128 numbers instead of 64, as LoRAs"):
            checks.check_shapes(world.model)
        world.draw(world.model, plain, **once)
    checks.check_shapes(without)
