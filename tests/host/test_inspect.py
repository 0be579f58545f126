"""Inspect Perfusion Gates: its numbers are those of the sampler's own layers; why a concept has no effect is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch

from builders.answers import schedule_of
from builders.workflows import Workflow, apply, load

PROMPTS = {
    "sd1": "(teddy_t:1.3) beside a [mug_m], " + "soft light and sharp focus, " * 26 + "a cat and a mug_m",
    "sdxl": "a photo of a (teddy_t:1.3) on a mug_m",
}
"""Of each family one; that of SD 1.x is three chunks of the text encoder."""


@dataclass
class World:
    """A small random checkpoint and two concepts for it."""

    pack: Any
    family: str
    model: Any
    clip: Any
    concepts: list[Any]

    def applied(self, strength: float = 1.0):
        """MODEL and CLIP with both concepts, each with dials of its own."""
        ops, model, clip = self.pack.ops, self.model, self.clip
        gates = (ops.Gate(0.3, 0.2), ops.Gate(0.1, 0.12, leak_free=True))
        for concept, gate in zip(self.concepts, gates, strict=True):
            term = ops.EditTerm(concept, gate, strength, ops.KeyLocking.GLOBAL_GATED)
            model = self.pack.model.model_with_concept(model, self.pack.model.AppliedConcept(term))
            clip = self.pack.clip.clip_with_concept(clip, concept, strength, term.key_locking)
        return model, clip


@pytest.fixture(scope="module")
def worlds(pack, load_checkpoint, pack_concept):
    """``worlds(family)``, each loaded once."""

    @cache
    def make(family: str) -> World:
        model, clip = load_checkpoint(family)
        named = (("teddy_t", "bear", 1), ("mug_m", "coffee cup", 2))
        return World(pack, family, model, clip, [pack_concept(*names, family) for names in named])

    return make


@pytest.fixture
def world(worlds) -> World:
    return worlds("sd1")


def sampled_values(model, positive) -> torch.Tensor:
    """What the first cross-attention layer takes as values (T, d_out) in a step of the real sampler."""
    import comfy.sample

    seen = []

    def attend(attention: Callable, q, k, v, *args, **kwargs):
        if not seen and k.shape[1] % 77 == 0:
            seen.append(v[0].float().cpu())
        return attention(q, k, v, *args, **kwargs)

    model = model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = attend
    settings = {"denoise": 1.0, "seed": 1, "disable_pbar": True}
    latent = torch.zeros(1, 4, 8, 8)
    # At a cfg of 1 the negative prompt is not computed.
    comfy.sample.sample(model, latent + 1, 1, 1.0, "euler", "normal", positive, positive, latent, **settings)
    return seen[0]


@pytest.mark.parametrize("family", PROMPTS)
def test_the_gates_are_what_the_samplers_layers_add(worlds, family):
    """What the node shows is what the model does: the gates, read back from the values of a sampling step.

    Values are linear in visual strength: from strength 1 to 3 a layer's values change by twice gate times residual.
    A token's gate is its similarity under the dial; with two text encoders their parts add up to the similarity.
    """
    world, prompt = worlds(family), PROMPTS[family]
    (model, clip), (strong, _) = world.applied(), world.applied(3.0)
    shown = world.pack.gates.gate_table(model, clip, prompt)
    positive = clip.encode_from_tokens_scheduled(clip.tokenize(prompt))
    change = sampled_values(strong, positive) - sampled_values(model, positive)
    layer = next(iter(world.concepts[0].value_residuals))
    words = [concept.word for concept in shown.concepts]
    residuals = {concept.word: concept.value_residuals[layer] for concept in world.concepts}
    basis = torch.stack([residuals[word] for word in words])
    gates = torch.linalg.lstsq(2 * basis.mT.double(), change.mT.double()).solution
    assert words == ["mug_m", "teddy_t"] and len(shown.tokens) == change.shape[0] == (77 if family == "sdxl" else 231)
    assert torch.allclose(torch.stack([c.gates for c in shown.concepts]).double(), gates, atol=2e-5)
    assert gates.abs().max() > 0.2, "or the two would agree on nothing"
    for concept in shown.concepts:
        at = torch.tensor([concept.at(similarity, concept.gate) for similarity in concept.similarities.tolist()])
        assert torch.allclose(at.masked_fill(concept.kept, 0), concept.gates, atol=1e-6)
        assert concept.kept.nonzero().flatten().tolist() == list(range(0, len(shown.tokens), 77))
        assert set(concept.shares) == (set() if family == "sd1" else {"clip_l", "clip_g"})
        if concept.shares:
            assert torch.allclose(sum(concept.shares.values()), concept.similarities, atol=1e-5)


def test_a_position_gate_is_shown_at_its_own_tokens_alone(world):
    """For a concept with a position gate the numbers are its marks, and the gates are what its dial says."""
    ops = world.pack.ops
    parts = {"word": "rex", "superclass": "big dog", "base_family": "sd1", "gate": "position"}
    concept = ops.Concept(value_residuals=world.concepts[0].value_residuals, **parts)
    term = ops.EditTerm(concept, ops.Gate(0.6, 0.15))
    model = world.pack.model.model_with_concept(world.model, world.pack.model.AppliedConcept(term))
    clip = world.pack.clip.clip_with_concept(world.clip, concept, 1.0, term.key_locking)
    shown = world.pack.gates.gate_table(model, clip, "a rex runs")
    assert [token.label for token in shown.tokens[:5]] == ["<start>", "a", "rex:big", "rex:dog", "runs"]
    (rex,) = shown.concepts
    assert rex.similarities.nonzero().flatten().tolist() == [2, 3] and rex.by_position
    assert rex.gates[2:4].tolist() == pytest.approx([0.935] * 2, abs=1e-3) and rex.gates.sum() < 1.88


def test_a_concept_of_some_layers_says_of_how_many(world):
    """Who reads the report learns that a concept leaves layers as they are, and reads nothing where it has all."""
    ops = world.pack.ops
    total = len(world.concepts[0].value_residuals)
    half = total - total // 2
    for count, notes in ((half, (f"Its look is in {half} of the model's {total} layers.",)), (total, ())):
        residuals = dict(list(world.concepts[0].value_residuals.items())[-count:])
        parts = {"word": "rex", "superclass": "big dog", "base_family": "sd1", "gate": "position"}
        concept = ops.Concept(value_residuals=residuals, **parts)
        applied = world.pack.model.AppliedConcept(ops.EditTerm(concept))
        model = world.pack.model.model_with_concept(world.model, applied)
        clip = world.pack.clip.clip_with_concept(world.clip, concept, 1.0, applied.term.key_locking)
        (rex,) = world.pack.gates.gate_table(model, clip, "a rex runs").concepts
        assert rex.notes == notes


def test_tokens_are_named_as_the_prompt_was_written(world):
    """A reader finds the words of the prompt, the weights, and the concept's word whatever it is made of."""
    shown = world.pack.gates.gate_table(*world.applied(), "a (teddy_t:1.3), mug_m \u718a caf\u00e9")
    labels = [token.label for token in shown.tokens]
    assert labels[:7] == ["<start>", "a", "teddy_t", ",", "mug_m:coffee", "mug_m", "\u718a"]
    assert "caf\u00e9" in labels and shown.tokens[2].weight == pytest.approx(1.3)
    assert [token.word for token in shown.tokens[2:6]] == ["teddy_t", "", "mug_m", "mug_m"]


