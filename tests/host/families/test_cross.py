"""The paper's method in transformers with text cross-attention: the host's classes, model, CLIP, CFG and sampler."""

from __future__ import annotations

import importlib
import re

import pytest
import torch

from builders.cross_models import CROSS, LEARNED, cross_model
from builders.cross_world import TEXT
from builders.joint_models import joint_vae
from builders.literal import Literal, opened
from builders.places import PACK
from perfusion_ops.concept.file import concept_bytes, parse_concept


@pytest.fixture
def world(cross_world):
    return cross_world


class Both(torch.nn.Module):
    """Keys and values in one, as some hosts' layers want them."""

    def __init__(self, *parts) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)

    def forward(self, encodings: torch.Tensor) -> torch.Tensor:
        return torch.cat([part(encodings) for part in self.parts], -1)


@pytest.mark.parametrize("cross_world", LEARNED, indirect=True)
def test_every_layer_computes_the_papers_equation(world):
    """The picture is that of weights edited one by one, by the equation as the paper writes it."""
    concept, text = world.concept(), TEXT.format("teddy_t")
    model, clip = world.applied(concept)
    drawn = world.draw(model, clip, text, cfg=1.0)
    by_hand = cross_model(world.name)
    for name, layer in world.family.layers(by_hand.model.diffusion_model).items():
        keys = Literal(layer.to_k, concept, torch.zeros(1), world.padding())
        values = Literal(layer.to_v, concept, concept.value_residuals[name], world.padding())
        fused = len(set(world.facts.parts)) == 1
        for part, own in zip(world.facts.parts, (keys, values), strict=True):
            setattr(layer.attention, part, Both(keys, values) if fused else own)
    torch.testing.assert_close(drawn, world.draw(by_hand, clip, text, cfg=1.0), rtol=1e-3, atol=1e-4)
    assert (drawn - world.draw(world.model, clip, text, cfg=1.0)).abs().max() > 1e-2


def test_nothing_else_changes_to_the_bit(world):
    """Strength 0, a prompt without the word, and the plain model afterwards draw what they drew before."""
    concept = world.concept()
    bear, boat = TEXT.format("teddy bear"), TEXT.format("boat")
    before = [world.draw(world.model, world.clip, text) for text in (bear, boat)]
    model, clip = world.applied(concept)
    named = world.draw(model, clip, TEXT.format("teddy_t"))
    assert (named - before[0]).abs().max() > 1e-2
    assert torch.equal(world.draw(model, clip, bear), before[0])
    assert torch.equal(world.draw(model, clip, boat), before[1])
    assert torch.equal(world.draw(*world.applied(concept, strength=0.0), TEXT.format("teddy_t")), before[0])
    assert torch.equal(world.draw(world.model, world.clip, bear), before[0])


def test_a_position_gate_draws_at_the_superclass_words(world):
    """Values alone, at the very tokens by which K and V read the superclass; keys and other prompts stay."""
    concept = world.position_concept()
    superclass = world.draw(world.model, world.clip, TEXT.format("teddy bear"))
    model, clip = world.applied(concept)
    drawn = world.draw(model, clip, TEXT.format("teddy_t"))
    assert (drawn - superclass).abs().max() > 1e-3
    assert torch.equal(world.draw(model, clip, TEXT.format("teddy bear")), superclass)
    for name, marks in world.marks(TEXT):
        spelled = world.clip.tokenizer.tokenize_with_weights(TEXT.format("teddy bear"))[name][0]
        ids = [token for (token, _), mark in zip(spelled, marks[: len(spelled)], strict=True) if mark]
        vocabulary = world.pack.clip.vocabulary(world.clip, name)
        # Older hosts hand on sentencepiece's own.
        decode = getattr(vocabulary, "decode", None) or vocabulary.tokenizer.decode
        words = decode(list(map(int, ids))).replace(" ##", "").strip()
        assert words == "teddy bear" and not marks[len(spelled) :].any()


def test_a_position_gate_by_hand(world):
    """The picture is the superclass's with ``g r`` on its words' values in every layer; at strength 0 it is its own."""
    concept, text = world.position_concept(), TEXT.format("teddy bear")
    drawn = world.draw(*world.applied(concept), TEXT.format("teddy_t"), cfg=1.0)
    superclass = world.draw(world.model, world.clip, text, cfg=1.0)
    assert torch.equal(world.draw(*world.applied(concept, strength=0.0), TEXT.format("teddy_t"), cfg=1.0), superclass)
    marks = torch.cat([marks for _, marks in world.marks(TEXT)])[: world.context(text).shape[1]]
    by_hand = cross_model(world.name)
    for name, layer in world.family.layers(by_hand.model.diffusion_model).items():
        delta = opened() * marks.unsqueeze(-1) * concept.value_residuals[name]
        layer.to_v.register_forward_hook(
            lambda _module, _args, values, delta=delta: values + delta.repeat(2, 1).view(values.shape)
        )
    close = {"rtol": 1e-3, "atol": 1e-4 * max(1, drawn.std().item())}
    torch.testing.assert_close(drawn, world.draw(by_hand, world.clip, text, cfg=1.0), **close)
    assert (drawn - superclass).abs().max() > 1e-3


