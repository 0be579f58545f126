"""From pictures and words to a concept and a picture, in families with joint attention and their own text encoders."""

from __future__ import annotations

import pytest
import torch

from builders.joint_models import CLIPS, joint_clip, joint_model, joint_vae
from builders.older_hosts import skip_where_untrainable
from builders.schema_snapshot import read_snapshot

SCHEMA = read_snapshot()["PerfusionTrainConcept"]


@pytest.fixture(scope="module", params=list(CLIPS))
def clip(request, pack):
    return request.param, joint_clip(request.param)


def test_the_mark_stands_at_the_superclass_words_of_a_prompt(pack, clip):
    """Templates around the prompt, padding, several layers at once: the look goes where the subject stands."""
    family, host_clip = clip
    word = pack.concept_words.ConceptWord("my_bear", "teddy bear", marked=True, naming=pack.naming.Naming("my_bear"))
    knowing = pack.clip.clip_knowing(host_clip, word)
    second = next(known.second for known in pack.family.FAMILIES if known.name == family)
    named, plain, other = (
        all_texts(pack, each, text, second)
        for each, text in (
            (knowing, "a photo of my_bear at sea"),
            (host_clip, "a photo of teddy bear at sea"),
            (host_clip, "a photo of teddy cat at sea"),
        )
    )
    assert torch.equal(pack.encoded_prompt.plain(named), plain)
    marks = pack.conditioning.marks_of(named, ["my_bear"])[0, :, 0]
    places = marks.nonzero().flatten().tolist()
    runs = [place for place in places if place - 1 not in places]
    texts = 2 if family in ("sd3", "hidream") else 1
    assert len(runs) == texts, "once in each text encoder that stands behind another"
    assert set(marks[places].tolist()) == {1.0}
    changed = (plain != other).any(-1)[0].nonzero().flatten().tolist()
    # A decoder's encodings change from the changed token on; an encoder's everywhere, most where the word stands.
    assert (changed[0] in places) if family not in ("flux1", "hidream") else len(places) >= 2


def all_texts(pack, clip, text: str, second) -> torch.Tensor:
    """What a CLIP encodes of a prompt, a second text behind the first."""
    entries = clip.encode_from_tokens(clip.tokenize(text), return_dict=True)
    return pack.conditioning.with_whole_text({"cross_attn": entries["cond"], **entries}, second, 1)["cross_attn"]


@pytest.mark.parametrize("family", ["zimage", "flux1", "sd3", "hidream"])
def test_the_node_trains_and_the_concept_draws(pack, family, tmp_path, monkeypatch):
    """Train and Apply work on models of today as on Stable Diffusion: auto takes the gate that the family reads."""
    import comfy.sample
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    model, clip, vae = joint_model(family), joint_clip(family), joint_vae()
    skip_where_untrainable(pack, pack.family.family_of(model))
    values = {
        **{name: entry["default"] for name, entry in SCHEMA["inputs"].items() if "default" in entry},
        **{"model": model, "clip": clip, "vae": vae, "images": torch.rand(2, 64, 64, 3), "word": "my_bear"},
        **{"superclass": "teddy bear", "steps": 3, "batch_size": 2, "preview_every": 3},
        **{"templates": "a {}\nthe old {}", "gradient_checkpointing": True},
        **{"value_learning_rate": 0.3, "micro_batch": 1},
    }
    finished = pack.run.Training.of({name: [value] for name, value in values.items()}).run()
    concept = finished.concept
    assert concept.gate.value == "position" and concept.base_family == family and len(finished.losses) == 3
    assert {"encoder", "base_model", "training"} <= concept.metadata.keys(), "Apply tells another CLIP by them"
    assert all(residual.abs().max() > 0.1 for residual in concept.value_residuals.values())
    layers = list(pack.family.family_of(model).value_widths(model.model.diffusion_model))
    assert list(concept.value_residuals) == layers[len(layers) // 2 :], "auto: the later half"
    applied = pack.model.AppliedConcept(pack.ops.EditTerm(concept, pack.ops.Gate()))
    edited = pack.model.model_with_concept(model, applied)
    knowing = pack.clip.clip_with_concept(clip, concept, 1.0, pack.ops.KeyLocking.LOCAL, applied.naming)

    def draw(patcher, encoder, text):
        conds = [encoder.encode_from_tokens_scheduled(encoder.tokenize(each)) for each in (text, "")]
        empty, noise = torch.zeros(1, 16, 8, 8), torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))
        return comfy.sample.sample(patcher, noise, 2, 2.0, "euler", "simple", *conds, empty, disable_pbar=True, seed=1)

    plain = draw(model, clip, "a teddy bear")
    assert (draw(edited, knowing, "a my_bear") - plain).abs().max() > 1e-3
    assert torch.equal(draw(edited, knowing, "a teddy bear"), plain)


def test_a_learned_word_is_refused_before_anything_is_loaded(pack):
    """Who asks for the paper's gate on such a model reads which gate it takes."""
    values = {
        **{name: entry["default"] for name, entry in SCHEMA["inputs"].items() if "default" in entry},
        **{"model": joint_model("zimage"), "clip": joint_clip("zimage"), "vae": None, "gate": "learned word"},
        "images": torch.rand(1, 64, 64, 3),
    }
    skip_where_untrainable(pack, pack.family.family_of(values["model"]))
    with pytest.raises(ValueError, match="Z-Image cannot be trained with the gate 'learned word'; expected 'position'"):
        pack.run.Training.of({name: [value] for name, value in values.items()})


def settings(pack, family: str, **inputs):
    """What a training of ``family`` does with the node's ``inputs``; those not given are as they come."""
    usual = {name: entry["default"] for name, entry in SCHEMA["inputs"].items() if "default" in entry}
    (known,) = (each for each in pack.family.FAMILIES if each.name == family)
    return pack.checks.settings_of(usual | inputs, known)


@pytest.mark.parametrize("family", ["zimage", "flux1", "sd3", "sd1", "sdxl", "wan21", "anima", "hunyuan_dit"])
def test_the_layers_that_are_asked_for_are_another_training(pack, family):
    """A finished or cancelled training of other layers is not taken for this one; auto is what drew best, or all."""
    names = ("auto", "all", "later half")
    choices = {layers: settings(pack, family, gate="position", layers=layers) for layers in names}
    joint = family in ("zimage", "flux1", "sd3")
    assert choices["auto"] == choices["later half" if joint else "all"] and "layers" not in choices["all"].as_dict()
    assert choices["later half"].as_dict() == choices["all"].as_dict() | {"layers": "later_half"}


def test_layers_of_a_learned_word_are_refused(pack):
    """Who asks for half of the layers of the paper's gate reads that it has none, and what to choose."""
    assert settings(pack, "sd1", layers="all") == settings(pack, "sd1")
    with pytest.raises(ValueError, match="the gate 'learned word' learns in all layers; expected 'auto' or 'all'"):
        settings(pack, "sd1", layers="later half")
