"""What is particular to HunyuanDiT: two texts behind one another, learned padding, rotated queries, two models."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace

import pytest
import torch

from builders.cross_world import GATE, TEXT
from builders.file_sizes import kilobytes
from builders.joint_true_sizes import TRUE_SIZES
from builders.places import ROOT

BERT = 77
"""Tokens of a short prompt in the first text; the second has 256."""
NAMED, SUPERCLASS, OTHER = TEXT.format("teddy_t"), TEXT.format("teddy bear"), TEXT.format("red boat")


@torch.no_grad()
def first_layer(hunyuan, model, clip, text: str) -> dict[str, torch.Tensor]:
    """What the first cross-attention reads, projects and gives, at the first step of a drawing of one prompt."""
    attention, seen = hunyuan.net.blocks[0].attn2, {}

    def listen(name: str):
        return lambda _module, args, output=None: seen.setdefault(name, args if output is None else output)

    def behind_the_edit(_net, _args) -> None:
        hooks.append(attention.kv_proj.register_forward_hook(listen("keys and values")))

    hooks = [attention.register_forward_pre_hook(listen("given"))]
    hooks.append(attention.out_proj.register_forward_pre_hook(listen("attended")))
    hooks.append(hunyuan.net.register_forward_pre_hook(behind_the_edit))
    hunyuan.draw(model, clip, text, cfg=1.0)
    for hook in hooks:
        hook.remove()
    return seen


def test_the_first_layer_by_hand(hunyuan):
    """``A V`` in float64 plus ``g r`` times the attention on the marked tokens; keys and padding stay, to the bit."""
    from comfy.ldm.hydit.attn_layers import apply_rotary_emb

    concept, attention = hunyuan.position_concept(), hunyuan.net.blocks[0].attn2
    edited = first_layer(hunyuan, *hunyuan.applied(concept), NAMED)
    plain = first_layer(hunyuan, hunyuan.model, hunyuan.clip, SUPERCLASS)
    assert all(torch.equal(now, before) for now, before in zip(edited["given"][:2], plain["given"][:2], strict=True))
    x, _, rotations = plain["given"]
    heads = (attention.num_heads, attention.head_dim)
    (keys, values), (same, changed) = (seen["keys and values"].chunk(2, -1) for seen in (plain, edited))
    assert torch.equal(keys, same)
    marks = torch.cat([marks for _, marks in hunyuan.marks(TEXT)]).bool()
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
def test_each_text_box_has_the_look_where_it_names_the_subject(hunyuan, weighted):
    """The host's node with a box for each text encoder: one box that names it is enough, and none is none."""
    from comfy_extras.nodes_hunyuan import CLIPTextEncodeHunyuanDiT

    model, clip = hunyuan.applied(hunyuan.position_concept())
    named = NAMED.replace("teddy_t", "(teddy_t:1.3)") if weighted else NAMED
    superclass = named.replace("teddy_t", "teddy bear")

    def drawn(patcher, encoder, *boxes: str) -> torch.Tensor:
        return hunyuan.sample(patcher, CLIPTextEncodeHunyuanDiT.execute(encoder, *boxes).result[0])

    for boxes in ((named, named), (named, OTHER), (OTHER, named), (OTHER, OTHER)):
        before = drawn(hunyuan.model, hunyuan.clip, *(superclass if box == named else box for box in boxes))
        assert torch.equal(drawn(model, clip, *boxes), before) == (named not in boxes), boxes


def test_a_long_prompt_is_drawn_too(hunyuan):
    """Behind the 77 tokens of the first text there are more: the look stands at the subject there as well."""
    model, clip = hunyuan.applied(hunyuan.position_concept())
    long = "a red car and a boat at sea " * 12 + "with {}"
    assert len(clip.tokenize(long.format("teddy_t"))["hydit_clip"][0]) > BERT
    superclass = hunyuan.draw(hunyuan.model, hunyuan.clip, long.format("teddy bear"))
    assert (hunyuan.draw(model, clip, long.format("teddy_t")) - superclass).abs().max() > 1e-3
    assert torch.equal(hunyuan.draw(model, clip, long.format("teddy bear")), superclass)


def test_the_older_models_draw_with_the_pictures_size(older_hunyuan):
    """The concept is of their own family, and nothing else changes."""
    concept = older_hunyuan.position_concept()
    assert concept.base_family == "hunyuan_dit1"
    model, clip = older_hunyuan.applied(concept)
    superclass = older_hunyuan.draw(older_hunyuan.model, older_hunyuan.clip, SUPERCLASS)
    assert (older_hunyuan.draw(model, clip, NAMED) - superclass).abs().max() > 1e-3
    assert torch.equal(older_hunyuan.draw(model, clip, SUPERCLASS), superclass)


def test_inspect_names_the_tokens_of_both_texts(hunyuan):
    """Inspect Perfusion Gates shows BERT's tokens and then mT5's, the subject in each."""
    table = hunyuan.pack.gates.gate_table(*hunyuan.applied(hunyuan.position_concept()), NAMED)
    (found,) = table.concepts
    named = [token.word == "teddy_t" for token in table.tokens]
    assert (found.similarities == 1).tolist() == named and any(named[:BERT]) and any(named[BERT:])
    assert len(named) == BERT + 256 and torch.equal(found.gates > 0.5, torch.tensor(named))


def test_a_controlnet_beside_the_concept(hunyuan):
    """What a ControlNet adds to the skipped streams: both act, and it alone without the word."""
    from comfy.controlnet import ControlBase

    class Control(ControlBase):
        def get_control(self, x_noisy, *_call):
            added = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(4))
            return {"input": [], "middle": [], "output": [added.expand(len(x_noisy), -1, -1)]}

    controlled = {"entries": {"control": Control(), "control_apply_to_uncond": True}}
    model, clip = hunyuan.applied(hunyuan.position_concept())
    alone = hunyuan.draw(hunyuan.model, hunyuan.clip, SUPERCLASS, **controlled)
    both = hunyuan.draw(model, clip, NAMED, **controlled)
    assert (alone - hunyuan.draw(hunyuan.model, hunyuan.clip, SUPERCLASS)).abs().max() > 1e-3
    assert (both - alone).abs().max() > 1e-3 and (both - hunyuan.draw(model, clip, NAMED)).abs().max() > 1e-3
    assert torch.equal(hunyuan.draw(model, clip, SUPERCLASS, **controlled), alone)


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
