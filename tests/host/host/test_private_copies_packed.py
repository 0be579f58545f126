"""Models whose weights another pack packs, as GGUF files are: drawn and trained as they act, never read as bytes."""

from __future__ import annotations

import importlib

import pytest
import torch

from builders.cross_models import CROSS, cross_clip
from builders.cross_world import TEXT, CrossWorld
from builders.joint_models import JOINT, TOKENS, joint_model
from builders.joint_world import MARKED, JointWorld
from builders.kin_models import KIN
from builders.older_hosts import skip_where_untrainable, skip_without
from builders.packed_weights import Packed, packed, packing_patcher, rounded
from builders.places import PACK

FAMILIES = ("flux1", "qwen_image")


def packed_world(pack, family: str) -> JointWorld:
    made = JointWorld(pack, family)
    packed(made.net)
    made.model = packing_patcher(made.model)
    return made


@pytest.fixture(params=FAMILIES)
def world(pack, request):
    return packed_world(pack, request.param)


# The host computes times of Z-Image in pixel space in the dtype of its weights, whatever that is.
@pytest.fixture(params=sorted({*JOINT, *KIN} - {"zimage_pixel"}))
def any_world(pack, request):
    if request.param == "chroma_radiance":
        skip_without("such settings of Chroma Radiance")
    return packed_world(pack, request.param)


def with_lora(world):
    """The model with a LoRA on the first projection that a concept is learned at."""
    module = next(iter(world.family.layers(world.net).values()))[0]
    name = next(name for name, part in world.net.named_modules() if part is module)
    change = 0.3 * torch.randn(tuple(module.weight.shape), generator=torch.Generator().manual_seed(2))
    model = world.model.clone()
    model.add_patches({f"diffusion_model.{name}.weight": ("diff", (change,))})
    return model


def predicted(world, model, private=None) -> torch.Tensor:
    """What a training's private copy of ``model`` predicts, after the host has left that model."""
    import comfy.model_management

    pack = world.pack
    skip_where_untrainable(pack, world.family)
    private = private or pack.task.PrivateModel.of(model, "float32", False)
    injection = pack.joint_model.JointInjection(world.family, private.unet)
    comfy.model_management.unload_all_models()
    pooled = None if world.facts.pooled is None else torch.ones(1, world.facts.pooled)
    predict = pack.joint_model.joint_predictor(model, injection, pooled, private.device, private.dtype)
    noisy = torch.randn(world.latent, generator=torch.Generator().manual_seed(3))
    encodings, residuals = world.packed(world.prompt(5).expand(2, -1, -1)), {}
    gates = torch.zeros(2, TOKENS, 1)
    gates[:, list(MARKED)] = 1
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:
        residuals = {n: torch.zeros(1, width, requires_grad=True) for n, width in injection.value_widths.items()}
        injected.use(pack.ops.EditedContext(encodings, encodings, world.in_sequence(gates)), residuals)
        prediction = predict(noisy, torch.tensor([300, 800]), encodings)
        prediction.square().sum().backward()
    assert all(residual.grad.abs().max() > 0 for residual in residuals.values())
    return prediction.detach()


def test_packed_weights_draw_and_train_as_they_act(any_world):
    """A concept draws in such a model, and trains in it with its LoRAs, whatever the host does with them meanwhile."""
    world = any_world
    named = world.prompt(5, ["teddy_t"])
    plain = world.pack.encoded_prompt.plain(named)
    before = world.draw(world.model, plain)
    assert (world.draw(world.applied(world.concept()), named) - before).abs().max() > 1e-3
    assert torch.equal(world.draw(world.applied(world.concept()), plain), before)
    unpacked = JointWorld(world.pack, world.name)
    rounded(unpacked.net)
    close, changed = {"rtol": 1e-3, "atol": 1e-3}, with_lora(unpacked)
    torch.testing.assert_close(predicted(world, world.model), predicted(unpacked, unpacked.model), **close)
    torch.testing.assert_close(predicted(world, with_lora(world)), predicted(unpacked, changed), **close)
    assert (predicted(unpacked, changed) - predicted(unpacked, unpacked.model)).abs().max() > 0.3


