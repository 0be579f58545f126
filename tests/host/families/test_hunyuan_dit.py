"""What is particular to HunyuanDiT: two texts behind one another, learned padding, rotated queries, two models."""

from __future__ import annotations

import dataclasses
import inspect
import re
from types import SimpleNamespace

import pytest
import torch

from builders.cross_models import CROSS
from builders.cross_world import GATE, TEXT, CrossWorld
from builders.file_sizes import kilobytes
from builders.joint_models import joint_vae
from builders.joint_training import learn_back
from builders.joint_true_sizes import TRUE_SIZES
from builders.places import ROOT
from builders.schema_snapshot import read_snapshot

SCHEMA = read_snapshot()["PerfusionTrainConcept"]
BERT = 77
"""Tokens of a short prompt in the first text; the second has 256."""
NAMED, SUPERCLASS, OTHER = TEXT.format("teddy_t"), TEXT.format("teddy bear"), TEXT.format("red boat")


@pytest.fixture(scope="module")
def world(pack):
    return CrossWorld(pack, "hunyuan_dit")


@pytest.fixture(scope="module")
def older(pack):
    """Of the models 1.0 and 1.1, which read a picture's size and a style beside the prompt."""
    sizes = {"image_model": "hydit1", "size_cond": True, "use_style_cond": True}
    small = CROSS["hunyuan_dit"]
    CROSS["hunyuan_dit1"] = dataclasses.replace(small, config="HunyuanDiT1", unet=small.unet | sizes)
    yield CrossWorld(pack, "hunyuan_dit1")
    del CROSS["hunyuan_dit1"]


@torch.no_grad()
def first_layer(world, model, clip, text: str) -> dict[str, torch.Tensor]:
    """What the first cross-attention reads, projects and gives, at the first step of a drawing of one prompt."""
    attention, seen = world.net.blocks[0].attn2, {}

    def listen(name: str):
        return lambda _module, args, output=None: seen.setdefault(name, args if output is None else output)

    def behind_the_edit(_net, _args) -> None:
        hooks.append(attention.kv_proj.register_forward_hook(listen("keys and values")))

    hooks = [attention.register_forward_pre_hook(listen("given"))]
    hooks.append(attention.out_proj.register_forward_pre_hook(listen("attended")))
    hooks.append(world.net.register_forward_pre_hook(behind_the_edit))
    world.draw(model, clip, text, cfg=1.0)
    for hook in hooks:
        hook.remove()
    return seen


