"""What is particular to Stable Diffusion 3 and 3.5: text in two spellings, and guidance that leaves layers out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from builders.joint_models import joint_clip, joint_model
from builders.joint_true_sizes import TRUE_SIZES


@pytest.fixture(scope="module")
def model():
    return joint_model("sd3")


@pytest.fixture(scope="module")
def clip():
    return joint_clip("sd3")


@pytest.fixture(scope="module")
def concept(pack, model):
    widths = pack.family.family_of(model).value_widths(model.model.diffusion_model)
    residuals = {name: torch.randn(width, generator=torch.Generator().manual_seed(1)) for name, width in widths.items()}
    kind = {"word": "my_bear", "superclass": "teddy bear", "base_family": "sd3", "gate": "position"}
    return pack.ops.Concept(value_residuals=residuals, **kind)


@pytest.fixture
def applied(pack, model, clip, concept):
    """MODEL and CLIP behind Apply Key-Locked Attention."""
    held = pack.model.AppliedConcept(pack.ops.EditTerm(concept, pack.ops.Gate()))
    edited = pack.model.model_with_concept(model, held)
    return edited, pack.clip.clip_with_concept(clip, concept, 1.0, pack.ops.KeyLocking.LOCAL, held.naming)


def marks(pack, conditioning) -> list[int]:
    prompt = conditioning[0][0]
    return pack.conditioning.marks_of(prompt, ["my_bear"])[0, :, 0].nonzero().flatten().tolist()


def test_text_encoders_left_out_keep_the_mark_where_the_subject_stands(pack, applied, clip, monkeypatch):
    """Each text box of the host's node, and a loader with some of the files: the look goes to those that name it."""
    from comfy_extras.nodes_sd3 import CLIPTextEncodeSD3

    named, other, knowing = "a photo of my_bear", "a photo of a bear", applied[1]
    encode = CLIPTextEncodeSD3.execute

    def places(*texts, padding="none"):
        return marks(pack, encode(knowing, *texts, padding).result[0])

    in_clip, in_t5 = [4, 5], [81, 82, 83, 84, 85]
    assert places(named, named, named) == in_clip + in_t5
    assert places(named, other, other) == places(other, named, "", padding="empty_prompt") == in_clip
    assert places(other, other, named) == in_t5 and places("", "", named) == [place - 77 for place in in_t5]
    for missing, found in (("t5xxl", in_clip), ("clip_g", in_clip + in_t5), ("clip_l", in_clip + in_t5)):
        with monkeypatch.context() as patch:
            patch.setitem(knowing.cond_stage_model._modules, missing, None)
            assert marks(pack, encode(knowing, named, named, named, "none").result[0]) == found, missing


@pytest.mark.parametrize("missing", [(), ("t5xxl",), ("clip_l", "clip_g")])
def test_the_inspected_tokens_are_those_of_the_encodings(pack, applied, clip, monkeypatch, missing):
    """Inspect Perfusion Gates names CLIP's tokens and then T5's, whichever of them the loader gave."""
    edited, knowing = applied
    for name in missing:
        monkeypatch.setitem(knowing.cond_stage_model._modules, name, None)
    table = pack.gates.gate_table(edited, knowing, "a my_bear at sea")
    (found,) = table.concepts
    named = [token.word == "my_bear" for token in table.tokens]
    assert (found.similarities == 1).tolist() == named and any(named)
    words = [token.label.removeprefix("my_bear:") for token in table.tokens if token.kind == 1]
    assert "".join(word for word in words if not word.startswith("#")) == "ateddybearatsea" * (1 if missing else 2)


def test_guidance_that_leaves_layers_out(pack, applied, model, clip):
    """Skip-layer guidance, which people use with 3.5 medium: with the concept another picture, without it the same."""
    import comfy.sample
    from comfy_extras.nodes_slg import SkipLayerGuidanceDiT

    def draw(patcher, encoder, text):
        (guided,) = SkipLayerGuidanceDiT.execute(patcher, 3.0, 0.0, 1.0, "1", "").result
        conds = [encoder.encode_from_tokens_scheduled(encoder.tokenize(each)) for each in (text, "")]
        empty, noise = torch.zeros(1, 16, 8, 8), torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))
        return comfy.sample.sample(guided, noise, 2, 2.0, "euler", "simple", *conds, empty, disable_pbar=True, seed=1)

    edited, knowing = applied
    plain = draw(model, clip, "a teddy bear")
    assert torch.equal(draw(edited, knowing, "a teddy bear"), plain)
    assert (draw(edited, knowing, "a my_bear") - plain).abs().max() > 1e-3


def test_layers_before_the_blocks_leave_a_trainings_prompt_alone(pack):
    """Some models read the text by layers that add to it in place: every step must start from the same prompt."""
    model = joint_model("sd3", context_processor_layers=1)
    private = pack.task.PrivateModel.of(model, "float32", False)
    prompt = torch.randn(1, 9, 4096)
    before = prompt.clone()
    with torch.no_grad():
        private.unet(torch.randn(1, 16, 8, 8), torch.tensor([300.0]), context=prompt, y=torch.ones(1, 48))
    assert torch.equal(prompt, before)


@pytest.mark.parametrize(
    ("size", "layers", "width", "billions"),
    [("sd3_medium", 24, 1536, 2.0), ("sd35_medium", 24, 1536, 2.2), ("sd35_large", 38, 2432, 8.1)],
)
def test_true_sizes_are_those_of_the_hosts_loader(pack, size, layers, width, billions):
    """A checkpoint of the true shapes is found to be of the family, with the layers that a concept names."""
    import comfy.model_detection
    import comfy.supported_models

    unet = TRUE_SIZES[size].unet
    config = comfy.supported_models.SD3(unet)
    config.set_inference_dtype(torch.bfloat16, None)
    model = config.get_model({}, device=torch.device("meta"))
    net = model.diffusion_model
    found = comfy.model_detection.model_config_from_unet(net.state_dict(), "")
    detected = {"qk_norm": None, "num_blocks": unet["depth"]} | found.unet_config
    assert type(found) is type(config) and {key: detected[key] for key in unet} == unet
    family = pack.family.family_of(SimpleNamespace(model=model))
    assert family.value_widths(net) == {f"joint_blocks.{n}": width for n in range(layers)}
    assert round(sum(p.numel() for p in net.parameters()) / 1e9, 1) == billions
