"""The concept beside everything else a workflow does to a model or a prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from builders.scenes import PLAIN, PROMPT, TEDDY, Scene
from builders.workflows import LAYERS, mean_difference, picture


@pytest.fixture(scope="module")
def lora(server):
    """A LoRA on every key and value projection and on the text encoder."""
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    for layer in LAYERS["sd1"]:
        for projection in ("to_k", "to_v"):
            name = "lora_unet_" + f"{layer}.{projection}".replace(".", "_")
            tensors[f"{name}.lora_up.weight"] = 0.05 * torch.randn(320, 4, generator=generator)
            tensors[f"{name}.lora_down.weight"] = torch.randn(4, 768, generator=generator)
    for layer in range(12):
        name = f"lora_te_text_model_encoder_layers_{layer}_self_attn_v_proj"
        tensors[f"{name}.lora_up.weight"] = 0.05 * torch.randn(768, 4, generator=generator)
        tensors[f"{name}.lora_down.weight"] = torch.randn(4, 768, generator=generator)
    folder = server.folder / "models/loras"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "kv.safetensors")
    return "kv.safetensors"


def with_lora(graph, model, clip, file):
    node = graph.add(
        "LoraLoader", model=model, clip=clip, lora_name=file, strength_model=1.0, strength_clip=1.0
    )
    return node[0], node[1]


def test_a_lora_under_and_over_the_concept_is_the_same_lora(draw, lora):
    """A LoRA may be loaded before or after the concept."""
    pictures = {}
    for order in ("under", "over"):
        scene = Scene(edited=True)
        if order == "under":
            scene.model, scene.clip = with_lora(scene.graph, scene.model, scene.clip, lora)
        scene.apply()
        if order == "over":
            scene.model, scene.clip = with_lora(scene.graph, scene.model, scene.clip, lora)
        pictures[order] = draw(*scene.finish())
    np.testing.assert_array_equal(pictures["under"], pictures["over"])
    without = Scene(edited=True)
    without.apply()
    assert mean_difference(pictures["under"], draw(*without.finish())) > 1


def test_a_lora_beside_the_concept_leaves_other_prompts_alone(draw, lora):
    """With a LoRA too, prompts without the concept draw what they drew."""
    plain, applied = Scene(edited=False), Scene(edited=True)
    applied.apply()
    for scene in (plain, applied):
        scene.model, scene.clip = with_lora(scene.graph, scene.model, scene.clip, lora)
    np.testing.assert_array_equal(draw(*applied.finish(applied.prompt(PLAIN))), draw(*plain.finish()))


@pytest.mark.parametrize("order", ["before", "after"])
def test_an_attention_replace_patch_and_the_concept_both_work(draw, order):
    """Packs that replace attention, as IPAdapter does, work beside the concept."""

    def scene(edited: bool, replaced: bool):
        scene = Scene(edited)
        if order == "after":
            scene.apply()
        if replaced:
            scene.model = scene.graph.add("HelperAttentionReplace", model=scene.model, weight=0.5)[0]
        if order == "before":
            scene.apply()
        return draw(*scene.finish())

    both = scene(True, True)
    assert mean_difference(both, scene(True, False)) > 0.5
    assert mean_difference(both, scene(False, True)) > 0.5


def test_other_context_patches_see_the_edited_context(draw):
    """Scaling the values' context by 1 changes nothing; by 1.5 it does, on top of the concept."""

    def scene(scale: float | None):
        scene = Scene(edited=True)
        if scale is not None:
            scene.model = scene.graph.add("HelperContextPatch", model=scene.model, scale=scale)[0]
        scene.apply()
        return draw(*scene.finish())

    np.testing.assert_array_equal(scene(1.0), scene(None))
    assert mean_difference(scene(1.5), scene(None)) > 0.5


def test_concatenated_prompts_hold_the_concepts_of_both(draw):
    """The host drops the entries of the second conditioning; the encodings themselves remember."""

    def scene(second: str, edited: bool):
        scene = Scene(edited)
        scene.apply()
        parts = {"conditioning_to": scene.prompt("a red house"), "conditioning_from": scene.prompt(second)}
        return draw(*scene.finish(scene.graph.add("ConditioningConcat", **parts)[0]))

    assert mean_difference(scene(PROMPT, True), scene(PLAIN, False)) > 1
    np.testing.assert_array_equal(scene(PLAIN, True), scene(PLAIN, False))


@pytest.mark.parametrize("key_locking", ["local", "global pure"])
def test_averaged_prompts_hold_the_concepts_of_both(draw, key_locking):
    """Averaged prompts draw the concept, under every kind of key locking."""

    def scene(text: str, edited: bool):
        scene = Scene(edited)
        scene.apply(key_locking=key_locking)
        parts = {"conditioning_to": scene.prompt("a red house"), "conditioning_from": scene.prompt(text)}
        mixed = scene.graph.add("ConditioningAverage", **parts, conditioning_to_strength=0.5)[0]
        return draw(*scene.finish(mixed))

    assert mean_difference(scene(PROMPT, True), scene(PLAIN, False)) > 1
    np.testing.assert_array_equal(scene(PLAIN, True), scene(PLAIN, False))