def test_the_first_layer_by_hand(world):
    """``A V`` in float64 plus ``g r`` times the attention on the marked tokens; keys and padding stay, to the bit."""
    from comfy.ldm.hydit.attn_layers import apply_rotary_emb

    concept, attention = world.position_concept(), world.net.blocks[0].attn2
    edited = first_layer(world, *world.applied(concept), NAMED)
    plain = first_layer(world, world.model, world.clip, SUPERCLASS)
    assert all(torch.equal(now, before) for now, before in zip(edited["given"][:2], plain["given"][:2], strict=True))
    x, _, rotations = plain["given"]
    heads = (attention.num_heads, attention.head_dim)
    (keys, values), (same, changed) = (seen["keys and values"].chunk(2, -1) for seen in (plain, edited))
    assert torch.equal(keys, same)
    marks = torch.cat([marks for _, marks in world.marks(TEXT)]).bool()
    moved = (values != changed).any(-1)
    assert torch.equal(moved, marks.expand_as(moved)) and marks[:BERT].any() and marks[BERT:].any()
    queries = apply_rotary_emb(attention.q_norm(attention.q_proj(x).unflatten(-1, heads)), None, rotations)[0]
    queries, keys = queries.double(), attention.k_norm(keys.unflatten(-1, heads)).double()
    shares = (torch.einsum("bqhd,bkhd->bhqk", queries, keys) / heads[1] ** 0.5).softmax(-1)
    bias, temperature, _leak_free = (torch.tensor(float(number)).double() for number in GATE)
    opened, leak = (torch.sigmoid((mark - bias) / temperature) for mark in (1, 0))
    residual = (opened - leak) / (1 - leak) * concept.value_residuals["blocks.0.attn2"].double()
    by_hand = values.double() + marks.unsqueeze(-1) * residual
    by_hand = torch.einsum("bhqk,bkhd->bqhd", shares, by_hand.unflatten(-1, heads)).flatten(2)
    torch.testing.assert_close(edited["attended"][0].double(), by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_each_text_box_has_the_look_where_it_names_the_subject(world, weighted):
    """The host's node with a box for each text encoder: one box that names it is enough, and none is none."""
    from comfy_extras.nodes_hunyuan import CLIPTextEncodeHunyuanDiT

    model, clip = world.applied(world.position_concept())
    named = NAMED.replace("teddy_t", "(teddy_t:1.3)") if weighted else NAMED
    superclass = named.replace("teddy_t", "teddy bear")

    def drawn(patcher, encoder, *boxes: str) -> torch.Tensor:
        return world.sample(patcher, CLIPTextEncodeHunyuanDiT.execute(encoder, *boxes).result[0])

    for boxes in ((named, named), (named, OTHER), (OTHER, named), (OTHER, OTHER)):
        before = drawn(world.model, world.clip, *(superclass if box == named else box for box in boxes))
        assert torch.equal(drawn(model, clip, *boxes), before) == (named not in boxes), boxes


def test_a_long_prompt_is_drawn_too(world):
    """Behind the 77 tokens of the first text there are more: the look stands at the subject there as well."""
    model, clip = world.applied(world.position_concept())
    long = "a red car and a boat at sea " * 12 + "with {}"
    assert len(clip.tokenize(long.format("teddy_t"))["hydit_clip"][0]) > BERT
    superclass = world.draw(world.model, world.clip, long.format("teddy bear"))
    assert (world.draw(model, clip, long.format("teddy_t")) - superclass).abs().max() > 1e-3
    assert torch.equal(world.draw(model, clip, long.format("teddy bear")), superclass)


def test_the_older_models_draw_with_the_pictures_size(older):
    """The concept is of their own family, and nothing else changes."""
    concept = older.position_concept()
    assert concept.base_family == "hunyuan_dit1"
    model, clip = older.applied(concept)
    superclass = older.draw(older.model, older.clip, SUPERCLASS)
    assert (older.draw(model, clip, NAMED) - superclass).abs().max() > 1e-3
    assert torch.equal(older.draw(model, clip, SUPERCLASS), superclass)


def test_inspect_names_the_tokens_of_both_texts(world):
    """Inspect Perfusion Gates shows BERT's tokens and then mT5's, the subject in each."""
    table = world.pack.gates.gate_table(*world.applied(world.position_concept()), NAMED)
    (found,) = table.concepts
    named = [token.word == "teddy_t" for token in table.tokens]
    assert (found.similarities == 1).tolist() == named and any(named[:BERT]) and any(named[BERT:])
    assert len(named) == BERT + 256 and torch.equal(found.gates > 0.5, torch.tensor(named))


def test_a_controlnet_beside_the_concept(world):
    """What a ControlNet adds to the skipped streams: both act, and it alone without the word."""
    from comfy.controlnet import ControlBase

    class Control(ControlBase):
        def get_control(self, x_noisy, *_call):
            added = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(4))
            return {"input": [], "middle": [], "output": [added.expand(len(x_noisy), -1, -1)]}

    controlled = {"entries": {"control": Control(), "control_apply_to_uncond": True}}
    model, clip = world.applied(world.position_concept())
    alone = world.draw(world.model, world.clip, SUPERCLASS, **controlled)
    both = world.draw(model, clip, NAMED, **controlled)
    assert (alone - world.draw(world.model, world.clip, SUPERCLASS)).abs().max() > 1e-3
    assert (both - alone).abs().max() > 1e-3 and (both - world.draw(model, clip, NAMED)).abs().max() > 1e-3
    assert torch.equal(world.draw(model, clip, SUPERCLASS, **controlled), alone)


