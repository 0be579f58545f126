"""Concepts of some of a model's layers: what a training of them holds, and what is drawn."""

from __future__ import annotations

import weakref

import pytest
import torch

from builders.joint_models import TOKENS
from builders.joint_training import learn_hidden_residuals_back, trained_model
from builders.joint_world import MARKED, JointWorld
from perfusion_ops.concept.file import concept_bytes, parse_concept


@pytest.fixture
def world(joint_world):
    return joint_world


def later_half(world) -> dict[str, int]:
    """Layer name -> width, of the later half."""
    widths = world.family.value_widths(world.net)
    return dict(world.pack.ops.EditedLayers.LATER_HALF.among(widths.items()))


def of_later_half(world, concept):
    """The same concept, with its residuals in the later half alone."""
    kept = {name: concept.value_residuals[name] for name in later_half(world)}
    return world.pack.ops.Concept(**{**vars(concept), "value_residuals": kept})


def silent_before(world, concept):
    """The same look as a concept of all layers, with residuals of 0 in the earlier ones."""
    kept = later_half(world)
    residuals = {name: r if name in kept else torch.zeros_like(r) for name, r in concept.value_residuals.items()}
    return world.pack.ops.Concept(**{**vars(concept), "value_residuals": residuals})


def test_the_later_half_ends_a_familys_layers(world):
    """Single blocks come after double ones, and refiners are not among the layers: the half is of the last ones."""
    widths, later = world.family.value_widths(world.net), later_half(world)
    assert list(widths)[-len(later) :] == list(later) and len(widths) // 2 <= len(later) < len(widths)
    if hasattr(world.net, "single_blocks"):
        assert list(later) == ["single_blocks.0", "single_blocks.1"]


def test_nothing_before_the_first_edited_layer_waits_for_the_backward_pass(world):
    """The later half takes less memory: no activations of earlier layers are held, with checkpointing and without."""
    layers, choices = len(world.family.value_widths(world.net)), world.pack.ops.EditedLayers
    first, kept = layers - len(later_half(world)), {}
    # Chroma Radiance has blocks behind its layers, which every gradient passes.
    blocks = len(list(world.family.blocks(world.net)))
    for recompute in (False, True):
        later, every = (kept_for_backward(world, recompute, kind) for kind in (choices.LATER_HALF, choices.ALL))
        assert set(later) == set(range(first, blocks)), recompute
        assert set(every) == set(range(blocks)), recompute
        assert recompute or sum(later.values()) < sum(every.values())
        kept[recompute] = sum(every.values())
    assert kept[True] < 0.7 * kept[False], "checkpointing holds a block's inputs and computes the rest again"


def kept_for_backward(world, recompute: bool, choice) -> dict[int, int]:
    """Number of a layer's block -> bytes of the tensors that its forward pass left for the backward pass.

    With checkpointing these are the block's inputs, as far as the host gives them by place and not by name.
    """
    injection, predict = trained_model(world, recompute)
    kept, place = [], [-1]

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor, self.block = tensor, place[0]
            kept.append(weakref.ref(self))

    encodings, gates = world.prompt(5), torch.zeros(1, TOKENS, 1)
    gates[:, MARKED[0]] = 1
    encodings, gates = world.packed(encodings), world.in_sequence(gates)
    noisy = torch.randn(world.latent, generator=torch.Generator().manual_seed(3))[:1]
    for number, block in enumerate(world.family.blocks(injection.net)):
        block.register_forward_pre_hook(lambda *_, number=number: place.__setitem__(0, number))
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:
        edited = choice.among(injection.value_widths.items())
        residuals = {name: torch.zeros(1, width, requires_grad=True) for name, width in edited}
        injected.use(world.pack.ops.EditedContext(encodings, encodings, gates), residuals)
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda it: it.tensor):
            loss = predict(noisy, torch.tensor([300]), encodings).square().mean()
    assert loss.requires_grad
    left: dict[int, int] = {}
    for it in filter(None, [reference() for reference in kept]):
        left[it.block] = left.get(it.block, 0) + it.tensor.nbytes
    return left


