"""Concepts with a position gate in transformers with joint attention: the host's classes, model, CFG and sampler."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from builders.joint_models import TOKENS
from builders.joint_training import gradient_through_the_text, learn_hidden_residuals_back, sizes_seen, trained_model
from builders.joint_world import MARKED, JointWorld
from builders.own_attention import own_attention
from perfusion_ops.concept.file import concept_bytes, parse_concept


@pytest.fixture
def world(joint_world):
    return joint_world


def test_the_first_layer_adds_the_residual_to_picture_queries_alone(world):
    """``A V`` by hand in float64, plus ``g r`` times the attention on the marked tokens, at picture places only."""
    concept = world.concept()
    first = next(iter(concept.value_residuals))
    seen = []

    def spy(attention, queries, keys, values, heads, *args, **settings):
        output = attention(queries, keys, values, heads, *args, **settings)
        tensors = queries, keys, values
        if not settings.get("skip_reshape"):
            tensors = [tensor.reshape(*tensor.shape[:2], heads, -1).transpose(1, 2) for tensor in tensors]
        seen.append((*tensors, settings, output))
        return output

    both = world.prompt(5, ["teddy_t"])
    world.draw(world.applied(concept), both, both, options={"optimized_attention_override": spy})
    edited, plain_text = next(
        (now, after)
        for now, after in zip(seen, seen[1:], strict=False)
        if now[0].shape[2] + after[0].shape[2] == now[1].shape[2]
    )
    keys, values = (tensor.double() for tensor in edited[1:3])
    cells = edited[0].shape[2]
    text = world.family.text_places(world.in_sequence(torch.zeros(1, TOKENS, 1)), world.net).shape[1]
    start, end = (text, text + cells) if world.family.text_first else (0, cells)
    assert cells * world.net.patch_size**2 == world.latent[-2] * world.latent[-1]
    others = plain_text[0]
    queries = torch.cat((others[:, :, :start], edited[0], others[:, :, start:]), 2).double()
    plain = plain_text[2].double()
    shares = (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(-1)
    opening = torch.sigmoid(torch.tensor((1 - 0.6) / 0.15)).double()
    heads, size = plain.shape[1], plain.shape[3]
    residual = concept.value_residuals[first].double().view(1, -1, 1, size)
    residual = residual.repeat_interleave(heads // residual.shape[1], 1)
    marked = torch.zeros(1, TOKENS)
    marked[:, list(MARKED)] = 1
    places = [world.facts.first_text_place + place for place in world.in_sequence(marked)[0].nonzero().flatten()]
    added = opening * shares[..., places].sum(-1, keepdim=True) * residual
    row = (values - plain).flatten(1).any(1).nonzero().flatten().tolist()
    assert row and len(row) < len(values), "one half of the batch is the prompt, the other the negative one"
    expected = (shares @ plain + added).transpose(1, 2).flatten(2)[row, start:end]
    torch.testing.assert_close(edited[4].double()[row], expected, rtol=1e-4, atol=1e-4)
    by_hand = (shares @ plain).transpose(1, 2).flatten(2)[row]
    unedited = torch.cat((by_hand[:, :start], by_hand[:, end:]), 1)
    torch.testing.assert_close(plain_text[4].double()[row], unedited, rtol=1e-4, atol=1e-4)
    assert added[row].abs().max() > 0.05


def test_nothing_else_changes_to_the_bit(world):
    """A prompt or a row without the word, and the plain model afterwards, draw what they drew before."""
    named, other = world.prompt(5, ["teddy_t"]), world.prompt(7)
    plain = world.pack.encoded_prompt.plain(named)
    before = world.draw(world.model, plain, other)
    model = world.applied(world.concept())
    mixed = world.draw(model, named, other)
    assert torch.equal(mixed[1], before[1]) and (mixed[0] - before[0]).abs().max() > 1e-3
    assert torch.equal(world.draw(model, plain, other), before)
    assert torch.equal(world.draw(world.applied(world.concept(), strength=1e-30), named, other)[1], before[1])
    assert torch.equal(world.draw(world.model, plain, other), before)


def test_concepts_in_any_order_and_behind_another_override(world):
    """Chains of Apply draw the same in any order, and beside another node that replaces attention, to the bit."""
    one, two = world.concept(), world.concept("mug_m", 2)
    prompt = world.prompt(5, ["teddy_t", "mug_m"])
    pictures = [world.draw(world.applied(*order), prompt, prompt) for order in ((one, two), (two, one))]
    assert torch.equal(*pictures) and not torch.equal(pictures[0], world.draw(world.applied(one), prompt, prompt))
    calls = []

    def theirs(attention, *args, **settings):
        calls.append(1)
        return attention(*args, **settings)

    options = {"optimized_attention_override": theirs}
    assert torch.equal(world.draw(world.applied(one, two), prompt, prompt, options=options), pictures[0]) and calls


def test_beside_a_kernel_of_another_node(world):
    """A node that computes attention itself, such as SageAttention's: the concept is drawn, by that node's kernel."""
    calls: list = []
    named = world.prompt(5, ["teddy_t"])
    plain, model, options = world.pack.encoded_prompt.plain(named), world.applied(world.concept()), own_attention(calls)
    drawn = world.draw(model, named, steps=1)
    own = world.draw(model, named, steps=1, options=options)
    torch.testing.assert_close(own, drawn, rtol=1e-3, atol=1e-3)
    parts = {shape[-2] for shape in calls if len(shape) == 4} | {shape[1] for shape in calls if len(shape) == 3}
    assert len(parts) > 1, "its kernel has the words' own queries too"
    without = [world.draw(each, plain, steps=1, options=options) for each in (model, world.model)]
    assert torch.equal(*without) and (without[0] - drawn).abs().max() > 1e-3


@pytest.mark.parametrize("joint_world", ["flux1", "chroma", "qwen_image"], indirect=True)
def test_what_a_prompts_mask_leaves_out_stays_out(joint_world):
    """Of tokens that a mask hides from all, as those of a style, neither picture nor words hear with the concept."""
    world, length = joint_world, TOKENS + 5
    named = [torch.cat((world.prompt(5, ["teddy_t"]), world.prompt(seed, tokens=5)), 1) for seed in (1, 2)]
    heard = torch.arange(length) < TOKENS
    entries = {"attention_mask": heard.long().unsqueeze(0)}
    if world.name != "qwen_image":
        # The host takes one row for each place of words and picture.
        side = world.latent[-1] // 2
        whole = torch.zeros(1, length + side**2, length + side**2)
        whole += torch.randn(whole.shape, generator=torch.Generator().manual_seed(8))
        whole[..., :length][..., ~heard] = -1e4
        entries = {"attention_mask": whole, "attention_mask_img_shape": (side, side)}
    model, one = world.applied(world.concept()), {"entries": entries, "steps": 1, "cfg": 1.0}
    pictures = [world.draw(model, prompt, **one) for prompt in named]
    torch.testing.assert_close(*pictures, rtol=1e-4, atol=1e-4)
    plain = world.pack.encoded_prompt.plain(named[0])
    superclass = world.draw(world.model, plain, **one)
    assert torch.equal(world.draw(model, plain, **one), superclass)
    assert (pictures[0] - superclass).abs().max() > 1e-3
    # Each place hears by its own row of the mask, words and picture apart.
    silent = world.draw(world.applied(world.concept(), strength=1e-30), named[0], **one)
    torch.testing.assert_close(silent, superclass, rtol=1e-4, atol=1e-4)


def test_a_prompt_longer_than_the_models_padding_keeps_its_words(pack):
    """Flux.2 pads prompts to 512 tokens on the left, and takes longer ones whole."""
    world, tokens = JointWorld(pack, "flux2"), 515
    named, marks = world.prompt(5, ["teddy_t"], tokens), torch.rand(1, tokens, 1)
    assert torch.equal(world.family.text_places(marks, world.net), marks)
    once = {"steps": 1, "cfg": 1.0}
    plain = world.draw(world.model, world.pack.encoded_prompt.plain(named), **once)
    assert (world.draw(world.applied(world.concept(scale=9.0)), named, **once) - plain).abs().max() > 1e-3


def test_a_region_keeps_the_look_inside(world):
    """A white mask is no mask, to the bit; with a black one the word draws the superclass."""
    prompt, concept = world.prompt(5, ["teddy_t"]), world.concept()
    plain = world.pack.encoded_prompt.plain(prompt)
    close = {"rtol": 1e-3, "atol": 1e-3}
    whole = world.draw(world.applied(concept), prompt, prompt)
    white = world.draw(world.applied(concept, region=torch.ones(8, 8)), prompt, prompt)
    black = world.draw(world.applied(concept, region=torch.zeros(8, 8)), prompt, prompt)
    assert torch.equal(white, whole)
    torch.testing.assert_close(black, world.draw(world.model, plain, plain), **close)
    assert (whole - black).abs().max() > 0.01


def test_hidden_residuals_are_learned_back(world):
    """Gradients reach every layer's residual and equal finite differences; a teacher's residuals are found again."""
    learn_hidden_residuals_back(world, world.family.value_widths(world.net))


def test_a_learning_rate_is_in_units_of_the_superclass_own_values(world):
    """How large values are is a model's own matter: a training looks, in every layer, where the edit will be."""
    sizes, changed = sizes_seen(world)
    assert list(sizes) == list(world.family.value_widths(world.net))
    assert list(sizes.values()) == pytest.approx(changed, rel=1e-3) and min(changed) > 0


