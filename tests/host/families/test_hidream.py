"""What is particular to HiDream-I1: the picture before the text, and a second text that every block reads anew."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from builders.file_sizes import kilobytes
from builders.joint_models import joint_clip
from builders.joint_true_sizes import TRUE_SIZES
from builders.joint_world import JointWorld
from builders.places import ROOT

T5 = 128
"""Tokens of T5, which the host fills up or cuts."""


@pytest.fixture(scope="module")
def world(pack):
    return JointWorld(pack, "hidream")


@pytest.fixture(scope="module")
def clip():
    return joint_clip("hidream")


@pytest.fixture(scope="module")
def applied(pack, world, clip):
    """MODEL and CLIP behind Apply Key-Locked Attention."""
    parts = {**vars(world.concept()), "word": "my_bear", "superclass": "teddy bear", "gate": "position"}
    concept = pack.ops.Concept(**parts)
    held = pack.model.AppliedConcept(pack.ops.EditTerm(concept, pack.ops.Gate()))
    edited = pack.model.model_with_concept(world.model, held)
    return edited, pack.clip.clip_with_concept(clip, concept, 1.0, pack.ops.KeyLocking.LOCAL, held.naming)


def draw(patcher, conditioning, negative, latent=(1, 16, 8, 8)) -> torch.Tensor:
    import comfy.sample

    noise = torch.randn(*latent, generator=torch.Generator().manual_seed(1))
    settings = {"disable_pbar": True, "seed": 1}
    empty = torch.zeros_like(noise)
    return comfy.sample.sample(patcher, noise, 2, 2.0, "euler", "simple", conditioning, negative, empty, **settings)


def marked(world, conditioning) -> tuple[list[int], list[int]]:
    """Places of the concept among T5's tokens, and among Llama's."""
    seen = {**conditioning[0][1], "cross_attn": conditioning[0][0]}
    whole = world.pack.conditioning.with_whole_text(seen, world.family.second, 1)["cross_attn"]
    places = world.pack.conditioning.marks_of(whole, ["my_bear"])[0, :, 0].nonzero().flatten().tolist()
    return [place for place in places if place < T5], [place - T5 for place in places if place >= T5]


def test_each_text_box_has_the_look_where_it_names_the_subject(world, applied, clip):
    """The host's node with a box for each text encoder: one box that names it is enough, and none is none."""
    from comfy_extras.nodes_hidream import CLIPTextEncodeHiDream

    named, other = "a photo of my_bear", "a photo of a bear"
    edited, knowing = applied

    def encoded(encoder, t5xxl, llama):
        return CLIPTextEncodeHiDream.execute(encoder, other, other, t5xxl, llama).result[0]

    negative = encoded(clip, "", "")
    for boxes in ((named, named), (named, other), (other, named), (other, other)):
        in_t5, in_llama = marked(world, encoded(knowing, *boxes))
        assert (bool(in_t5), bool(in_llama)) == tuple(box == named for box in boxes)
        plain = [box.replace("my_bear", "teddy bear") for box in boxes]
        before = draw(world.model, encoded(clip, *plain), negative)
        after = draw(edited, encoded(knowing, *boxes), negative)
        assert torch.equal(after, before) == (named not in boxes), boxes


@pytest.mark.parametrize("missing", ["t5xxl", "llama"])
def test_a_loader_may_leave_a_text_encoder_out(world, applied, monkeypatch, missing):
    """With T5 or Llama alone, as the host's other loaders give them, the look stands in the text that is there."""
    _, knowing = applied
    monkeypatch.setitem(knowing.cond_stage_model._modules, missing, None)
    conditioning = knowing.encode_from_tokens_scheduled(knowing.tokenize("a photo of my_bear"), show_pbar=False)
    in_t5, in_llama = marked(world, conditioning)
    assert bool(in_t5) == (missing != "t5xxl") and bool(in_llama) == (missing != "llama")


