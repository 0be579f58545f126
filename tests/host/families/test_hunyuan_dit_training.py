"""Training on HunyuanDiT: its two packed texts are what the host gives the network, and it stops, goes on and draws."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from builders.cross_world import TEXT
from builders.joint_models import joint_vae
from builders.joint_training import learn_back
from builders.schema_snapshot import read_snapshot

SCHEMA = read_snapshot()["PerfusionTrainConcept"]
SUPERCLASS = TEXT.format("teddy bear")


def predicting(hunyuan, recompute: bool = False):
    """The injection of a training and what predicts in it, on a private copy."""
    made, private = hunyuan.pack.cross_model, hunyuan.private(recompute)
    injection = made.CrossInjection(hunyuan.family.layers(private.unet), reading=False)
    return injection, made.cross_predictor(hunyuan.model, private.unet, private.device, torch.float32)


@pytest.mark.parametrize("which", ["hunyuan", "older_hunyuan"])
def test_a_training_predicts_what_the_host_predicts(which, request):
    """From one packed tensor of both texts the network gets what sampling gives it, number by number."""
    hunyuan = request.getfixturevalue(which)
    injection, predict = predicting(hunyuan)
    noisy, model = hunyuan.noise()[..., :6], hunyuan.model.model
    encoded = hunyuan.clip.encode_from_tokens(hunyuan.clip.tokenize(SUPERCLASS), return_dict=True)
    beside = {name: value for name, value in encoded.items() if name not in ("cond", "pooled_output")}
    conds = model.extra_conds(
        noise=noisy, device=torch.device("cpu"), cross_attn=encoded["cond"], width=48, height=64, **beside
    )
    given = {name: cond.cond.clone() for name, cond in conds.items()}
    with torch.no_grad(), injection.inject():
        found = predict(noisy, torch.tensor([300]), hunyuan.trained(SUPERCLASS))
        expected = hunyuan.net(noisy, torch.tensor([300.0]), given.pop("c_crossattn"), **given)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    schedule = hunyuan.family.noise_schedule(hunyuan.model)
    assert schedule.prediction == "velocity" and len(schedule) == 1000


def _with_more_padding(second, encoded, more: tuple[int, int]):
    """A training's prompt with so many tokens of padding more in either text."""
    given, pad = second.unpacked(encoded.encodings), torch.nn.functional.pad
    padded = {name: pad(given[name], (0, count)) for name, count in zip(second.masks, more, strict=True)}
    first = pad(given["cross_attn"], (0, 0, 0, more[0]))
    padded[second.entry] = pad(given[second.entry], (0, 0, 0, more[1]))
    packed, lengths = second.packed(first, padded), second.lengths(first, padded)
    marks = [pad(part, (0, count)) for part, count in zip(encoded.marks.split(encoded.lengths, 1), more, strict=True)]
    return dataclasses.replace(encoded, encodings=packed, lengths=lengths, marks=torch.cat(marks, 1))


def test_captions_of_one_length_together_and_not_each_are_trained_apart(hunyuan):
    """A long caption for BERT beside a long one for mT5: in one batch, one would be cut at the other's place."""
    pack, second, private = hunyuan.pack, hunyuan.family.second, hunyuan.private()
    texts = ("a {}", "the {}")
    prompts = pack.superclass_prompts.SuperclassPrompts.of(hunyuan.clip, "teddy_t", "teddy bear", texts, second)
    one, other = (_with_more_padding(second, prompts.prompts[text], (n, 1 - n)) for n, text in enumerate(texts))
    assert one.encodings.shape == other.encodings.shape and one.lengths != other.lengths
    prompts = dataclasses.replace(prompts, prompts=dict(zip(texts, (one, other), strict=True)))
    pictures = [pack.ops.Picture(hunyuan.noise(8)[0])]
    settings = pack.ops.TrainingSettings(steps=2, batch_size=4, seed=3, gate_kind=pack.ops.GateKind.POSITION)
    with torch.inference_mode(False), torch.enable_grad():
        task = pack.task.training_task(
            hunyuan.model, private, prompts, "teddy_t", pictures, texts, None, {"encoder": "e"}
        )
        together, alone = (
            pack.ops.train(task, dataclasses.replace(settings, micro_batch=size)).concept.value_residuals
            for size in (4, 1)
        )
    for name, residual in alone.items():
        torch.testing.assert_close(together[name], residual, rtol=1e-3, atol=1e-5)