@pytest.mark.parametrize("joint_world", ["zimage", "flux1"], indirect=True)
def test_the_gradient_passes_through_the_text_that_reads_the_picture(joint_world):
    """Words of later layers hear of the look from the picture: a gradient that stops there learns another thing."""
    whole, stopped, differences = gradient_through_the_text(joint_world)
    assert whole == pytest.approx(differences, rel=0.03)
    assert abs(stopped - differences) > 0.2 * abs(differences)


def test_a_training_predicts_what_the_host_predicts(world):
    """Without residuals, the private copy's prediction is the host's own."""
    injection, predict = trained_model(world)
    noisy = torch.randn(world.latent, generator=torch.Generator().manual_seed(3))
    timesteps, prompt = torch.tensor([300, 300]), world.prompt(5).expand(2, -1, -1)
    with torch.no_grad(), injection.inject():
        found = predict(noisy, timesteps, world.packed(prompt))
    sigma = world.family.noise_schedule(world.model).sigmas[timesteps]
    model = world.model.model
    latents = noisy.unsqueeze(2) if model.latent_format.latent_dimensions == 3 else noisy
    pooled = None if world.facts.pooled is None else torch.ones(1, world.facts.pooled)
    first, beside = world.given(prompt)
    given = {"cross_attn": first, **beside, "noise": latents, "device": torch.device("cpu"), "pooled_output": pooled}
    conditions = {n: c.process_cond(batch_size=2, area=None).cond for n, c in model.extra_conds(**given).items()}
    denoised = model.apply_model(latents, sigma, transformer_options={}, **conditions)
    expected = (latents - denoised) / sigma.view(-1, *[1] * (latents.ndim - 1))
    torch.testing.assert_close(found, expected.view(found.shape), rtol=1e-3, atol=1e-3)


