"""What training makes of the host's objects: schedules it knows, runs it tells apart, room it leaves."""

from __future__ import annotations

import dataclasses
import importlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from builders.places import PACK


def sampling(name: str, base: str = "ModelSamplingDiscrete"):
    """A model whose sampling is of the host's own classes, put together as its nodes do."""
    import comfy.model_sampling
    import comfy_extras.nodes_model_advanced

    kinds = (comfy.model_sampling, comfy_extras.nodes_model_advanced)
    kind = next(getattr(module, name) for module in kinds if hasattr(module, name))
    based_on = next(getattr(module, base) for module in kinds if hasattr(module, base))
    made = type("ModelSampling", (based_on, kind), {})()
    return SimpleNamespace(get_model_object={"model_sampling": made}.get)


@pytest.mark.parametrize(("kind", "prediction"), [("EPS", "epsilon"), ("V_PREDICTION", "velocity")])
def test_the_schedules_of_stable_diffusion_are_taken_over(pack, kind, prediction):
    schedule = pack.unet.UNETS[0].noise_schedule(sampling(kind))
    assert schedule.prediction == prediction and len(schedule.alphas_cumprod) == 1000
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    assert torch.allclose(schedule.alphas_cumprod.double(), (1 - betas).cumprod(0), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("X0", "ModelSamplingDiscrete"),
        ("LCM", "ModelSamplingDiscreteDistilled"),
        ("EPS", "ModelSamplingDiscreteDistilled"),
        ("EDM", "ModelSamplingDiscrete"),
        ("V_PREDICTION", "ModelSamplingContinuousV"),
    ],
)
def test_kinds_that_predict_something_else_are_refused_by_name(pack, kind, base):
    """LCM and x0 prediction descend from noise prediction; trained as such they would learn to draw noise."""
    with pytest.raises(ValueError, match=f"samples by {base} and {kind}; training expects a discrete schedule"):
        pack.unet.UNETS[0].noise_schedule(sampling(kind, base))


def run_key(pack, **changes) -> str:
    """The key of one and the same training, but for ``changes``."""
    torch.manual_seed(0)
    fields = {
        "model": None,
        "clip": SimpleNamespace(layer_idx=None),
        "vae": SimpleNamespace(first_stage_model=nn.Linear(128, 128)),
        "word": "teddy",
        "superclass": "bear",
        "shots": [pack.pictures.Shot(torch.ones(8, 8, 3), None)],
        "templates": ("a {}",),
        "captions": (),
        "settings": pack.ops.TrainingSettings(),
        "statistics": None,
        "dtype": "auto",
        "gradient_checkpointing": False,
        "preview_every": 0,
        "preview_prompt": "a {}",
    }
    return pack.run.Training(**(fields | changes))._key("base", SimpleNamespace(fingerprint="statistics"))


def test_another_first_stage_or_layer_of_the_text_encoder_is_another_training(pack):
    """Else whoever connects the right VAE after a wrong one would get the wrong one's concept again."""
    key = run_key(pack)
    assert run_key(pack) == key == run_key(pack, preview_every=5, gradient_checkpointing=True)
    assert run_key(pack, vae=SimpleNamespace(first_stage_model=nn.Linear(128, 128))) != key
    assert run_key(pack, clip=SimpleNamespace(layer_idx=-2)) != key


def test_the_first_stage_is_known_by_its_larger_weights(pack):
    identity = pack.fingerprints.first_stage_identity
    stage = nn.Sequential(nn.Linear(128, 128), nn.Linear(8, 8))
    known = identity(SimpleNamespace(first_stage_model=stage))
    nn.init.zeros_(stage[1].weight)
    assert identity(SimpleNamespace(first_stage_model=stage)) == known
    nn.init.zeros_(stage[0].weight)
    assert identity(SimpleNamespace(first_stage_model=stage)) != known


