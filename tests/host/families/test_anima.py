"""Anima's position gate: where the superclass stands in what its own layers make of two tokenizers' tokens; LLLite."""

from __future__ import annotations

import importlib

import pytest
import torch

from builders.cross_world import CrossWorld
from builders.joint_models import randomize

TEXT = "a {} beside a coffee cup"
WORD, SUPERCLASS = "cup_c", "coffee cup"


@pytest.fixture(scope="module")
def world(pack):
    return CrossWorld(pack, "anima")


@pytest.fixture(scope="module")
def concept(world):
    return world.position_concept(WORD, SUPERCLASS)


def marks_of(world, clip, text: str) -> torch.Tensor:
    """Where the concept stands (T,) in what K and V read of a prompt, as at the start of sampling."""
    with torch.inference_mode():
        entries = clip.encode_from_tokens(clip.tokenize(text), return_dict=True)
        cond = {**entries, "cross_attn": entries["cond"]}
        context = world.reader(world.pack.encoded_prompt.plain(entries["cond"]), entries)
        return world.pack.conditioning.marks_in(cond, [WORD], world.family.entry, context)[0, :, 0]


def test_the_marked_rows_are_those_that_another_superclass_moves(world, concept):
    """Of all that K and V read, another superclass changes the marked rows most: they stand for its words."""
    marks = marks_of(world, world.applied(concept)[1], TEXT.format(WORD))
    assert marks.shape == (512,) and set(marks.unique().tolist()) == {0.0, 1.0}
    change = (world.context(TEXT.format(SUPERCLASS)) - world.context(TEXT.format("paper boat")))[0].norm(dim=-1)
    places = marks.nonzero().flatten().tolist()
    assert len(places) == 2 and sorted(change.topk(2).indices.tolist()) == places


def test_a_words_weight_is_its_marks_weight(world, concept):
    """A word in brackets draws more of the look, as in every other model; at weight 0 none."""
    clip = world.applied(concept)[1]
    for weight in (1.5, 0.0):
        marks = marks_of(world, clip, TEXT.format(f"({WORD}:{weight})"))
        assert marks.max().item() == pytest.approx(weight)


@pytest.mark.parametrize("gate", ["learned word", "position"])
def test_rows_of_a_batch_that_name_nothing(world, gate):
    """Prompts of unlike lengths in one model call, as combined ones and the negative are: the word changes its row."""
    concept = world.concept(WORD, SUPERCLASS) if gate == "learned word" else world.position_concept(WORD, SUPERCLASS)
    edited, clip = world.applied(concept)
    texts = [TEXT.format(WORD), "a red boat", "a long shore of grey stones by night, without any cup"]

    def rows(model, reader, named: str) -> torch.Tensor:
        """What the network answers to three prompts in one call."""
        encoded = [reader.encode_from_tokens_scheduled(reader.tokenize(text)) for text in (named, *texts[1:])]
        answers = []
        hook = world.net.register_forward_hook(lambda _net, _args, answer: answers.append(answer.clone()))
        world.sample(model, [*encoded[0], *encoded[1]], encoded[2], cfg=3.0)
        hook.remove()
        return answers[0].unflatten(0, (len(texts), -1))

    drawn, before = rows(edited, clip, texts[0]), rows(world.model, world.clip, TEXT.format(SUPERCLASS))
    changed = [not torch.equal(*pair) for pair in zip(drawn, before, strict=True)]
    assert sorted(changed) == [False, False, True]
    assert (drawn[changed.index(True)] - before[changed.index(True)]).abs().max() > 1e-3


@pytest.mark.parametrize("first", [True, False])
def test_of_joined_prompts_the_first_has_the_words(world, concept, monkeypatch, first):
    """Of two joined prompts Anima reads the first one's T5 tokens: named in the second alone, no effect, and a word."""
    said = []
    monkeypatch.setattr(world.pack.naming.messages, "warn", lambda *texts: said.append(texts[0]))
    nodes = importlib.import_module("nodes")
    model, clip = world.applied(concept)

    @torch.inference_mode()
    def draw(patcher, *texts: str) -> torch.Tensor:
        both = [nodes.CLIPTextEncode().encode(clip, text)[0] for text in texts]
        (positive,) = nodes.ConditioningConcat().concat(*both)
        (negative,) = nodes.CLIPTextEncode().encode(clip, "")
        empty = {"samples": torch.zeros(1, 16, 1, 8, 8)}
        return nodes.KSampler().sample(patcher, 1, 1, 3.0, "euler", "simple", positive, negative, empty)[0]["samples"]

    texts = [TEXT.format(WORD), "a boat"] if first else ["a boat", TEXT.format(WORD)]
    plain = draw(world.model, *[text.replace(WORD, SUPERCLASS) for text in texts])
    changed = (draw(model, *texts) - plain).abs().max()
    assert changed > 1e-3 if first else changed == 0
    assert any("lost its mark" in sentence for sentence in said) is not first


def test_the_gates_that_are_shown_stand_at_t5s_words(world, concept, pack):
    """Inspect Perfusion Gates shows the tokens that K and V read, marked as sampling marks them."""
    model, clip = world.applied(concept)
    shown = pack.gates.gate_table(model, clip, TEXT.format(WORD))
    (cup,) = shown.concepts
    opened = [token.word for token, gate in zip(shown.tokens, cup.gates, strict=True) if gate > 0.5]
    assert opened == [WORD, WORD] and not cup.problem


@pytest.mark.parametrize("gate", ["learned word", "position"])
def test_a_control_picture_beside_the_concept(world, gate):
    """LLLite, which Anima has in a ControlNet's place, changes queries: both act, and it alone without the word."""
    import comfy.ldm.anima.lllite
    import comfy.model_patcher
    import comfy.ops

    sizes = {f"lllite_conditioning1.{part}.weight": torch.empty(32, 3) for part in ("conv1", "conv3", "proj")}
    for block in (0, 1):
        for target in ("self_attn_q_proj", "cross_attn_q_proj", "mlp_layer1"):
            sizes[f"lllite_dit_blocks_{block}_{target}.down.weight"] = torch.empty(8, 64)
            sizes[f"lllite_dit_blocks_{block}_{target}.cond_to_film.weight"] = torch.empty(16, 32)
    cpu, how = torch.device("cpu"), {"operations": comfy.ops.disable_weight_init}
    network = comfy.ldm.anima.lllite.AnimaLLLite(sizes, {}, device=cpu, dtype=torch.float32, **how)
    randomize(network)
    node = importlib.import_module("comfy_extras.nodes_model_patch").AnimaLLLiteApply()
    patch = comfy.model_patcher.ModelPatcher(network, cpu, cpu)
    concept = world.concept(WORD, SUPERCLASS) if gate == "learned word" else world.position_concept(WORD, SUPERCLASS)
    edited, clip = world.applied(concept)

    def controlled(model):
        return node.apply_patch(model, patch, torch.rand(1, 64, 64, 3, generator=generator(7)), 1.0, 0.0, 1.0)[0]

    named, plain = TEXT.format(WORD), TEXT.format(SUPERCLASS)
    alone = world.draw(controlled(world.model), world.clip, plain)
    assert (alone - world.draw(world.model, world.clip, plain)).abs().max() > 1e-3
    both = world.draw(controlled(edited), clip, named)
    assert min((both - other).abs().max() for other in (alone, world.draw(edited, clip, named))) > 1e-3
    assert torch.equal(world.draw(controlled(edited), clip, plain), alone)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
