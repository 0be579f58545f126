"""Joint attention in the host's other modes: small weights, LoRA, halves, compiled, and trainings that are stopped."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest
import torch

from builders.compiled import compile_first_block
from builders.joint_models import TOKENS, small_model
from builders.joint_world import MARKED, JointWorld
from builders.older_hosts import skip_where_untrainable

TEMPLATES = ("a {}", "the {} at sea")


@pytest.fixture
def world(joint_world):
    return joint_world


def prompts(world) -> tuple[torch.Tensor, torch.Tensor]:
    """One that names the concept, and the superclass's own."""
    named = world.prompt(5, ["teddy_t"])
    return named, world.pack.encoded_prompt.plain(named)


def with_concept(world, model):
    """``model`` with the concept that ``world.applied`` puts into its own."""
    term = world.pack.ops.EditTerm(world.concept(), world.pack.ops.Gate(), 1.0)
    return world.pack.model.model_with_concept(model, world.pack.model.AppliedConcept(term))


def lora(world) -> dict:
    """A change of the first projection that concepts are learned at."""
    module = next(iter(world.family.layers(world.net).values()))[0]
    name = next(name for name, part in world.net.named_modules() if part is module)
    change = 0.3 * torch.randn(module.weight.shape, generator=torch.Generator().manual_seed(2))
    return {f"diffusion_model.{name}.weight": ("diff", (change,))}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_small_weights_draw_and_train_where_they_lie(pack, joint_world, dtype):
    """A model kept in few bytes draws its concept, and a training makes no second copy of it."""
    world = JointWorld(pack, joint_world.name)
    world.model = small_model(world.facts.config, world.facts.unet, dtype)
    named, plain = prompts(world)
    one = {"steps": 1, "cfg": 1.0}
    if (world.name, dtype) == ("zimage_pixel", torch.float8_e4m3fn):
        # The host computes its decoder's times in the dtype of the weights.
        with pytest.raises(NotImplementedError, match="Float8"):
            world.draw(world.model, plain, **one)
        return
    superclass = world.draw(world.model, plain, **one)
    assert (world.draw(with_concept(world, world.model), named, **one) - superclass).abs().max() > 1e-3
    task = training(world)
    theirs = dict(world.model.model.diffusion_model.named_parameters())
    shared = [theirs[name].data_ptr() == own.data_ptr() for name, own in task.injection.net.named_parameters()
              if own.dtype == dtype]  # fmt: skip
    assert len(shared) > len(world.family.layers(world.net)) and all(shared)
    with torch.inference_mode(False), torch.enable_grad():
        concept = pack.ops.train(task, settings(pack, steps=2)).concept
    assert all(residual.abs().max() > 0 for residual in concept.value_residuals.values())


def test_a_lora_before_and_after_the_concept_is_the_same(world):
    """A LoRA on the very projections that the concept is learned at may be loaded before or after Apply."""
    named, plain = prompts(world)
    patch = lora(world)
    before, after = world.model.clone(), world.applied(world.concept())
    before.add_patches(patch)
    without = world.draw(after, named, steps=1)
    after = after.clone()
    after.add_patches(patch)
    drawn = world.draw(after, named, steps=1)
    assert torch.equal(world.draw(with_concept(world, before), named, steps=1), drawn)
    assert (drawn - without).abs().max() > 1e-3
    assert torch.equal(world.draw(after, plain, steps=1), world.draw(before, plain, steps=1))


def test_a_model_loaded_by_halves_draws_the_same(world):
    """As --lowvram loads it: most weights stay aside, and get their LoRA and are cast at every call."""
    named, _ = prompts(world)
    model = world.applied(world.concept()).clone()
    model.add_patches(lora(world))
    whole = world.draw(model, named, steps=1)
    model.unpatch_model(model.offload_device)
    model.partially_load(model.load_device, 1000)
    aside = [part for part in model.model.modules() if getattr(part, "comfy_cast_weights", False)]
    assert aside and torch.equal(world.draw(model, named, steps=1), whole)
    model.unpatch_model(model.offload_device)


