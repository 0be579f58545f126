"""The position gate: values at marked tokens, and nothing else."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from builders.worlds import random_world
from perfusion_ops import EditTerm, Gate, GateKind, JointEdit, KeyLocking
from perfusion_ops.concept.concept import ENCODINGS
from perfusion_ops.edit.equations import gate_strength


def positioned(world, index: int):
    parts = dict.fromkeys(ENCODINGS) | {"word_embeddings": {}, "gate": GateKind.POSITION}
    return dataclasses.replace(world.concept(index), **parts)


def some_layers(world, index: int, *layers: str, **changes):
    """A concept with a position gate, edited in ``layers`` alone."""
    residuals = {layer: world.residuals[index].float() + number for number, layer in enumerate(layers)}
    return dataclasses.replace(positioned(world, index), value_residuals=residuals, **changes)


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
    word = EditTerm(world.concept(0), Gate(0.3, 0.2), key_locking=KeyLocking.EXACT)
    terms = [word, EditTerm(positioned(world, 1)), EditTerm(world.concept(2), key_locking=KeyLocking.OFF)]
    encodings, marks = world.encodings.float(), marks_at(world, {1: (1, 2)}, 3)
    expected = JointEdit.of(terms).contexts(encodings, marks=marks)
    for order in itertools.permutations(terms):
        context = JointEdit.of(order).contexts(encodings, marks=marks)
        assert all(torch.equal(getattr(context, p), getattr(expected, p)) for p in ("keys", "values", "gates"))
    alone = JointEdit.of([terms[0], terms[2]]).contexts(encodings)
    assert torch.equal(expected.keys, alone.keys) and torch.equal(expected.gates[..., [0, 2]], alone.gates)


def test_a_learned_word_behind_a_position_gate_keeps_its_own_dials_and_prompts():
    """Whatever the words are called, each concept has its own gate and locking, in the prompts that name it alone."""
    world = random_world(3)
    terms = [EditTerm(positioned(world, 0), Gate(0.9, 0.1))]
    terms += [EditTerm(world.concept(j), Gate(0.3 * j, 0.2), key_locking=KeyLocking.EXACT) for j in (1, 2)]
    encodings, named = world.encodings.float(), torch.tensor([[True, False, True], [False, True, False]])
    context = JointEdit.of(terms).contexts(encodings, present=named)
    for row, j in enumerate((2, 1)):
        alone = JointEdit.of([terms[j]]).contexts(encodings[row : row + 1])
        assert torch.equal(context.keys[row], alone.keys[0]) and torch.equal(context.values[row], alone.values[0])
        assert torch.equal(context.gates[row, :, j], alone.gates[0, :, 0])
        assert not context.gates[row, :, [n for n in range(3) if n != j]].any()


def test_concepts_of_different_layers_combine_layer_by_layer():
    """Trained in all layers, in the later half or by a learned word: each draws in its own layers, in any order."""
    world = random_world(3)
    names = ("early", "late")
    word = dataclasses.replace(world.concept(2), value_residuals={name: world.residuals[2].float() for name in names})
    terms = [EditTerm(some_layers(world, 0, *names)), EditTerm(some_layers(world, 1, "late")), EditTerm(word)]
    gates = torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(1))
    edited = {"early": (0, 2), "late": (0, 1, 2)}
    expected = {
        name: sum(gates[..., j : j + 1] * terms[j].concept.value_residuals[name] for j in concepts)
        for name, concepts in edited.items()
    }
    for order in itertools.permutations(terms):
        edit = JointEdit.of(order)
        for name in names:
            torch.testing.assert_close(edit.value_delta(name, gates), expected[name])
            assert torch.equal(edit.value_delta(name, gates), JointEdit.of(terms).value_delta(name, gates))


@pytest.mark.parametrize(
    "changes",
    [
        {"base_family": "another"},
        {"value_residuals": {"late": torch.ones(3)}},
    ],
    ids=["of another family", "of another width"],
)
def test_layers_that_no_one_model_has_are_refused(changes):
    """Concepts of two models stay refused, though a position gate may have some of a model's layers alone."""
    world = random_world(2)
    whole, half = some_layers(world, 0, "early", "late"), some_layers(world, 1, "late")
    JointEdit.of([EditTerm(whole), EditTerm(half)])
    with pytest.raises(ValueError, match="different attention layers"):
        JointEdit.of([EditTerm(whole), EditTerm(dataclasses.replace(half, **changes))])


def test_a_learned_word_has_all_layers_of_its_model():
    """A layer that a concept with a learned word lacks is of another model."""
    world = random_world(2)
    with pytest.raises(ValueError, match="different attention layers"):
        JointEdit.of([EditTerm(world.concept(0)), EditTerm(some_layers(world, 1, "layer", "further"))])