def test_hidden_residuals_are_learned_back(hunyuan):
    """By gradients that equal finite differences, through rotated queries and skipped blocks computed again."""
    injection, predict = predicting(hunyuan, recompute=True)
    noisy = hunyuan.noise().repeat(2, 1, 1, 1)
    marks = torch.cat([marks for _, marks in hunyuan.marks(TEXT)]).view(1, -1, 1).expand(2, -1, -1)
    encodings = hunyuan.trained(SUPERCLASS).repeat(2, 1, 1)
    learn_back(hunyuan.pack, injection, predict, noisy, encodings, marks, injection.value_widths)


class Stopped(BaseException):
    pass


def test_a_training_that_was_cancelled_or_short_of_memory_ends_alike(hunyuan, tmp_path):
    """Cancel and queue again: the same concept to the bit. Memory runs out in a layer: the same, by half a batch."""
    pack, private, texts = hunyuan.pack, hunyuan.private(), (TEXT, "the {}")
    prompts = pack.superclass_prompts.SuperclassPrompts.of(
        hunyuan.clip, "teddy_t", "teddy bear", texts, hunyuan.family.second
    )
    pictures = [pack.ops.Picture(hunyuan.noise(seed)[0]) for seed in (8, 9)]
    arguments = private.superclass_prompts(hunyuan.model, prompts), "teddy_t", pictures, texts, None, {"encoder": "e"}
    settings = pack.ops.TrainingSettings(steps=4, batch_size=2, seed=3, gate_kind=pack.ops.GateKind.POSITION)

    def cancel(report) -> None:
        if report.step == 2:
            raise Stopped

    def fail(*_) -> None:
        handle.remove()
        raise torch.OutOfMemoryError("out of memory")

    with torch.inference_mode(False), torch.enable_grad():
        task = pack.task.training_task(hunyuan.model, private, *arguments)
        whole = pack.ops.train(task, settings).concept.value_residuals
        with pytest.raises(Stopped):
            pack.ops.train(task, settings, checkpoint=tmp_path / "run", callback=cancel)
        resumed = pack.ops.train(task, settings, checkpoint=tmp_path / "run").concept.value_residuals
        handle = private.unet.blocks[1].attn2.register_forward_hook(fail)
        told = {"is_out_of_memory": pack.device_memory.is_out_of_memory}
        halved = pack.ops.train(task, settings, **told).concept.value_residuals
    for name, residual in whole.items():
        assert torch.equal(resumed[name], residual) and residual.abs().max() > 0
        torch.testing.assert_close(halved[name], residual, rtol=1e-3, atol=1e-5)


def node_inputs(hunyuan, **others) -> dict[str, list]:
    """Of Train Perfusion Concept, for a short training."""
    values = {
        **{name: entry["default"] for name, entry in SCHEMA["inputs"].items() if "default" in entry},
        **{"model": hunyuan.model, "clip": hunyuan.clip, "vae": joint_vae(4), "images": torch.rand(1, 64, 80, 3)},
        **{"word": "my_bear", "superclass": "teddy bear", "steps": 2, "batch_size": 1, "preview_every": 2},
        **{"templates": "a {}\nthe old {}", "gradient_checkpointing": True, "value_learning_rate": 0.3},
    }
    return {name: [value] for name, value in (values | others).items()}


def test_the_node_trains_and_the_concept_draws(pack, hunyuan, tmp_path, monkeypatch):
    """Train and Apply work on HunyuanDiT as on Stable Diffusion, with a preview on the way."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    finished = pack.run.Training.of(node_inputs(hunyuan)).run()
    concept = finished.concept
    assert concept.gate.value == "position" and concept.base_family == "hunyuan_dit" and finished.sheet is not None
    assert list(concept.value_residuals) == [f"blocks.{n}.attn2" for n in range(4)], "auto: all layers"
    assert all(residual.abs().max() > 0.1 for residual in concept.value_residuals.values())
    model, clip = hunyuan.applied(concept)
    superclass = hunyuan.draw(hunyuan.model, hunyuan.clip, SUPERCLASS)
    assert (hunyuan.draw(model, clip, TEXT.format("my_bear")) - superclass).abs().max() > 1e-4
    assert torch.equal(hunyuan.draw(model, clip, SUPERCLASS), superclass)


def test_a_learned_word_is_refused_before_anything_is_loaded(pack, hunyuan):
    """Who asks for the paper's gate reads which gate HunyuanDiT takes."""
    asked = node_inputs(hunyuan, gate="learned word")
    with pytest.raises(ValueError, match="1.2 cannot be trained with the gate 'learned word'; expected 'position', or"):
        pack.run.Training.of(asked)
