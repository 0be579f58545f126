"""Relatives of the families: other models of the same networks, through their own text encoders, drawn and trained."""

from __future__ import annotations

import itertools

import pytest
import torch

from builders.joint_models import JOINT, Facts, joint_vae
from builders.joint_world import MARKED, JointWorld
from builders.kin_models import KIN, KIN_CLIPS, UNET_KIN
from builders.older_hosts import skip_where_untrainable, skip_without

TEMPLATES = ("a photo of {}", "the {} at sea")
READS_MORE = {"SD15_instructpix2pix", "SDXL_instructpix2pix"}
"""Models that read a picture beside the noise, which training cannot give them."""


class Kin:
    """A small model of a relative and its CLIP, and a random concept for it."""

    def __init__(self, pack, family: str) -> None:
        self.pack, self.world, self.clip = pack, JointWorld(pack, family, KIN[family]), KIN_CLIPS[family]()
        parts = {**vars(self.world.concept()), "word": "my_bear", "superclass": "teddy bear", "gate": "position"}
        self.concept = pack.ops.Concept(**parts)
        held = pack.model.AppliedConcept(pack.ops.EditTerm(self.concept, pack.ops.Gate()))
        self.edited = pack.model.model_with_concept(self.world.model, held)
        self.knowing = pack.clip.clip_with_concept(self.clip, self.concept, 1.0, pack.ops.KeyLocking.LOCAL, held.naming)

    def draw(self, model, clip, text: str) -> torch.Tensor:
        import comfy.sample

        conds = [clip.encode_from_tokens_scheduled(clip.tokenize(each), show_pbar=False) for each in (text, "")]
        noise = torch.randn(1, *self.world.facts.latent, generator=torch.Generator().manual_seed(1))
        settings = {"disable_pbar": True, "seed": 1}
        empty = torch.zeros_like(noise)
        return comfy.sample.sample(model, noise, 2, 2.0, "euler", "simple", *conds, empty, **settings)


@pytest.fixture(scope="module", params=list(KIN))
def kin(request, pack):
    if request.param == "chroma_radiance":
        skip_without("such settings of Chroma Radiance")
    return Kin(pack, request.param)


def test_a_relative_draws_the_concept_and_nothing_else_changes(kin):
    """Through its own text encoder: the look where it is named, and every other picture to the bit."""
    plain = kin.draw(kin.world.model, kin.clip, "a teddy bear")
    assert (kin.draw(kin.edited, kin.knowing, "a my_bear") - plain).abs().max() > 1e-3
    assert torch.equal(kin.draw(kin.edited, kin.knowing, "a teddy bear"), plain)
    at_zero = kin.pack.clip.clip_with_concept(kin.clip, kin.concept, 0.0, kin.pack.ops.KeyLocking.LOCAL)
    assert torch.equal(kin.draw(kin.world.model, at_zero, "a my_bear"), plain)


def test_the_look_stands_at_the_superclass_words_of_a_relatives_prompt(kin):
    """Templates around the prompt, padding, a second text encoder: Inspect names the tokens that are taken over."""
    table = kin.pack.gates.gate_table(kin.edited, kin.knowing, "a photo of my_bear at sea")
    (found,) = table.concepts
    named = [token.word == "my_bear" for token in table.tokens]
    assert (found.similarities == 1).tolist() == named and any(named)
    letters = [token.label.removeprefix("my_bear:") for token in table.tokens if token.word == "my_bear"]
    assert "".join(letter for letter in letters if not letter.startswith("#")) == "teddybear"


def test_a_relative_is_trained_as_it_draws(kin):
    """Training sees what the host's own model computes, from the host's own encodings and latents, and learns."""
    pack, world = kin.pack, kin.world
    texts = pack.superclass_prompts.SuperclassPrompts.of(kin.clip, "my_bear", "teddy bear", TEMPLATES)
    pixels = torch.rand(2, *[8 * 8 if world.facts.latent[0] == 16 else 16] * 2, 3)
    shots = [pack.pictures.Shot(each, None) for each in pixels]
    with torch.no_grad():
        pictures = pack.task.latent_pictures(world.model, first_stage(world.facts.latent[0]), shots, False)
    assert pictures[0].latent.shape == world.facts.latent
    task = training(world, texts, pictures)
    predicted_as_the_host_does(world, task, texts)
    residuals = two_steps(world, task)
    assert residuals.keys() == world.family.value_widths(world.net).keys()
    assert all(residual.abs().max() > 0 for residual in residuals.values())