def predicting(world, recompute: bool = False):
    """The injection of a training and what predicts in it, on a private copy."""
    made, private = world.pack.cross_model, world.private(recompute)
    injection = made.CrossInjection(world.family.layers(private.unet), reading=False)
    return injection, made.cross_predictor(world.model, private.unet, private.device, torch.float32)


@pytest.mark.parametrize("which", ["world", "older"])
def test_a_training_predicts_what_the_host_predicts(which, request):
    """From one packed tensor of both texts the network gets what sampling gives it, number by number."""
    world = request.getfixturevalue(which)
    injection, predict = predicting(world)
    noisy, model = world.noise()[..., :6], world.model.model
    encoded = world.clip.encode_from_tokens(world.clip.tokenize(SUPERCLASS), return_dict=True)
    beside = {name: value for name, value in encoded.items() if name not in ("cond", "pooled_output")}
    conds = model.extra_conds(
        noise=noisy, device=torch.device("cpu"), cross_attn=encoded["cond"], width=48, height=64, **beside
    )
    given = {name: cond.cond.clone() for name, cond in conds.items()}
    with torch.no_grad(), injection.inject():
        found = predict(noisy, torch.tensor([300]), world.trained(SUPERCLASS))
        expected = world.net(noisy, torch.tensor([300.0]), given.pop("c_crossattn"), **given)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    schedule = world.family.noise_schedule(world.model)
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


def test_captions_of_one_length_together_and_not_each_are_trained_apart(world):
    """A long caption for BERT beside a long one for mT5: in one batch, one would be cut at the other's place."""
    pack, second, private = world.pack, world.family.second, world.private()
    texts = ("a {}", "the {}")
    prompts = pack.superclass_prompts.SuperclassPrompts.of(world.clip, "teddy_t", "teddy bear", texts, second)
    one, other = (_with_more_padding(second, prompts.prompts[text], (n, 1 - n)) for n, text in enumerate(texts))
    assert one.encodings.shape == other.encodings.shape and one.lengths != other.lengths
    prompts = dataclasses.replace(prompts, prompts=dict(zip(texts, (one, other), strict=True)))
    pictures = [pack.ops.Picture(world.noise(8)[0])]
    settings = pack.ops.TrainingSettings(steps=2, batch_size=4, seed=3, gate_kind=pack.ops.GateKind.POSITION)
    with torch.inference_mode(False), torch.enable_grad():
        task = pack.task.training_task(
            world.model, private, prompts, "teddy_t", pictures, texts, None, {"encoder": "e"}
        )
        together, alone = (
            pack.ops.train(task, dataclasses.replace(settings, micro_batch=size)).concept.value_residuals
            for size in (4, 1)
        )
    for name, residual in alone.items():
        torch.testing.assert_close(together[name], residual, rtol=1e-3, atol=1e-5)


def test_hidden_residuals_are_learned_back(world):
    """By gradients that equal finite differences, through rotated queries and skipped blocks computed again."""
    injection, predict = predicting(world, recompute=True)
    noisy = world.noise().repeat(2, 1, 1, 1)
    marks = torch.cat([marks for _, marks in world.marks(TEXT)]).view(1, -1, 1).expand(2, -1, -1)
    encodings = world.trained(SUPERCLASS).repeat(2, 1, 1)
    learn_back(world.pack, injection, predict, noisy, encodings, marks, injection.value_widths)


class Stopped(BaseException):
    pass


def test_a_training_that_was_cancelled_or_short_of_memory_ends_alike(world, tmp_path):
    """Cancel and queue again: the same concept to the bit. Memory runs out in a layer: the same, by half a batch."""
    pack, private, texts = world.pack, world.private(), (TEXT, "the {}")
    prompts = pack.superclass_prompts.SuperclassPrompts.of(
        world.clip, "teddy_t", "teddy bear", texts, world.family.second
    )
    pictures = [pack.ops.Picture(world.noise(seed)[0]) for seed in (8, 9)]
    arguments = private.superclass_prompts(world.model, prompts), "teddy_t", pictures, texts, None, {"encoder": "e"}
    settings = pack.ops.TrainingSettings(steps=4, batch_size=2, seed=3, gate_kind=pack.ops.GateKind.POSITION)

    def cancel(report) -> None:
        if report.step == 2:
            raise Stopped

    def fail(*_) -> None:
        handle.remove()
        raise torch.OutOfMemoryError("out of memory")

    with torch.inference_mode(False), torch.enable_grad():
        task = pack.task.training_task(world.model, private, *arguments)
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