def test_the_hosts_model_leaves_the_accelerator_after_a_preview_even_a_failed_one(pack, monkeypatch):
    asked = []
    monkeypatch.setattr(pack.preview, "make_room", lambda device, keep: asked.append((device, keep)))
    model, clip = SimpleNamespace(load_device=torch.device("cuda")), SimpleNamespace(patcher="text encoders")
    preview = pack.preview.Preview(model, clip, None, "a {}", (8, 8), pack.ops.KeyLocking.LOCAL, 0)
    for drawn in (lambda _self, _concept: torch.ones(8, 8, 3), lambda _self, _concept: 1 / 0):
        monkeypatch.setattr(pack.preview.Preview, "_drawn", drawn)
        try:
            preview.draw(None)
        except ZeroDivisionError:
            asked.append("failed")
    room = (torch.device("cuda"), [model, "text encoders"])
    assert asked == [room, room, "failed"]


def test_a_checkpoint_among_the_concepts_is_not_read_into_memory(pack, monkeypatch, tmp_path):
    """The host asks for every file's fingerprint before it is loaded; this one is longer than any memory."""
    load = importlib.import_module(f"{PACK}.nodes.load")
    path = tmp_path / "huge.safetensors"
    with open(path, "wb") as file:
        file.truncate(2**42)
    monkeypatch.setattr(load.folders, "concept_path", lambda _name: path)
    first = load.PerfusionLoadConcept.fingerprint_inputs("huge.safetensors")
    with open(path, "r+b") as file:
        file.write(b"x")
    assert load.PerfusionLoadConcept.fingerprint_inputs("huge.safetensors") != first


@pytest.fixture
def inputs(loaded):
    """``inputs(...)``: what the host hands Train Perfusion Concept, one list for each input, but for changes."""

    def make(**changes) -> dict[str, list]:
        values = {
            "model": loaded[0],
            "clip": loaded[1],
            "vae": None,
            "images": torch.full((1, 64, 64, 3), 0.5),
            "word": "teddy",
            "superclass": "bear",
            "steps": 400,
            "batch_size": 16,
            "micro_batch": 4,
            "resolution": 512,
            "value_learning_rate": 0.03,
            "word_learning_rate": 0.006,
            "bias": 0.75,
            "temperature": 0.1,
            "key_locking": "local",
            "flip": True,
            "templates": "",
            "captions": "",
            "seed": 2**63 - 1,
            "dtype": "auto",
            "gradient_checkpointing": False,
            "preview_every": 100,
            "preview_prompt": "a photo of a {}",
        }
        return {name: [value] for name, value in (values | changes).items()}

    return make


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"word": "é" * 33}, "The concept has 66 bytes of word; expected at most 64. Shorten it."),
        ({"superclass": "b" * 65}, "The concept has 65 bytes of superclass; expected at most 64. Shorten it."),
        ({"preview_prompt": ""}, "has 0 places for the concept; write exactly one {}"),
        ({"preview_prompt": "a {}\nthe {}"}, "has 2 places for the concept; write exactly one {}"),
    ],
)
def test_what_would_fail_after_hundreds_of_steps_is_refused_at_once(pack, inputs, changes, sentence):
    with pytest.raises(ValueError) as caught:
        pack.run.Training.of(inputs(**changes))
    assert sentence in str(caught.value)


def test_a_preview_prompt_that_is_never_drawn_is_not_asked_for(pack, inputs):
    assert pack.run.Training.of(inputs(preview_every=0, preview_prompt="")).preview_every == 0


def test_the_longest_names_that_are_taken_can_be_saved(pack, inputs, pack_concept, tmp_path):
    save = importlib.import_module(f"{PACK}.perfusion_ops.concept.file").save_concept
    training = pack.run.Training.of(inputs(word="é" * 32, superclass="b" * 64))
    concept = pack_concept(training.word, training.superclass)
    metadata = dict.fromkeys(("encoder", "base_model", "statistics"), "0123456789abcdef")
    trained = dataclasses.replace(concept, metadata=metadata | {"training": training.settings.as_text(10_000)})
    save(trained, tmp_path / "long.safetensors")
    assert (tmp_path / "long.safetensors").stat().st_size <= 32_768


def test_a_model_that_also_reads_a_masked_picture_is_refused(pack, inputs, loaded, monkeypatch):
    monkeypatch.setitem(loaded[0].model.model_config.unet_config, "in_channels", 9)
    with pytest.raises(ValueError, match="reads 9 channels, as inpainting and editing models do; training expects"):
        pack.run.Training.of(inputs())