@pytest.mark.parametrize("cross_world", [family for family in CROSS if family != "anima"], indirect=True)
@pytest.mark.parametrize("gate", ["learned word", "position"])
def test_rows_of_a_batch_that_name_nothing(cross_world, gate):
    """Of two prompts in one batch only the one that names the concept draws it, the other to the bit.

    Not in Anima: the host reads one row of T5's tokens for all rows of its encodings.
    """
    world = cross_world
    concept = world.concept() if gate == "learned word" else world.position_concept()
    model, clip = world.applied(concept)
    (named, entries), (other, _) = (
        clip.encode_from_tokens_scheduled(clip.tokenize(TEXT.format(word)), show_pbar=False)[0]
        for word in ("teddy_t", "red boat")
    )
    length = max(named.shape[1], other.shape[1])
    rows = torch.cat([torch.nn.functional.pad(row, (0, 0, 0, length - row.shape[1])) for row in (named, other)])
    if world.family.second is not None:
        beside = [entries, clip.encode_from_tokens_scheduled(clip.tokenize(TEXT.format("red boat")))[0][1]]
        names = world.family.second.entry, *world.family.second.masks
        entries = entries | {name: torch.cat([each[name] for each in beside]) for name in names}
    drawn = world.sample(model, [[rows, entries]])
    before = world.sample(world.model, [[world.pack.encoded_prompt.plain(rows), entries]])
    superclass = world.sample(world.model, [[world.pack.encoded_prompt.superclass_of(rows), entries]])
    assert torch.equal(drawn[1], before[1]) and (drawn[0] - superclass[0]).abs().max() > 1e-3


@pytest.mark.parametrize("second", ["learned word", "position"])
def test_concepts_in_any_order(world, second):
    """Chains of Apply draw the same in any order, to the bit, whatever the concepts' gates, and each concept counts."""
    make = world.concept if second == "learned word" else world.position_concept
    one, two = world.concept(), make("mug_m", "coffee cup", 2)
    text = TEXT.format("teddy_t and a mug_m")
    pictures = [world.draw(*world.applied(*order), text) for order in ((one, two), (two, one))]
    assert torch.equal(*pictures)
    alone = world.draw(*world.applied(one), TEXT.format("teddy_t and a coffee cup"))
    assert (pictures[0] - alone).abs().max() > 1e-3


@torch.inference_mode()
def test_the_hosts_own_nodes_draw_it(world):
    """CLIP Text Encode, Empty Latent Image, KSampler and VAE Decode behind Apply, as in the official template."""
    nodes = importlib.import_module("nodes")
    apply = importlib.import_module(f"{PACK}.nodes.apply").PerfusionApplyKeyLockedAttention
    concept, vae = world.concept(), joint_vae(world.facts.latent[0])
    (empty,) = nodes.EmptyLatentImage().generate(8 * world.facts.latent[-1], 8 * world.facts.latent[-1], 1)

    def picture(text: str, model, clip) -> torch.Tensor:
        conds = [nodes.CLIPTextEncode().encode(clip, words)[0] for words in (text, "worst quality")]
        (drawn,) = nodes.KSampler().sample(model, 1, 2, 4.0, "euler", "simple", *conds, empty)
        return nodes.VAEDecode().decode(vae, drawn)[0]

    def applied(strength: float):
        return apply.execute(world.model, world.clip, concept, strength, -0.5, 0.15, "local", False).result

    superclass = picture(TEXT.format("teddy bear"), world.model, world.clip)
    assert (picture(TEXT.format("teddy_t"), *applied(1.0)) - superclass).abs().max() > 1e-3
    assert torch.equal(picture(TEXT.format("teddy_t"), *applied(0.0)), superclass)
    assert torch.equal(picture(TEXT.format("teddy bear"), *applied(1.0)), superclass)


def test_regions_keep_the_look_inside(world):
    """A white mask is no mask, to the bit; with a black one values are the superclass's where the prompt names it."""
    text, concept = TEXT.format("teddy_t"), world.concept()
    whole = world.draw(*world.applied(concept), text)
    close = {"rtol": 1e-3, "atol": 1e-4 * max(1, whole.std().item())}
    white = world.draw(*world.applied(concept, region=torch.ones(8, 8)), text)
    black = world.draw(*world.applied(concept, region=torch.zeros(8, 8)), text)
    silent = {name: torch.zeros_like(residual) for name, residual in concept.value_residuals.items()}
    lookless = world.pack.ops.Concept(**{**vars(concept), "value_residuals": silent})
    assert torch.equal(white, whole)
    torch.testing.assert_close(black, world.draw(*world.applied(lookless), text), **close)
    assert (whole - black).abs().max() > 1e-2