def test_hidden_residuals_of_the_later_half_are_learned_back(pack):
    """Gradients equal finite differences there too, with an earlier half that has none."""
    world = JointWorld(pack, "zimage")
    learn_hidden_residuals_back(world, later_half(world))


def test_it_draws_what_it_would_draw_with_residuals_of_zero_before(world):
    """The layers that a concept lacks stay the model's own; an attention of some queries at a time rounds otherwise on
    some processors. Other prompts stay theirs to the bit."""
    named, other = world.prompt(5, ["teddy_t"]), world.prompt(7)
    plain = world.pack.encoded_prompt.plain(named)
    before, concept = world.draw(world.model, plain, other), world.concept()
    half, whole = of_later_half(world, concept), silent_before(world, concept)
    drawn = world.draw(world.applied(half), named, other)
    silent = world.draw(world.applied(whole), named, other)
    torch.testing.assert_close(drawn, silent, rtol=1e-4, atol=1e-4)
    assert torch.equal(drawn[1], silent[1]) and torch.equal(drawn[1], before[1])
    assert (drawn[0] - before[0]).abs().max() > 1e-3
    assert torch.equal(world.draw(world.applied(half), plain, other), before)
    assert torch.equal(world.draw(world.applied(half, strength=1e-30), named, other)[1], before[1])


def test_concepts_of_different_layers_draw_in_either_order(world):
    """One of all layers, as files from before hold it, and one of the later half: layer by layer, to the bit."""
    whole, half = world.concept(), of_later_half(world, world.concept("mug_m", 2))
    prompt, once = world.prompt(5, ["teddy_t", "mug_m"]), {"steps": 1}
    drawn = world.draw(world.applied(whole, half), prompt, **once)
    assert torch.equal(world.draw(world.applied(half, whole), prompt, **once), drawn)
    silent = silent_before(world, world.concept("mug_m", 2))
    assert torch.equal(world.draw(world.applied(whole, silent), prompt, **once), drawn)
    assert not torch.equal(world.draw(world.applied(whole), prompt, **once), drawn)


def test_a_file_of_the_later_half_fits_its_model_alone(world):
    """Saved and loaded it draws the same. Layers that are neither all nor the later half are of another model."""
    half, named = of_later_half(world, world.concept()), world.prompt(5, ["teddy_t"])
    loaded = parse_concept(concept_bytes(half, "it", "fp32"), "it")
    loaded = world.pack.ops.Concept(**{**vars(loaded), "gate": "position"})
    once = {"steps": 1, "cfg": 1.0}
    assert torch.equal(world.draw(world.applied(loaded), named, **once), world.draw(world.applied(half), named, **once))
    residuals = world.concept().value_residuals
    earlier = {name: residual for name, residual in residuals.items() if name not in half.value_residuals}
    renamed = {f"{name}9": residual for name, residual in half.value_residuals.items()}
    for other in (earlier, renamed):
        found = f"was trained for {len(other)} attention layers, and this {world.family.title} model"
        with pytest.raises(ValueError, match=found):
            world.applied(world.pack.ops.Concept(**{**vars(half), "value_residuals": other}))


def test_it_draws_so_in_cross_attention_too_with_a_region(cross_world):
    """Where text stays the same from layer to layer: by the host's patches and by hooks, beside a learned word."""
    world, text = cross_world, "a photo of a teddy_t and a mug_m at sea"
    position, word = world.position_concept(), world.concept("mug_m", "coffee cup", 2)
    half, whole = of_later_half(world, position), silent_before(world, position)
    mask = torch.zeros(8, 8)
    mask[:, :4] = 1
    pairs = (half, word), (word, half), (whole, word), (word,)
    drawn = [world.draw(*world.applied(*pair, region=mask), text) for pair in pairs]
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])
    assert (drawn[0] - drawn[3]).abs().max() > 1e-4
