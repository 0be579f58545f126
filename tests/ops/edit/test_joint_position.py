"""The position gate: values at marked tokens, and nothing else."""

from __future__ import annotations

import dataclasses
import itertools

import torch

from builders.worlds import random_world
from perfusion_ops import EditTerm, Gate, GateKind, JointEdit
from perfusion_ops.concept.concept import ENCODINGS
from perfusion_ops.edit.equations import gate_strength


def positioned(world, index: int):
    parts = dict.fromkeys(ENCODINGS) | {"word_embeddings": {}, "gate": GateKind.POSITION}
    return dataclasses.replace(world.concept(index), **parts)


def marks_at(world, places: dict[int, tuple[int, int]], count: int) -> torch.Tensor:
    marks = torch.zeros(*world.encodings.shape[:2], count)
    for concept, (row, token) in places.items():
        marks[row, token, concept] = 1
    return marks


def test_a_marked_token_gets_the_residual_and_every_other_token_nothing():
    """``V_n + g r`` at the concept's tokens, with the gate a similarity of 1 gives; all else stays to the bit."""
    world, gate = random_world(2), Gate(0.6, 0.15)
    edit = JointEdit.of([EditTerm(positioned(world, j), gate, strength=0.5) for j in range(2)])
    encodings = world.encodings.float()
    context = edit.contexts(encodings, marks=marks_at(world, {0: (0, 3), 1: (1, 5)}, 2))
    assert torch.equal(context.keys, encodings) and torch.equal(context.values, encodings)
    delta = edit.value_delta("layer", context.gates)
    share = gate_strength(torch.ones(()), gate)
    torch.testing.assert_close(delta[0, 3], 0.5 * share * world.residuals[0].float())
    torch.testing.assert_close(delta[1, 5], 0.5 * share * world.residuals[1].float())
    delta[0, 3], delta[1, 5] = 0, 0
    assert not delta.any()


def test_a_higher_bias_takes_a_smaller_share():
    """The dial turns the same way as for a learned word: down to more of the subject, up to more of the text."""
    world, marks = random_world(1), marks_at(random_world(1), {0: (0, 3)}, 1)
    edits = [JointEdit.of([EditTerm(positioned(world, 0), Gate(bias))]) for bias in (0.3, 0.6, 0.9, 1.2)]
    openings = [edit.contexts(world.encodings.float(), marks=marks).gates.max() for edit in edits]
    assert all(low > high for low, high in itertools.pairwise(openings))


def test_both_kinds_stand_in_one_model_in_any_order():
    """Concepts of both kinds chain in any order, to the bit, and neither changes the other's part."""
    world = random_world(3)
    terms = [EditTerm(world.concept(0)), EditTerm(positioned(world, 1)), EditTerm(world.concept(2))]
    encodings, marks = world.encodings.float(), marks_at(world, {1: (1, 2)}, 3)
    expected = JointEdit.of(terms).contexts(encodings, marks=marks)
    for order in itertools.permutations(terms):
        context = JointEdit.of(order).contexts(encodings, marks=marks)
        assert all(torch.equal(getattr(context, p), getattr(expected, p)) for p in ("keys", "values", "gates"))
    alone = JointEdit.of([terms[0], terms[2]]).contexts(encodings)
    assert torch.equal(expected.keys, alone.keys) and torch.equal(expected.gates[..., [0, 2]], alone.gates)