def node_inputs(world, **others) -> dict[str, list]:
    """Of Train Perfusion Concept, for a short training."""
    values = {
        **{name: entry["default"] for name, entry in SCHEMA["inputs"].items() if "default" in entry},
        **{"model": world.model, "clip": world.clip, "vae": joint_vae(4), "images": torch.rand(1, 64, 80, 3)},
        **{"word": "my_bear", "superclass": "teddy bear", "steps": 2, "batch_size": 1, "preview_every": 2},
        **{"templates": "a {}\nthe old {}", "gradient_checkpointing": True, "value_learning_rate": 0.3},
    }
    return {name: [value] for name, value in (values | others).items()}


def test_the_node_trains_and_the_concept_draws(pack, world, tmp_path, monkeypatch):
    """Train and Apply work on HunyuanDiT as on Stable Diffusion, with a preview on the way."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    finished = pack.run.Training.of(node_inputs(world)).run()
    concept = finished.concept
    assert concept.gate.value == "position" and concept.base_family == "hunyuan_dit" and finished.sheet is not None
    assert list(concept.value_residuals) == [f"blocks.{n}.attn2" for n in range(4)], "auto: all layers"
    assert all(residual.abs().max() > 0.1 for residual in concept.value_residuals.values())
    model, clip = world.applied(concept)
    superclass = world.draw(world.model, world.clip, SUPERCLASS)
    assert (world.draw(model, clip, TEXT.format("my_bear")) - superclass).abs().max() > 1e-4
    assert torch.equal(world.draw(model, clip, SUPERCLASS), superclass)


def test_a_learned_word_is_refused_before_anything_is_loaded(pack, world):
    """Who asks for the paper's gate reads which gate HunyuanDiT takes."""
    asked = node_inputs(world, gate="learned word")
    with pytest.raises(ValueError, match="1.2 cannot be trained with the gate 'learned word'; expected 'position', or"):
        pack.run.Training.of(asked)


@pytest.mark.parametrize(
    ("title", "older", "billions"), [("HunyuanDiT 1.2", False, 1.5), ("HunyuanDiT 1.0 and 1.1", True, 1.5)]
)
def test_the_host_finds_the_family_and_its_layers_in_a_file(pack, title, older, billions):
    """The models that people load are told apart by their weights' shapes; files for them are as small as we say."""
    import comfy.model_detection
    import comfy.supported_models

    conditioned = {"image_model": "hydit1", "size_cond": True, "use_style_cond": True} if older else {}
    sizes = TRUE_SIZES["hunyuan_dit"].unet | conditioned
    config = getattr(comfy.supported_models, "HunyuanDiT1" if older else "HunyuanDiT")(sizes)
    config.set_inference_dtype(torch.bfloat16, None)
    model = config.get_model({}, device=torch.device("meta"))
    net = model.diffusion_model
    found = comfy.model_detection.model_config_from_unet(net.state_dict(), "")
    known = ("image_model", "depth", "hidden_size", "mlp_ratio", *conditioned)
    assert type(found) is type(config)
    assert {key: found.unet_config[key] for key in known} == {key: sizes[key] for key in known}
    defaults = inspect.signature(type(net)).parameters
    assumed = ("num_heads", "text_states_dim", "text_states_dim_t5")
    assert {key: defaults[key].default for key in assumed} == {key: sizes[key] for key in assumed}
    family = pack.family.family_of(SimpleNamespace(model=model))
    widths = family.value_widths(net)
    assert family.title == title and widths == {f"blocks.{block}.attn2": 1408 for block in range(40)}
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e9, 1) == billions
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    files = kilobytes(family.name, widths)
    assert re.findall(rf"^\| {re.escape(title)} \| (\d[^|]*) \|$", page, re.MULTILINE) == [files]