def problems(world: World, model, clip, prompt: str) -> dict[str, str]:
    return {concept.word: concept.problem for concept in world.pack.gates.gate_table(model, clip, prompt).concepts}


def test_each_reason_for_no_effect_has_its_sentence(world):
    """Who sees no subject learns why: the word, the wrong MODEL or the wrong CLIP."""
    model, clip = world.applied()
    told = problems(world, model, clip, "a teddy_t and teddy_ts")
    assert told["teddy_t"] == "" and "Write 'mug_m' in the prompt" in told["mug_m"]
    assert "this CLIP does not know the word" in problems(world, model, world.clip, "a teddy_t")["teddy_t"]
    assert "the MODEL does not have it" in problems(world, world.model, clip, "a teddy_t")["teddy_t"]
    zero = world.applied(0)[1]
    assert "visual_strength is 0, so the word draws exactly 'bear'" in problems(world, world.model, zero, "")["teddy_t"]
    with pytest.raises(ValueError, match="Neither the MODEL nor the CLIP has a concept. Connect both from Apply"):
        world.pack.gates.gate_table(world.model, world.clip, "a bear")


def test_looking_at_a_prompt_does_not_count_as_naming_the_concept(world):
    """The warning of a concept that no sampler's prompt names stays right after a look at another prompt."""
    naming = world.pack.naming.Naming("teddy_t")
    concept = world.concepts[0]
    clip = world.pack.clip.clip_with_concept(world.clip, concept, 1.0, world.pack.ops.KeyLocking.LOCAL, naming)
    world.pack.gates.gate_table(world.applied()[0], clip, "a teddy_t")
    assert not naming.read


def test_it_runs_alone_and_shows_its_picture_and_text(server):
    """At one queue press without a sampler the node shows the picture, and the table as text, on itself."""
    graph = Workflow()
    model, clip, _ = load(graph)
    model, clip = apply(graph, model, clip, "teddy.safetensors", end_percent=0.5)
    node = graph.add("PerfusionInspectGates", model=model, clip=clip, prompt="a photo of a teddy_t")
    result = server.run(graph)
    (picture,) = server.pictures(result, node.name)
    assert picture.shape[1] == 1000 and picture.std() > 10
    (text,) = result.outputs[node.name]["text"]
    assert "teddy_t (bear): bias -0.5, temperature 0.15, local" in text
    assert "Its look lasts from 0% to 50% of sampling." in text


def test_the_report_says_which_bias_it_shows_of_a_schedule(world):
    """Who looks at the gates of a bias that changes would not know of which time they are."""
    ops, concept = world.pack.ops, world.concepts[0]
    applied = world.pack.model.AppliedConcept(
        ops.EditTerm(concept, ops.Gate(0.3), 2.0), schedule=schedule_of((0.2, 0.5, 0.4), (0.6, 1.0, 0.0))
    )
    model = world.pack.model.model_with_concept(world.model, applied)
    clip = world.pack.clip.clip_with_concept(world.clip, concept, 2.0, ops.KeyLocking.LOCAL)
    (shown,) = world.pack.gates.gate_table(model, clip, "a teddy_t").concepts
    assert shown.gate.bias == 0.3 and shown.notes[-1] == (
        "Its schedule goes from bias 0.7 and visual_strength 1 at 20% of sampling to bias 0.3 and visual_strength 2 at "
        "60% of sampling. The gates are shown at bias 0.3, as Apply sets it."
    )
