"""What is particular to PixArt: two models, one of which reads the picture's size, and their true sizes."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import pytest
import torch

from builders.cross_models import CROSS
from builders.cross_world import TEXT, CrossWorld
from builders.file_sizes import kilobytes
from builders.joint_models import joint_vae
from builders.joint_true_sizes import TRUE_SIZES
from builders.places import ROOT
from builders.schema_snapshot import read_snapshot

SCHEMA = read_snapshot()["PerfusionTrainConcept"]


def test_pixart_alpha_trains_and_draws_with_the_pictures_size(pack, monkeypatch):
    """Alpha reads height, width and their ratio beside the prompt: in training those of the training's pictures."""
    sizes = {"image_model": "pixart_alpha", "micro_condition": True, "hidden_size": 96}
    alpha = dataclasses.replace(CROSS["pixart_sigma"], config="PixArtAlpha", unet=CROSS["pixart_sigma"].unet | sizes)
    monkeypatch.setitem(CROSS, "pixart_alpha", alpha)
    world = CrossWorld(pack, "pixart_alpha")
    private = world.private()
    predict = pack.cross_model.cross_predictor(world.model, private.unet, private.device, torch.float32)
    noisy, text = world.noise(), TEXT.format("teddy bear")
    conds = world.model.model.extra_conds(
        cross_attn=world.given(text), noise=noisy, device=torch.device("cpu"), height=8 * 34, width=8 * 34
    )
    sizes = {name: conds[name].cond for name in ("c_size", "c_ar")}
    with torch.no_grad():
        found = predict(noisy, torch.tensor([300]), world.context(text))
        expected = world.net(noisy, torch.tensor([300.0]), world.given(text), **sizes)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    widths = world.family.value_widths(world.net)
    parts = {"word": "teddy_t", "superclass": "teddy bear", "base_family": "pixart_alpha", "gate": "position"}
    concept = pack.ops.Concept(**parts, value_residuals={name: torch.ones(width) for name, width in widths.items()})
    superclass = world.draw(world.model, world.clip, text)
    model, clip = world.applied(concept)
    assert (world.draw(model, clip, TEXT.format("teddy_t")) - superclass).abs().max() > 1e-3
    assert torch.equal(world.draw(model, clip, text), superclass)


def test_what_a_node_fills_a_prompt_up_with_is_never_edited(pack):
    """The projection makes a word of zeros: a gate that leaks would edit each of them into a part of the concept."""
    world = CrossWorld(pack, "pixart_sigma")
    model, clip = world.applied(world.concept(), gate=(0.6, 0.15, False))
    prompt = clip.encode_from_tokens(clip.tokenize(TEXT.format("teddy_t")))
    prompt = torch.nn.functional.pad(prompt, (0, 0, 0, 3))
    reading, edit = pack.model.reading_of(model), model.model_options["transformer_options"][pack.model.KEY].edit
    with torch.no_grad():
        encodings = reading.context(pack.encoded_prompt.plain(prompt), {})
        (context,) = pack.conditioning.edited_contexts(edit, {"cross_attn": prompt}, encodings, reading)
    for part in (context.keys, context.values):
        assert torch.equal(part[:, -3:], encodings[:, -3:]) and not torch.equal(part[:, :-3], encodings[:, :-3])
    assert not context.gates[:, -3:].any() and encodings[:, -3:].abs().max() > 0


def test_the_node_trains_on_photographs_of_any_shape(pack, tmp_path, monkeypatch):
    """Sides are cut to what PixArt counts in, and a picture that is too small for it is named."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    world = CrossWorld(pack, "pixart_sigma")
    values = {
        **{name: entry["default"] for name, entry in SCHEMA["inputs"].items() if "default" in entry},
        **{"model": world.model, "clip": world.clip, "vae": joint_vae(4), "images": torch.rand(1, 300, 296, 3)},
        **{"word": "my_bear", "superclass": "teddy bear", "steps": 2, "batch_size": 1, "preview_every": 0},
        **{"templates": "a {}\nthe old {}", "gradient_checkpointing": True, "value_learning_rate": 0.3},
    }
    concept = pack.run.Training.of({name: [value] for name, value in values.items()}).run().concept
    assert concept.gate.value == "position" and concept.base_family == "pixart_sigma"
    assert all(residual.abs().max() > 0.1 for residual in concept.value_residuals.values())
    values["images"] = torch.rand(1, 64, 96, 3)
    with pytest.raises(ValueError, match="Picture 1 would be trained at 96 x 64 pixels; this model needs 272 x 272"):
        pack.run.Training.of({name: [value] for name, value in values.items()})


@pytest.mark.parametrize(("title", "alpha"), [("PixArt Sigma", False), ("PixArt Alpha", True)])
def test_the_host_finds_the_family_and_its_layers_in_a_file(pack, title, alpha):
    """The models that people load are told apart by their weights' names; files for them are as small as we say."""
    import comfy.ldm.pixart.pixartms
    import comfy.model_detection
    import comfy.ops

    sizes = TRUE_SIZES["pixart_sigma"].unet | ({"micro_condition": True, "model_max_length": 120} if alpha else {})
    net = comfy.ldm.pixart.pixartms.PixArtMS(
        **sizes, device=torch.device("meta"), dtype=torch.bfloat16, operations=comfy.ops.disable_weight_init
    )
    config = comfy.model_detection.model_config_from_unet(net.state_dict(), "")
    known = ("depth", "hidden_size", "num_heads", "in_channels", "patch_size", "micro_condition", "model_max_length")
    assert {key: config.unet_config[key] for key in known} == {key: sizes[key] for key in known}
    family = pack.family.family_of(SimpleNamespace(model=SimpleNamespace(model_config=config, diffusion_model=net)))
    assert (family.title, family.context_width(net)) == (title, 1152)
    widths = family.value_widths(net)
    assert widths == {f"blocks.{block}.cross_attn": 1152 for block in range(28)}
    files = tuple(kilobytes(family.name, widths, learned) for learned in (None, (1152, "t5xxl", 4096)))
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert re.findall(rf"^\| {re.escape(title)} \| (\d[^|]*) \| (\d[^|]*) \|$", page, re.MULTILINE) == [files]
