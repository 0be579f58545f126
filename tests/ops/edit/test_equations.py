"""Theorems of the edit, each against the float64 oracle in reference.py and each with a negative control."""

from __future__ import annotations

import pytest
import torch

from builders.worlds import random_world
from perfusion_ops import Gate
from perfusion_ops.edit.equations import (
    add_value_delta,
    coefficient_matrix,
    edited_encodings,
    energies,
    gate_strength,
    similarities,
    value_delta,
)

GATES = [Gate(0.75, 0.1), Gate(0.6, 0.15), Gate(0.4, 0.2)]


def test_single_form_equals_gram_form_with_one_concept() -> None:
    """One concept costs no solve, and is the same edit."""
    world = random_world(1)
    gram = torch.linalg.solve(world.duals @ world.target_inputs.mT, world.duals)
    torch.testing.assert_close(coefficient_matrix(world.target_inputs, world.duals), gram, rtol=0, atol=1e-10)


def test_the_gate_takes_the_values_the_paper_implies() -> None:
    """Bias and temperature mean what they mean in the paper."""
    at_zero, at_one = torch.tensor([0.0]), torch.tensor([1.0])
    for bias, temperature, leak, opened in [(0.75, 0.1, 0.0006, 0.924), (0.75, 0.15, 0.0067, 0.841),
                                            (0.7, 0.15, 0.0093, 0.881), (0.6, 0.15, 0.018, 0.935),
                                            (0.4, 0.15, 0.065, 0.982)]:  # fmt: skip
        gate = Gate(bias, temperature)
        assert gate_strength(at_zero, gate).item() == pytest.approx(leak, abs=5e-4)
        assert gate_strength(at_one, gate).item() == pytest.approx(opened, abs=5e-4)
        assert gate_strength(at_zero, Gate(bias, temperature, leak_free=True)).item() == 0.0
        assert gate_strength(-at_one, Gate(bias, temperature, leak_free=True)).item() == 0.0


def test_the_gate_refuses_a_temperature_of_zero() -> None:
    """A temperature of 0 is told to the user; it would turn every picture black."""
    with pytest.raises(ValueError, match="temperature is 0.0; expected a number above 0"):
        Gate(0.5, 0.0)


def test_similarity_is_one_and_energy_positive_at_the_concept() -> None:
    """The gate is fully open at the concept's own word."""
    world = random_world(3)
    diagonal = similarities(world.target_inputs, world.target_inputs, world.duals).diagonal()
    torch.testing.assert_close(diagonal, torch.ones(3, dtype=torch.float64))
    assert (energies(world.target_inputs, world.duals) > 0).all()


def test_an_edit_that_removes_and_adds_nothing_changes_nothing() -> None:
    """A prompt whose gate is closed keeps every bit."""
    world = random_world(2)
    nothing = torch.zeros(2, 7, 2, dtype=torch.float64)
    edited = edited_encodings(world.encodings, world.target_inputs, world.superclasses, nothing, nothing)
    assert torch.equal(edited, world.encodings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_adding_the_delta_in_one_pass_equals_adding_it_and_leaves_closed_rows_alone(dtype: torch.dtype) -> None:
    """Layers add the look in one pass over memory, and words outside the gate keep every bit."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 7, 33, generator=generator).to(dtype)
    gates, residuals = torch.rand(2, 7, 3, generator=generator), torch.randn(3, 33, generator=generator)
    gates[0, :4] = 0
    added = add_value_delta(values, gates, residuals)
    expected = values.double() + value_delta(gates.double(), residuals.double())
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(added.double(), expected, rtol=tolerance, atol=tolerance)
    assert torch.equal(added[0, :4], values[0, :4]) and not torch.equal(added[0, 4:], values[0, 4:])