def test_a_compiled_model_draws_the_concept_that_is_asked_for(world):
    """What the plain prompt compiled is not used again without the edit; other prompts stay compiled."""
    if world.name == "hidream":
        # Choosing experts breaks what is compiled into pieces, which take half a minute.
        facts = replace(world.facts, unet=world.facts.unet | {"num_routed_experts": 0})
        world = JointWorld(world.pack, world.name, facts)
    named, plain = prompts(world)
    once = {"steps": 1, "cfg": 1.0}
    expected = [world.draw(world.applied(world.concept()), prompt, **once) for prompt in (plain, named)]
    model, graphs = with_concept(world, world.model.clone()), []
    compile_first_block(model, next(iter(world.family.layers(world.net))), graphs)
    for prompt, drawn in zip((plain, named, plain), (*expected, expected[0]), strict=True):
        torch.testing.assert_close(world.draw(model, prompt, **once), drawn, rtol=1e-4, atol=1e-4)
    assert graphs


@pytest.mark.parametrize("family", ["flux1", "sd3"])
def test_blocks_that_a_pack_puts_into_one_of_its_own_draw_the_concept(pack, monkeypatch, family):
    """Caches of the first block do, for the time of a call: who speeds up a model so must not lose the concept."""
    world = JointWorld(pack, family)
    name = {"flux1": "double_blocks", "sd3": "joint_blocks"}[family]
    blocks = getattr(world.net, name)

    class Together(torch.nn.Module):
        def forward(self, *tensors, **settings):
            for block in blocks:
                out = block(*tensors, **settings)
                tensors, settings = (out, settings) if tensors else ((), settings | in_order(out))
            return out

    def in_order(out) -> dict:
        return dict(zip(("img", "txt"), out, strict=True))

    def called(apply_model, given):
        with monkeypatch.context() as during:
            during.setitem(world.net._modules, name, torch.nn.ModuleList([Together()]))
            return apply_model(given["input"], given["timestep"], **given["c"])

    named, plain = prompts(world)
    expected = [world.draw(world.applied(world.concept()), prompt, steps=1) for prompt in (plain, named)]
    cached = world.applied(world.concept()).clone()
    cached.set_model_unet_function_wrapper(called)
    for prompt, drawn in zip((plain, named), expected, strict=True):
        assert torch.equal(world.draw(cached, prompt, steps=1), drawn)


def test_blocks_that_a_pack_calls_without_options_are_refused(pack, monkeypatch):
    """Caches with a forward pass of their own do: no block is told of the edit, and nobody would see the concept."""
    world = JointWorld(pack, "flux1")
    named, plain = prompts(world)

    def without_options(hosts):
        return lambda *, transformer_options, **given: hosts(**given)

    for block in world.net.double_blocks:
        monkeypatch.setattr(block, "forward", without_options(block.forward))
    with pytest.raises(ValueError, match="attention of the layer double_blocks.0 is computed by another node or pack"):
        world.draw(world.applied(world.concept()), named, steps=1)
    assert world.draw(world.applied(world.concept()), plain, steps=1).isfinite().all()


@pytest.mark.parametrize("apart", [False, True], ids=["together", "one after the other"])
def test_prompts_that_a_pack_adds_inside_the_model_are_refused(pack, monkeypatch, apart):
    """A pack that has the layers read a negative prompt too must not get the look there, with no word of it."""
    from comfy.ldm.flux import layers

    world = JointWorld(pack, "flux1")
    named, plain = prompts(world)
    hosts = layers.attention

    def halves(q, k, v, pe, **settings):
        parts = zip(*(each.chunk(2) for each in (q, k, v)), strict=True)
        return torch.cat([hosts(*part, pe, **settings) for part in parts])

    def doubled(given, original):
        tensors = {name: torch.cat((given[name], given[name])) for name in ("img", "txt", "vec")}
        # The same places in all rows.
        out = original["original_block"](given | tensors | {"pe": given["pe"][:1]})
        return {name: each[: len(given[name])] for name, each in out.items()}

    monkeypatch.setattr(layers, "attention", halves if apart else hosts)
    world.model.set_model_patch_replace(doubled, "dit", "double_block", 0)
    world.model.set_model_patch_replace(doubled, "dit", "double_block", 1)
    with pytest.raises(ValueError, match="reads 8 prompts at once; expected the 4 that the model was called with"):
        world.draw(world.applied(world.concept()), named, steps=1)
    monkeypatch.setattr(layers, "attention", hosts)
    assert world.draw(world.applied(world.concept()), plain, steps=1).isfinite().all()