def test_a_picture_to_edit_sees_no_look(world):
    """HiDream-E1 reads it right of the noise, in the same rows: with a region or without, the look stays left of it."""
    named = world.prompt(5, ["teddy_t"])
    beside = {"concat_latent_image": torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(2))}

    def first_output(model, prompt) -> torch.Tensor:
        """Of the first layer's picture places (rows, columns, width)."""
        seen, attention = [], world.net.double_stream_blocks[0].block.attn1
        handle = attention.to_out.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
        world.draw(model, prompt, entries=beside, steps=1, cfg=1.0)
        handle.remove()
        return seen[0][0].view(4, 8, -1)

    plain = first_output(world.model, world.pack.encoded_prompt.plain(named))
    left = torch.zeros(8, 8)
    left[:, :4] = 1
    for where, changed in (({}, [True] * 4 + [False] * 4), ({"region": left}, [True] * 2 + [False] * 6)):
        moved = (first_output(world.applied(world.concept(), **where), named) - plain).abs().amax((0, 2))
        assert (moved > 0).tolist() == changed


def test_inspect_names_the_tokens_of_both_texts(world, applied):
    """Inspect Perfusion Gates shows T5's tokens and then Llama's, the subject in each."""
    table = world.pack.gates.gate_table(*applied, "a my_bear at sea")
    (found,) = table.concepts
    named = [token.word == "my_bear" for token in table.tokens]
    assert (found.similarities == 1).tolist() == named and any(named[:T5]) and any(named[T5:])
    letters = [token.label.removeprefix("my_bear:") for token in table.tokens if token.word == "my_bear"]
    assert "".join(letter for letter in letters if not letter.startswith("#")) == "teddybear" * 2


def test_a_trainings_prompt_holds_both_texts(world, clip):
    """What a training keeps of a prompt gives back what the host encoded, number by number."""
    second = world.family.second
    texts = ["a {} at sea", "the {}"]
    made = world.pack.superclass_prompts.SuperclassPrompts.of(clip, "my_bear", "teddy bear", texts, second)
    plain = clip.encode_from_tokens(clip.tokenize("a teddy bear at sea"), return_dict=True)
    texts = second.unpacked(made.encode(["a {} at sea"]).encodings)
    assert torch.equal(texts["cross_attn"], plain["cond"].float())
    assert torch.equal(texts["conditioning_llama3"], plain["conditioning_llama3"].float())
    other = clip.encode_from_tokens(clip.tokenize("the teddy bear"), return_dict=True)["pooled_output"]
    torch.testing.assert_close(made.pooled, (plain["pooled_output"] + other) / 2)
    assert (plain["pooled_output"] - other).abs().max() > 1e-3, "of all templates, and not the first one's"
    marks = made.encode(["a {} at sea"]).marks[0].split((T5, 128, 128))
    assert torch.equal(*marks[1:]) and all(each.any() for each in marks), "Llama's tokens stand there twice"


def test_true_sizes_are_those_of_the_hosts_loader(pack):
    """A checkpoint of the true shapes is found to be of the family, with the layers that a concept names."""
    import comfy.model_detection
    import comfy.supported_models

    size = TRUE_SIZES["hidream"]
    config = comfy.supported_models.HiDream(size.unet)
    config.set_inference_dtype(torch.bfloat16, None)
    model = config.get_model({}, device=torch.device("meta"))
    net = model.diffusion_model
    found = comfy.model_detection.model_config_from_unet(net.state_dict(), "")
    assert type(found) is type(config) and {key: found.unet_config[key] for key in size.unet} == size.unet
    family = pack.family.family_of(SimpleNamespace(model=model))
    widths, second = family.value_widths(net), family.second
    kinds = {"double_stream_blocks": 16, "single_stream_blocks": 32}
    assert widths == {f"{kind}.{n}": 2560 for kind, count in kinds.items() for n in range(count)}
    assert round(sum(p.numel() for p in net.parameters()) / 1e9, 1) == 17.1
    texts = [torch.zeros(1, *shape, T5, 4096, device="meta") for shape in ((), (32,))]
    kept = second.packed(texts[0], {second.entry: texts[1]})
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith(f"| HiDream-I1 | all, {len(widths)} |"))
    assert row.endswith(f"| {kilobytes('hidream', widths)} |")
    assert f"A prompt of a training takes {kept.nbytes / 1e6:.0f} MB" in page
