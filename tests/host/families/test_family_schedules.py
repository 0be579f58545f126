"""Schedules in every family: at each time of sampling the plain dials of that time, to the bit."""

from __future__ import annotations

import torch

from builders.answers import answers_at, schedule_of
from builders.cross_world import GATE, TEXT

SHARES = (0.2, 0.7)
POINTS = (0.0, 0.5, 0.3), (0.5, 1.0, -0.2)
PLAIN = (0.9, 0.5), (0.4, 1.0)
"""Bias and strength at each of the shares, from a bias of 0.6."""


def same_as_plain(answers) -> bool:
    """Whether ``answers(bias, strength, **schedule)`` are, at each time, those of the plain dials, which differ."""
    found, (first, second) = answers(0.6, 1.0, schedule=schedule_of(*POINTS)), (answers(*dials) for dials in PLAIN)
    assert not torch.equal(first[0], second[0])
    return torch.equal(found, torch.stack((first[0], second[1])))


def test_a_learned_word(cross_world):
    """Strength and bias would change at other times than asked for; a rest would not be the superclass's own prompt."""
    world = cross_world

    def drawn(model, clip, *texts: str) -> torch.Tensor:
        conds = [clip.encode_from_tokens_scheduled(clip.tokenize(text), show_pbar=False) for text in texts]
        return answers_at(model, conds, world.latent, SHARES)

    def answers(bias: float, strength: float, **where) -> torch.Tensor:
        applied = world.applied(world.concept(), strength=strength, gate=(bias, *GATE[1:]), **where)
        return drawn(*applied, TEXT.format("teddy_t"), "a boat")

    assert same_as_plain(answers)
    resting = answers(0.6, 1.0, start_percent=SHARES[1])
    superclass = drawn(world.model, world.clip, TEXT.format("teddy bear"), "a boat")
    assert torch.equal(resting[0], superclass[0]) and not torch.equal(resting[1], superclass[1])


def test_a_position_gate(joint_world):
    """A bias that changes would not change the share of the values that it is."""
    world, made = joint_world, joint_world.pack.model
    pooled = {"pooled_output": None if world.facts.pooled is None else torch.ones(1, world.facts.pooled)}
    prompts = [world.given(prompt) for prompt in (world.prompt(5, ["teddy_t"]), world.prompt(6))]
    conds = [[[prompt, pooled | beside]] for prompt, beside in prompts]

    def answers(bias: float, strength: float, **where) -> torch.Tensor:
        term = world.pack.ops.EditTerm(world.concept(), world.pack.ops.Gate(bias), strength)
        model = made.model_with_concept(world.model, made.AppliedConcept(term, **where))
        return answers_at(model, conds, world.latent, SHARES)

    assert same_as_plain(answers)