def test_combined_prompts_and_areas_are_edited_one_by_one(draw):
    """A concept in one area of the picture leaves the other areas alone."""

    def scene(first: str, second: str, edited: bool):
        scene = Scene(edited)
        scene.apply()
        area = scene.graph.add(
            "ConditioningSetArea", conditioning=scene.prompt(first), width=64, height=64, x=0, y=0, strength=1.0
        )[0]
        parts = {"conditioning_1": area, "conditioning_2": scene.prompt(second)}
        return draw(*scene.finish(scene.graph.add("ConditioningCombine", **parts)[0], size=128))

    edited, plain = scene(PROMPT, "a red house", True), scene(PLAIN, "a red house", False)
    assert mean_difference(edited[:, :64, :64], plain[:, :64, :64]) > 1
    np.testing.assert_array_equal(scene(PLAIN, "a red house", True), plain)


def test_a_prompt_longer_than_one_chunk_finds_the_concept_in_the_second(draw):
    """The concept word works at the end of a long prompt."""
    filler = ", ".join(f"tree number {n}" for n in range(25))

    def scene(name: str, edited: bool):
        scene = Scene(edited)
        scene.apply()
        return draw(*scene.finish(scene.prompt(f"{filler}, {name} at the end")))

    assert mean_difference(scene("teddy_t", True), scene("bear", False)) > 1
    np.testing.assert_array_equal(scene("bear", True), scene("bear", False))


def test_prompts_of_unequal_length_run_as_one_batch(draw):
    """A long negative prompt beside a short positive one does not stop the picture."""
    filler = ", ".join(f"tree number {n}" for n in range(25))
    scene, reverse = Scene(edited=True), Scene(edited=False)
    scene.apply()
    reverse.apply()
    edited = draw(*scene.finish(negative=scene.prompt(filler)))
    plain = draw(*reverse.finish(negative=reverse.prompt(filler)))
    assert mean_difference(edited, plain) > 1


def test_every_picture_of_a_batch_is_the_picture_alone(draw):
    """Every picture of a batch shows the concept, as it would alone."""
    scene = Scene(edited=True)
    scene.apply()
    batch = draw(*scene.finish(batch_size=2))
    again = Scene(edited=True)
    again.apply()
    np.testing.assert_array_equal(batch, draw(*again.finish(batch_size=2)))
    alone = draw(*picture(PROMPT, [(TEDDY, {})], negative="blurry"))
    # Rows of a larger product may round differently: one grey level.
    assert np.abs(batch[:1].astype(int) - alone.astype(int)).max() <= 1


@pytest.mark.parametrize("how", ["img2img", "inpaint"])
def test_img2img_and_inpainting(draw, how):
    """The concept draws in img2img and inpainting."""

    def scene(edited: bool):
        scene = Scene(edited)
        scene.apply()
        white = scene.graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0x808080)[0]
        latent = scene.graph.add("VAEEncode", pixels=white, vae=scene.vae)[0]
        if how == "inpaint":
            mask = scene.graph.add("SolidMask", value=1.0, width=64, height=64)[0]
            latent = scene.graph.add("SetLatentNoiseMask", samples=latent, mask=mask)[0]
        return draw(*scene.finish(latent_image=latent, denoise=0.7))

    assert mean_difference(scene(True), scene(False)) > 0.5


def test_hooks_on_one_prompt_work_with_the_concept(draw, lora):
    """The host's hooks, a LoRA on one prompt, work beside the concept."""

    def scene(edited: bool, hooked: bool):
        scene = Scene(edited)
        scene.apply()
        positive = scene.prompt()
        if hooked:
            hook = scene.graph.add(
                "CreateHookLoraModelOnly", lora_name=lora, strength_model=1.0
            )[0]
            positive = scene.graph.add(
                "PairConditioningSetProperties",
                positive_NEW=positive,
                negative_NEW=scene.prompt("blurry"),
                hooks=hook,
                strength=1.0,
                set_cond_area="default",
            )[0]
        return draw(*scene.finish(positive))

    both = scene(True, True)
    assert mean_difference(both, scene(True, False)) > 0.5
    assert mean_difference(both, scene(False, True)) > 0.5


@pytest.fixture(scope="module")
def controlnet(server, checkpoint):
    folder = server.folder / "models/controlnet"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "control.safetensors").symlink_to(checkpoint("controlnet"))
    return "control.safetensors"


def test_a_controlnet_and_the_concept_both_work(draw, controlnet):
    """A ControlNet and the concept both act, and without the concept word only the ControlNet does."""

    def scene(edited: bool, text: str | None, controlled: bool):
        scene = Scene(edited)
        scene.apply()
        positive, negative = scene.prompt(text), scene.prompt("blurry")
        if controlled:
            image = scene.graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0x4080C0)[0]
            net = scene.graph.add("ControlNetLoader", control_net_name=controlnet)[0]
            settings = {"control_net": net, "image": image, "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
            node = scene.graph.add("ControlNetApplyAdvanced", positive=positive, negative=negative, **settings)
            positive, negative = node[0], node[1]
        return draw(*scene.finish(positive, negative))

    both = scene(True, None, True)
    assert mean_difference(both, scene(True, None, False)) > 0.5
    assert mean_difference(both, scene(False, None, True)) > 0.5
    np.testing.assert_array_equal(scene(True, PLAIN, True), scene(False, PLAIN, True))