def test_an_attention_that_asks_nobody_is_refused(pack, monkeypatch):
    """A pack with an attention of its own, past ComfyUI's, would draw the superclass and say nothing."""
    from comfy.ldm.flux import layers
    from comfy.ldm.modules.attention import attention_pytorch

    world = JointWorld(pack, "flux1")
    named, plain = prompts(world)
    bare = attention_pytorch.__wrapped__

    def theirs(q, k, v, pe, mask=None, transformer_options=None):
        return bare(q, k, v, q.shape[1], mask=mask, skip_reshape=True)

    monkeypatch.setattr(layers, "attention", theirs)
    with pytest.raises(ValueError, match="attention of the layer double_blocks.0 is computed by another node or pack"):
        world.draw(world.applied(world.concept()), named, steps=1)
    world.draw(world.applied(world.concept()), plain, steps=1)


def training(world):
    """A training of two random latents, on encodings with marks."""
    skip_where_untrainable(world.pack, world.family)
    pack, task = world.pack, importlib.import_module(f"{world.pack.task.__package__}.task")
    marks = torch.zeros(1, TOKENS)
    marks[:, list(MARKED)] = 1
    marks, read = world.in_sequence(marks), [world.packed(world.prompt(n)) for n in range(len(TEMPLATES))]
    encoded = {t: pack.ops.Encoded(read[n], torch.tensor([4]), None, marks) for n, t in enumerate(TEMPLATES)}
    pooled = None if world.facts.pooled is None else torch.ones(1, world.facts.pooled)
    texts = pack.superclass_prompts.SuperclassPrompts("bear", encoded, pooled)
    generator = torch.Generator().manual_seed(8)
    pictures = [pack.ops.Picture(torch.randn(world.latent[1:], generator=generator)) for _ in range(2)]
    private = task.PrivateModel.of(world.model, "float32", False)
    return task.training_task(world.model, private, texts, "my_bear", pictures, TEMPLATES, None, {"encoder": "e"})


def settings(pack, **changes):
    """A short training of values alone."""
    usual = {"steps": 4, "batch_size": 2, "seed": 3, "gate_kind": pack.ops.GateKind.POSITION}
    return pack.ops.TrainingSettings(**usual | changes)


class Stopped(BaseException):
    pass


def test_a_training_that_was_cancelled_or_short_of_memory_ends_alike(world, tmp_path):
    """Cancel and queue again: the same concept to the bit. Memory runs out in a layer: the same, by half a batch."""
    train, task, short = world.pack.ops.train, training(world), settings(world.pack)

    def cancel(report) -> None:
        if report.step == 2:
            raise Stopped

    with torch.inference_mode(False), torch.enable_grad():
        whole = train(task, short).concept.value_residuals
        with pytest.raises(Stopped):
            train(task, short, checkpoint=tmp_path / "run", callback=cancel)
        resumed = train(task, short, checkpoint=tmp_path / "run").concept.value_residuals
        with once_out_of_memory(world, task):
            told = {"is_out_of_memory": world.pack.device_memory.is_out_of_memory}
            halved = train(task, short, **told).concept.value_residuals
    for name, residual in whole.items():
        assert torch.equal(resumed[name], residual) and residual.abs().max() > 0
        torch.testing.assert_close(halved[name], residual, rtol=1e-3, atol=1e-5)


class once_out_of_memory:
    """In the first joint layer, between its projections and its attention."""

    def __init__(self, world, task) -> None:
        self.module = next(iter(world.family.layers(task.injection.net).values()))[0]

    def __enter__(self) -> None:
        def fail(*_) -> None:
            self.handle.remove()
            raise torch.OutOfMemoryError("out of memory")

        self.handle = self.module.register_forward_hook(fail)

    def __exit__(self, *_error) -> None:
        self.handle.remove()