def test_a_learned_word_and_another_family_are_refused(world):
    """Who applies a concept of another kind or family reads what was found and what to do."""
    with pytest.raises(ValueError, match="was trained for SD 1.x, and this model is"):
        other = {"word": "w", "superclass": "s", "base_family": "sd1", "gate": "position"}
        world.applied(world.pack.ops.Concept(value_residuals=world.concept().value_residuals, **other))


def test_the_clip_of_another_model_is_told_before_a_training(world):
    """Who connects another model's CLIP reads which one is needed, and not that matrices cannot be multiplied."""
    first, beside = world.given(world.prompt(5))

    def check(cond: torch.Tensor, beside: dict) -> None:
        clip = SimpleNamespace(tokenize=str, encode_from_tokens=lambda _t, return_dict: {"cond": cond, **beside})
        world.pack.belonging.check_text(world.model, clip, "bear")

    check(first, beside)
    title, width = re.escape(world.family.title), first.shape[-1]
    with pytest.raises(ValueError, match=f"gives {width + 1} numbers .* this {title} model reads {width}. Connect"):
        check(torch.nn.functional.pad(first, (0, 1)), beside)
    if beside:
        with pytest.raises(ValueError, match=f"gives one text, and {title} reads two"):
            check(first, {})


def test_a_file_draws_what_the_concept_draws(world):
    """Saved and loaded, in full precision to the bit; in int8 nearly."""
    named, concept, once = world.prompt(5, ["teddy_t"]), world.concept(), {"steps": 1, "cfg": 1.0}
    drawn = world.draw(world.applied(concept), named, **once)
    for precision, bound in (("fp32", 0.0), ("int8", 0.05)):
        loaded = parse_concept(concept_bytes(concept, "it", precision), "it")
        again = world.draw(world.applied(world.pack.ops.Concept(**{**vars(loaded), "gate": "position"})), named, **once)
        assert (again - drawn).norm() <= bound * drawn.norm(), precision