def test_the_matrices_that_radiance_makes_for_every_patch_wait_for_no_backward_pass(pack):
    """At 1024 pixels they would take four times as much memory as all else that a step holds beside the weights."""
    skip_without("such settings of Chroma Radiance")
    world, kept = JointWorld(pack, "chroma_radiance"), []
    private = pack.task.PrivateModel.of(world.model, "float32", True)
    injection = pack.joint_model.JointInjection(world.family, private.unet)
    predict = pack.joint_model.joint_predictor(world.model, injection, None, private.device, private.dtype)
    encodings, gates = world.prompt(5), torch.ones(1, world.prompt(5).shape[1], 1)
    residuals = {name: torch.zeros(1, width, requires_grad=True) for name, width in injection.value_widths.items()}
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape), lambda shape: None)
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected, hooks:
        injected.use(pack.ops.EditedContext(encodings, encodings, gates), residuals)
        assert predict(torch.randn(1, *world.facts.latent), torch.tensor([300]), encodings).requires_grad
    sizes = world.facts.unet
    width, patches = sizes["nerf_hidden_size"], (world.facts.latent[-1] // sizes["patch_size"]) ** 2
    matrices = {(patches, *each) for each in itertools.permutations((width, width * sizes["nerf_mlp_ratio"]))}
    assert kept and not matrices & set(map(tuple, kept))


def test_a_latent_of_several_layers_has_the_look_in_each(pack):
    """As the node for layered pictures makes it: not in the first layer alone, and inside the region alone."""
    facts = Facts("QwenImage", JOINT["qwen_image"].unet | {"num_layers": 1}, latent=(16, 2, 8, 8))
    world = JointWorld(pack, "qwen_image", facts)
    named, once = world.prompt(5, ["teddy_t"]), {"steps": 1, "cfg": 1.0}
    plain = world.draw(world.model, pack.encoded_prompt.plain(named), **once)
    region = torch.zeros(8, 8)
    region[:, :4] = 1
    for where, changed in (({}, [True, True]), ({"region": region}, [True, False])):
        moved = (world.draw(world.applied(world.concept(), **where), named, **once) - plain).abs()
        for layer in moved.unbind(2):
            assert [bool(half.max() > 1e-3) for half in layer.split(4, -1)] == changed


def first_stage(channels: int):
    """The host's own for pixels, or a small one."""
    import comfy.sd

    return joint_vae(channels) if channels != 3 else comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})


def training(world, texts, pictures):
    skip_where_untrainable(world.pack, world.family)
    private = world.pack.task.PrivateModel.of(world.model, "float32", True)
    return world.pack.task.training_task(
        world.model, private, texts, "my_bear", pictures, TEMPLATES, None, {"encoder": "e"}
    )


def two_steps(world, task) -> dict[str, torch.Tensor]:
    kind = {"steps": 2, "batch_size": 2, "gate_kind": world.pack.ops.GateKind.POSITION}
    with torch.inference_mode(False), torch.enable_grad():
        return world.pack.ops.train(task, world.pack.ops.TrainingSettings(**kind)).concept.value_residuals


def predicted_as_the_host_does(world, task, texts) -> None:
    """Without residuals, what the private copy predicts is what the host's model does, with all that it sets itself."""
    noisy = torch.randn(1, *world.facts.latent, generator=torch.Generator().manual_seed(3))
    timesteps, prompt, model = torch.tensor([300]), texts.encode(TEMPLATES[:1]).encodings, world.model.model
    with torch.no_grad(), task.injection.inject():
        found = task.predict(noisy, timesteps, prompt)
    sigma = task.schedule.sigmas[timesteps]
    given = {"cross_attn": prompt, "noise": noisy, "device": torch.device("cpu"), "pooled_output": texts.pooled}
    conditions = {n: c.process_cond(batch_size=1, area=None).cond for n, c in model.extra_conds(**given).items()}
    with torch.no_grad():
        denoised = model.apply_model(noisy, sigma, transformer_options={}, **conditions)
    torch.testing.assert_close(found, (noisy - denoised) / sigma, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("config", list(UNET_KIN))
def test_a_relative_of_stable_diffusion_draws_and_trains(pack, config):
    """Smaller SDXLs, models that vary pictures, and those that edit by instruction: the host's classes, each tried."""
    world = JointWorld(pack, config, UNET_KIN[config])
    named, other = world.prompt(5, ["teddy_t"]), world.prompt(7)
    plain = pack.encoded_prompt.plain(named)
    before = world.draw(world.model, plain, other)
    mixed = world.draw(world.applied(world.concept()), named, other)
    assert torch.equal(mixed[1], before[1]) and (mixed[0] - before[0]).abs().max() > 1e-3
    assert torch.equal(world.draw(world.applied(world.concept()), plain, other), before)
    if config in READS_MORE:
        with pytest.raises(ValueError, match="reads 8 channels, as inpainting and editing models do"):
            world.family.check_trainable(world.model)
        return
    world.family.check_trainable(world.model)
    marks = torch.zeros(1, named.shape[1])
    marks[:, list(MARKED)] = 1
    encoded = {t: pack.ops.Encoded(world.prompt(n), torch.tensor([4]), None, marks) for n, t in enumerate(TEMPLATES)}
    pooled = None if world.facts.pooled is None else torch.ones(1, world.facts.pooled)
    texts = pack.superclass_prompts.SuperclassPrompts("bear", encoded, pooled)
    pictures = [pack.ops.Picture(torch.randn(world.facts.latent, generator=torch.Generator().manual_seed(8)))]
    residuals = two_steps(world, training(world, texts, pictures))
    assert all(residual.abs().max() > 0 for residual in residuals.values())