def test_the_clip_of_another_model_is_told_before_a_training(world, monkeypatch):
    """Who connects another model's CLIP reads which one is needed, and waits for no statistics before."""
    world.pack.belonging.check_text(world.model, world.clip, "bear")
    encode, title = world.clip.encode_from_tokens, re.escape(world.family.title)

    def wider(tokens, return_dict):
        encoded = encode(tokens, return_dict=return_dict)
        return encoded | {"cond": torch.nn.functional.pad(encoded["cond"], (0, 1))}

    monkeypatch.setattr(world.clip, "encode_from_tokens", wider)
    with pytest.raises(ValueError, match=f"This CLIP gives .* numbers for each token, and this {title} model reads"):
        world.pack.belonging.check_text(world.model, world.clip, "bear")


def test_a_file_draws_what_the_concept_draws(world):
    """Saved and loaded, in full precision to the bit; in int8 nearly."""
    text, concept = TEXT.format("teddy_t"), world.concept()
    drawn = world.draw(*world.applied(concept), text)
    for precision, bound in (("fp32", 0.0), ("int8", 0.1)):
        loaded = parse_concept(concept_bytes(concept, "it", precision), "it")
        again = world.draw(*world.applied(world.pack.ops.Concept(**vars(loaded))), text)
        assert (again - drawn).norm() <= bound * drawn.norm(), precision


@pytest.mark.parametrize("cross_world", LEARNED, indirect=True)
def test_padding_is_never_edited_and_rows_that_name_nothing_stay(world):
    """A leaky gate would fill the zero tokens, and the key's norm would turn each into a word that draws attention."""
    from comfy.patcher_extension import WrappersMP

    concept, seen, rows = world.concept(), [], {}
    model, clip = world.applied(concept, gate=(0.6, 0.15, False))
    layer = next(iter(world.family.layers(world.net).values()))
    hook = layer.to_k.register_forward_hook(lambda _module, args, _output: seen.append(args[0].clone()))

    def keep_rows(name):
        def wrapper(executor, *args):
            rows.setdefault(name, executor(*args))
            return executor(*args)

        return wrapper

    for name, patcher in (("edited", model), ("plain", world.model.clone())):
        patcher.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "test", keep_rows(name))
        world.draw(patcher, clip, TEXT.format("teddy_t"))
    hook.remove()
    read, padding = world.pack.whole_prompts.spelling_name(clip), world.padding()
    length = len(clip.tokenizer.tokenize_with_weights(TEXT.format("teddy_t"))[read][0])
    words = (world.context(TEXT.format("teddy bear"))[0] != padding).any(-1)
    real = length if world.name == "anima" else int(words.sum())
    assert real <= world.facts.padded or (world.facts.padded, real) == (0, length)
    for keys in seen if world.facts.padded else ():
        assert keys.shape[1] == world.facts.padded
        torch.testing.assert_close(keys[:, real:], padding.expand_as(keys[:, real:]), rtol=1e-5, atol=1e-6)
    assert torch.equal(rows["edited"][1], rows["plain"][1]) and not torch.equal(rows["edited"][0], rows["plain"][0])


def test_the_gates_that_are_shown_are_those_of_the_layers(world, pack):
    """Inspect Perfusion Gates shows what the network's own reading of the prompt gives, at the words as written."""
    model, clip = world.applied(world.concept())
    prompt = TEXT.format("teddy_t")
    shown = pack.gates.gate_table(model, clip, prompt)
    (teddy,) = shown.concepts
    place = shown.own(teddy)
    assert shown.tokens[place].word == "teddy_t"
    assert teddy.similarities[place].item() == pytest.approx(1, abs=1e-3), "its target input is what is heard there"
    assert teddy.gates[place] == teddy.gates.max() > 0.5


@pytest.mark.parametrize("cross_world", LEARNED, indirect=True)
@pytest.mark.parametrize("locking", ["local", "exact"])
def test_the_key_at_the_concepts_own_token(world, locking):
    """The superclass's own: with a bias by exact key locking alone. Local locking misses by less than in U-Nets, whose
    key shrinks to what the gate opens, as the models' page says."""
    concept, text = world.concept(), TEXT.format("teddy_t")
    layer, keys = next(iter(world.family.layers(world.net).values())), []
    hooks = []

    def listen(_net, _args) -> None:
        """Behind the edit's own hooks."""
        hooks.append(layer.to_k.register_forward_hook(lambda _module, _args, key: keys.append(key[:1].clone())))

    hooks.append(world.net.register_forward_pre_hook(listen))
    model, clip = world.applied(concept, locking=locking, gate=(0.75, 0.1, True))
    world.draw(model, clip, text, cfg=1.0)
    for hook in hooks:
        hook.remove()
    norm = getattr(layer.attention, "norm_k", getattr(layer.attention, "k_norm", torch.nn.Identity()))
    target = layer.to_k(concept.superclass_encoding.unsqueeze(0))
    heads = (lambda key: key.unflatten(-1, (4, -1))) if world.facts.exact else (lambda key: key)
    found, wanted = norm(heads(keys[0][0])).flatten(1), norm(heads(target[0])).flatten()
    missed = ((found - wanted).norm(dim=-1) / wanted.norm()).min().item()
    unopened = 1 - torch.sigmoid(torch.tensor((1 - 0.75) / 0.1)).item()
    assert missed < 1e-5 if locking == "exact" or world.facts.exact else 1e-4 < missed < unopened
