"""Every model that the host loads: the family that it is of, or a sentence that names it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from builders.older_hosts import skip_without

FAMILIES = {
    **{"SD15": "sd1", "SD15_instructpix2pix": "sd1", "SD20": "sd2", "SD21UnclipL": "sd2", "SD21UnclipH": "sd2"},
    **{"SDXL": "sdxl", "SDXL_instructpix2pix": "sdxl", "SSD1B": "sdxl", "Segmind_Vega": "sdxl"},
    **{"KOALA_700M": "sdxl", "KOALA_1B": "sdxl", "SD3": "sd3"},
    **{"PixArtAlpha": "pixart_alpha", "PixArtSigma": "pixart_sigma"},
    **{"Flux": "flux1", "FluxInpaint": "flux1", "FluxSchnell": "flux1", "Flux2": "flux2", "LongCatImage": "longcat"},
    **{"Chroma": "chroma", "ChromaRadiance": "chroma_radiance", "QwenImage": "qwen_image", "HiDream": "hidream"},
    **{"HunyuanDiT": "hunyuan_dit", "HunyuanDiT1": "hunyuan_dit1"},
    **{"ZImage": "zimage", "ZImagePixelSpace": "zimage_pixel", "Lumina2": "lumina2"},
    **{"Anima": "anima", "CosmosT2IPredict2": "cosmos2", "WAN21_T2V": "wan21", "WAN22_T2V": "wan22"},
    **{"WAN21_Vace": "wan21", "WAN22_Camera": "wan21", "WAN21_Camera": "wan21", "WAN21_I2V": "wan21"},
    **{"WAN21_FunControl2V": "wan21", "WAN22_Animate": "wan21", "WAN22_S2V": "wan21", "WAN21_HuMo": "wan21"},
    **{"WAN21_SCAIL": "wan21", "WAN21_SCAIL2": "wan21", "WAN22_WanDancer": "wan21"},
}
"""The host's class -> the family's name in concept files. Every other class is refused."""
SHARING = {
    ("FluxSchnell", "yak_mlp"): "ovis",
    ("Lumina2", "clip_text_dim"): "newbie",
    ("QwenImage", "use_additional_t_cond"): "Qwen-Image-Layered",
}
"""A class and what the host sets in another model's checkpoints of it -> that family, or what it is refused as."""
RELATIVES = {
    *("LotusD", "SD_X4Upscaler", "Stable_Zero123", "WAN_Animate2", "WAN21_CausalAR_T2V", "WAN21_FlowRVS"),
    *("CosmosI2VPredict2", "MageFlow", "Lens", "HunyuanImage21", "Kandinsky5Image", "HiDreamO1"),
}
"""Near to a family by descent, by network or by text, and not of it."""
REASONS = {
    "WAN_Animate2": "reads the prompt a second time.* Draw with Wan 2.2 Animate",
    "WAN21_CausalAR_T2V": "keeps keys and values of its first step",
    "WAN21_FlowRVS": "draws nothing",
}
"""Of those with a family's own layers, why a concept does not draw there."""
SIZES = {"hidden_size": 64}
"""What the host's classes ask for."""


def model(config):
    """A MODEL of a class of checkpoints; of its network, what tells that a U-Net reads text."""
    net = torch.nn.ModuleDict({"attn2": torch.nn.Linear(1, 1)})
    return SimpleNamespace(model=SimpleNamespace(model_config=config, diffusion_model=net))


def answer(pack, config) -> str:
    """The family's name, or the sentence of a refusal."""
    try:
        return pack.family.family_of(model(config)).name
    except ValueError as error:
        return str(error)


def test_every_model_of_the_host_is_of_its_family_or_refused_by_its_name(pack):
    """A model that a later ComfyUI brings must not be taken for a relative: a concept would draw something else."""
    import comfy.supported_models

    answers = {config.__name__: answer(pack, config(SIZES)) for config in comfy.supported_models.models}
    supported = {name: family for name, family in answers.items() if not family.startswith("The model is")}
    assert supported == {name: family for name, family in FAMILIES.items() if name in answers}
    refused = {name: sentence for name, sentence in answers.items() if name not in supported}
    assert "SDXL's refiner" in refused.pop("SDXLRefiner")
    for name, sentence in refused.items():
        assert f"of the kind {name}, which concepts cannot edit; expected SD 1.x" in sentence
        assert all(family.title in sentence for family in pack.family.FAMILIES), name
        assert re.search(REASONS.get(name, "Load a model of one of these"), sentence)
    assert RELATIVES & answers.keys() <= refused.keys()
    if missing := RELATIVES - answers.keys():
        skip_without(f"models {', '.join(sorted(missing))}")
    assert not missing


def test_models_that_share_a_class_are_told_apart(pack):
    """The host loads Ovis-Image as Flux schnell and NewBie as Lumina 2: each has concepts of its own."""
    import comfy.supported_models

    for (name, setting), expected in SHARING.items():
        config = getattr(comfy.supported_models, name)
        assert answer(pack, config({setting: None})) == answer(pack, config({setting: False})) == FAMILIES[name]
        found = answer(pack, config({setting: 768}))
        assert found == expected or f"of the kind {expected}, which concepts cannot edit" in found


@pytest.mark.parametrize("relative", sorted(FAMILIES))
def test_an_heir_that_nobody_has_tried_is_refused(pack, relative):
    """A later host's or a pack's own class, such as a Kolors made of SDXL's, is named and not taken for its parent."""
    import comfy.supported_models

    if not hasattr(comfy.supported_models, relative):
        skip_without(f"model {relative}")
    heir = type("Kolors", (getattr(comfy.supported_models, relative),), {})
    assert "of the kind Kolors, which concepts cannot edit" in answer(pack, heir(SIZES))
