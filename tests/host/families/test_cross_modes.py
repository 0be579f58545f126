"""Transformers with text cross-attention beside what else a workflow does to a model."""

from __future__ import annotations

import pytest
import torch

from builders.compiled import compile_first_block
from builders.cross_models import cross_model
from builders.cross_world import TEXT
from builders.older_hosts import skip_where_untrainable, skip_without
from builders.own_attention import own_attention


@pytest.fixture
def world(cross_world):
    return cross_world


def test_beside_a_lora_and_another_patch(world):
    """A LoRA before or after Apply draws the same; a node that reads the prompt in the model sees the edited one."""
    concept, text = world.concept(), TEXT.format("teddy_t")
    name, layer = next(iter(world.family.layers(world.net).items()))
    key = f"diffusion_model.{name}.{world.facts.parts[1]}.weight"
    shape = whole(layer.to_v).weight.shape
    change = {key: ("diff", (0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(2)),))}
    model, clip = world.applied(concept)
    after, before = model.clone(), world.model.clone()
    after.add_patches(change)
    before.add_patches(change)
    term = world.pack.model.applied_terms(model)[0]
    naming = world.pack.naming.Naming(concept.word)
    applied = world.pack.model.AppliedConcept(term, naming=naming)
    first = world.pack.model.model_with_concept(before, applied)
    pictures = [world.draw(patcher, clip, text) for patcher in (after, first)]
    assert torch.equal(*pictures) and (pictures[0] - world.draw(model, clip, text)).abs().max() > 1e-3
    assert torch.equal(world.draw(after, clip, "a cat"), world.draw(before, world.clip, "a cat"))
    contexts = []
    theirs = model.clone()
    if world.family.as_patch is None:
        theirs.set_model_attn2_patch(lambda after: contexts.append(None) or after["x"])
        assert torch.equal(world.draw(theirs, clip, text), world.draw(model, clip, text))
        silent = world.name.startswith(("pixart", "hunyuan", "anima", "cosmos2"))
        assert bool(contexts) != silent, "some call nobody's patches, as Anima and Cosmos of ComfyUI 0.13.0"
        return
    theirs.set_model_attn2_patch(lambda q, k, v, **others: contexts.append(k) or {"q": q, "k": k, "v": v})
    assert torch.equal(world.draw(theirs, clip, text), world.draw(model, clip, text))
    assert all((keys - world.context(TEXT.format("teddy bear"))).abs().max() > 1e-2 for keys in contexts)


def whole(projection):
    """The host's module of a projection."""
    return getattr(projection, "whole", projection)


def test_beside_another_attention(world):
    """A node with a kernel of its own, such as SageAttention's, may stand beside it: the same picture, by its kernel.
    """
    text, calls = TEXT.format("teddy_t"), []
    model, clip = world.applied(world.concept())
    drawn, superclass = world.draw(model, clip, text), world.draw(model, clip, TEXT.format("teddy bear"))
    theirs = own_attention(calls)
    close = {"rtol": 1e-3, "atol": 1e-3 * max(1, drawn.std().item())}
    torch.testing.assert_close(world.draw(model, clip, text, options=theirs), drawn, **close)
    assert (drawn - superclass).abs().max() > 1e-2
    plain = [world.draw(each, clip, TEXT.format("teddy bear"), options=theirs) for each in (model, world.model)]
    assert torch.equal(*plain) and bool(calls) == (not world.name.startswith(("pixart", "hunyuan"))), "these ask nobody"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_small_weights_draw_and_train_where_they_lie(world, dtype):
    """A model kept in few bytes gets no second copy for a training, and its concept draws as in full precision."""
    if world.name == "anima":
        skip_without("norms of small weights in Anima's adapter")
    model = cross_model(world.name, dtype)
    concept, text = world.concept(), TEXT.format("teddy_t")
    _, clip = world.applied(concept)
    applied = world.pack.model.AppliedConcept(world.pack.model.applied_terms(world.applied(concept)[0])[0])
    edited = world.pack.model.model_with_concept(model, applied)
    assert (world.draw(edited, clip, text) - world.draw(model, clip, text)).abs().max() > 1e-2
    skip_where_untrainable(world.pack, world.family)
    private = world.pack.task.PrivateModel.of(model, "float32", True)
    for name, layer in world.family.layers(private.unet).items():
        theirs = world.family.layers(model.model.diffusion_model)[name]
        own, shared = whole(layer.to_v).weight, whole(theirs.to_v).weight
        assert own.dtype == dtype and own.data_ptr() == shared.data_ptr()
    predict = world.pack.cross_model.cross_predictor(model, private.unet, private.device, torch.float32)
    reading = not world.family.values_alone
    injection = world.pack.cross_model.CrossInjection(world.family.layers(private.unet), reading)
    residuals = {name: torch.zeros(1, width, requires_grad=True) for name, width in injection.value_widths.items()}
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:
        context = world.context(text).clone()
        gates = (context != 0).any(-1, keepdim=True).float()
        injected.use(world.pack.ops.EditedContext(context, context, gates), residuals)
        predict(world.noise(), torch.tensor([300]), world.trained(text).clone()).square().sum().backward()
    assert all(residual.grad.abs().max() > 0 for residual in residuals.values())


def test_a_model_loaded_by_halves_draws_the_same(world):
    """As --lowvram loads it: most weights stay aside and are cast at every call, the reading layers' too."""
    text, (model, clip) = TEXT.format("teddy_t"), world.applied(world.concept())
    whole = world.draw(model, clip, text)
    model.unpatch_model(model.offload_device)
    model.partially_load(model.load_device, 1000)
    aside = [part for part in model.model.modules() if getattr(part, "comfy_cast_weights", False)]
    assert aside and torch.equal(world.draw(model, clip, text), whole)
    model.unpatch_model(model.offload_device)


def test_a_compiled_model_draws_the_concept_that_is_asked_for(world):
    """What the plain prompt compiled is not used again without the edit; other prompts stay compiled."""
    texts, (model, clip) = [TEXT.format(word) for word in ("teddy bear", "teddy_t")], world.applied(world.concept())
    plain, named = (world.draw(model, clip, text, cfg=1.0) for text in texts)
    model, graphs = model.clone(), []
    compile_first_block(model, next(iter(world.family.layers(world.net))), graphs)
    for text, drawn in zip((*texts, texts[0]), (plain, named, plain), strict=True):
        torch.testing.assert_close(world.draw(model, clip, text, cfg=1.0), drawn, rtol=1e-4, atol=1e-4)
    assert graphs