@pytest.mark.parametrize("family", CROSS)
def test_packed_weights_in_a_model_that_reads_text_by_keys_and_values(pack, family):
    """The same where text has keys and values of its own: the picture and each layer's gradient are the plain model's.
    """
    worlds = [CrossWorld(pack, family) for _ in range(2)]
    world, unpacked = worlds
    packed(world.net)
    rounded(unpacked.net)
    world.model = packing_patcher(world.model)
    text, concept = TEXT.format("teddy_t"), unpacked.concept()
    before = world.draw(world.model, world.clip, TEXT.format("teddy bear"))
    model, clip = world.applied(concept)
    drawn = world.draw(model, clip, text)
    assert (drawn - before).abs().max() > 1e-2
    assert torch.equal(world.draw(model, clip, TEXT.format("teddy bear")), before)
    torch.testing.assert_close(drawn, unpacked.draw(*unpacked.applied(concept), text), rtol=1e-3, atol=1e-3)
    gradients = [residual_gradients(each, text) for each in worlds]
    assert all(gradient.abs().max() > 0 for gradient in gradients[0].values())
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def residual_gradients(world, text: str) -> dict[str, torch.Tensor]:
    """Layer -> how what a training's private copy predicts changes with its residual (1, d)."""
    private, room = world.private(), world.pack.cross_model
    predict = room.cross_predictor(world.model, private.unet, private.device, torch.float32)
    injection = room.CrossInjection(world.family.layers(private.unet), not world.family.values_alone)
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:
        residuals = {n: torch.zeros(1, width, requires_grad=True) for n, width in injection.value_widths.items()}
        context = world.context(text).clone()
        gates = (context != 0).any(-1, keepdim=True).float()
        injected.use(world.pack.ops.EditedContext(context, context, gates), residuals)
        predict(world.noise(), torch.tensor([300]), world.trained(text).clone()).square().sum().backward()
    return {name: residual.grad for name, residual in residuals.items()}


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_no_packed_weight_is_there_twice_and_none_waits_unpacked(world):
    """A card that draws with the small file trains with it: the bytes are the host's own, unpacked one at a time."""
    skip_where_untrainable(world.pack, world.family)
    model, kept = with_lora(world), {}
    for name, each in (("packed", model), ("float32", JointWorld(world.pack, world.name).model)):
        private = world.pack.task.PrivateModel.of(each, "float32", False)
        own, theirs = dict(private.unet.named_parameters()), dict(each.model.diffusion_model.named_parameters())
        matrices = [name for name, weight in theirs.items() if weight.ndim > 1]
        assert len(matrices) > 20
        assert all(own[name].data_ptr() == theirs[name].data_ptr() for name in matrices)
        assert all(type(own[name]) is type(theirs[name]) for name in theirs)
        kept[name] = bytes_that_wait(private.unet, lambda each=each, private=private: predicted(world, each, private))
    assert kept["packed"] == kept["float32"]


def bytes_that_wait(net: torch.nn.Module, step) -> int:
    """Bytes that a step keeps for its backward pass, what lies in the network left out."""
    shared, waiting = {weight.untyped_storage().data_ptr() for weight in net.parameters()}, {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in shared and not backward:
            waiting[storage.data_ptr()] = storage
        return tensor

    backward: list = []
    hook = net.register_full_backward_pre_hook(lambda *_: backward.append(None))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    hook.remove()
    assert waiting and backward
    return sum(storage.nbytes() for storage in waiting.values())


def test_a_training_under_a_lora_is_another_training(world):
    """Queued again with a LoRA, such a model is trained again, and no concept of the bare model is given out for it."""
    read, name = world.pack.private_copies, world.pack.fingerprints.fingerprint
    bare, changed = (
        name(read.acting_weights(read.loaded(model), "diffusion_model")) for model in (world.model, with_lora(world))
    )
    assert bare != changed
    ordinary = joint_model(world.name)
    weights = list(read.acting_weights(read.loaded(ordinary), "diffusion_model"))
    assert [key for key, _ in weights] == [key for key, _ in ordinary.model.diffusion_model.named_parameters()]


def test_the_word_starts_from_the_packed_vocabulary_as_it_is_read(pack):
    """The bytes of a row are no embedding: the word would start from noise of another width."""
    clip, superclass = cross_clip("cosmos2"), "teddy bear"
    rows = []
    for _ in range(2):
        encoders, device = pack.encoders.private_encoders(clip)
        rows.append(pack.own_encoders.OwnEncoders(clip, encoders, superclass, device).initial_embeddings()["t5xxl"])
        packed(clip.cond_stage_model)
    assert isinstance(clip.cond_stage_model.t5xxl.transformer.get_input_embeddings().weight, Packed)
    torch.testing.assert_close(rows[1], rows[0], rtol=0.05, atol=0.02)


def test_another_programs_checkpoint_is_refused_for_a_packed_model(pack):
    """Its values are computed from the model's own weights, which are not to be read there."""
    importing = importlib.import_module(f"{PACK}.nodes.host.importing")
    model = joint_model("flux1")
    projections = torch.nn.ModuleDict({name: torch.nn.Linear(8, 8) for name in ("to_k", "to_v")})
    model.model.diffusion_model.layer = packed(projections)
    with pytest.raises(ValueError, match="of the kind Packed, which another pack packs, as GGUF .* safetensors file"):
        importing._weights(packing_patcher(model), ["layer"])
