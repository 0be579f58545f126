"""Theorems of the edit, each against the float64 oracle in reference.py and each with a negative control."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from builders import reference
from builders.worlds import RandomWorld, random_world
from perfusion_ops import Gate, KeyLocking
from perfusion_ops.edit.context import edit_context
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


def values_of(world: RandomWorld, encodings=None, gates=GATES, order=None) -> torch.Tensor:
    """The edited values of one layer: ``W_V`` on the edited context plus the residual's delta."""
    order = list(range(len(world.target_inputs))) if order is None else order
    context = edit_context(
        world.encodings if encodings is None else encodings,
        world.target_inputs[order],
        world.duals[order],
        world.superclasses[order],
        [gates[j] for j in order],
        [KeyLocking.LOCAL] * len(order),
    )
    return context.values @ world.weight.mT + value_delta(context.gates, world.residuals[order])


def oracle_values(world: RandomWorld, covariance=None) -> np.ndarray:
    outputs = [world.weight @ i_s + r for i_s, r in zip(world.superclasses, world.residuals, strict=True)]
    count = len(world.target_inputs)
    return np.stack(
        [
            reference.joint_output(
                world.weight.numpy(),
                e.numpy(),
                world.target_inputs.numpy(),
                [o.numpy() for o in outputs],
                world.covariance.numpy() if covariance is None else covariance,
                [g.bias for g in GATES[:count]],
                [g.temperature for g in GATES[:count]],
            )
            for e in world.encodings.flatten(0, 1)
        ]
    ).reshape(*world.encodings.shape[:2], -1)


@pytest.mark.parametrize("concepts", [1, 2, 3])
def test_gram_form_equals_the_papers_cholesky_and_qr_form(concepts: int) -> None:
    world = random_world(concepts)
    np.testing.assert_allclose(values_of(world).numpy(), oracle_values(world), rtol=0, atol=1e-10)


def test_the_metric_matters() -> None:
    """Negative control: projecting in the Euclidean metric, as perfusion-pytorch's QR branch does, is another edit."""
    world = random_world(2)
    euclidean = oracle_values(world, covariance=np.eye(len(world.covariance)))
    assert np.abs(values_of(world).numpy() - euclidean).max() > 0.1


def test_one_concept_equals_eq_3() -> None:
    world = random_world(1)
    output = world.weight @ world.superclasses[0] + world.residuals[0]
    args = world.target_inputs[0].numpy(), output.numpy(), world.covariance.numpy(), 0.75, 0.1
    expected = [
        reference.single_concept_output(world.weight.numpy(), e.numpy(), *args) for e in world.encodings.flatten(0, 1)
    ]
    np.testing.assert_allclose(values_of(world).flatten(0, 1).numpy(), np.stack(expected), rtol=0, atol=1e-10)


def test_single_form_equals_gram_form_with_one_concept() -> None:
    world = random_world(1)
    gram = torch.linalg.solve(world.duals @ world.target_inputs.mT, world.duals)
    torch.testing.assert_close(coefficient_matrix(world.target_inputs, world.duals), gram, rtol=0, atol=1e-10)


def test_a_sum_of_single_edits_is_not_the_joint_edit() -> None:
    world = random_world(2)
    summed = world.encodings @ world.weight.mT
    for j in range(2):
        summed = summed + values_of(world, order=[j]) - world.encodings @ world.weight.mT
    assert (summed - values_of(world)).abs().max() > 0.1


def test_any_order_of_concepts_agrees() -> None:
    world = random_world(3)
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        torch.testing.assert_close(values_of(world, order=order), values_of(world), rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-4, 7.0, 1e5])
def test_the_scale_of_the_covariance_cancels(scale: float) -> None:
    world = random_world(3)
    expected = values_of(world)
    world.covariance = world.covariance * scale
    torch.testing.assert_close(values_of(world), expected, rtol=0, atol=1e-10)


def test_the_shape_of_the_covariance_does_not_cancel() -> None:
    world = random_world(1)
    expected = values_of(world)
    world.covariance = world.covariance + 0.1 * torch.eye(len(world.covariance))
    assert (values_of(world) - expected).abs().max() > 1e-3


def test_an_orthogonal_encoding_is_untouched_under_the_leak_free_gate() -> None:
    world = random_world(3)
    coefficients = coefficient_matrix(world.target_inputs, world.duals)
    orthogonal = world.encodings - world.encodings @ coefficients.mT @ world.target_inputs
    plain = orthogonal @ world.weight.mT
    leak_free = [Gate(g.bias, g.temperature, leak_free=True) for g in GATES]
    torch.testing.assert_close(values_of(world, orthogonal, leak_free), plain, rtol=0, atol=1e-10)
    assert (values_of(world, orthogonal, GATES) - plain).abs().max() > 1e-3, "the plain gate should leak"
    assert (values_of(world, gates=leak_free) - world.encodings @ world.weight.mT).abs().max() > 0.1


def test_keys_edited_in_context_space_equal_keys_edited_per_layer() -> None:
    world = random_world(1)
    gate = Gate(0.75, 0.1)
    context = edit_context(
        world.encodings, world.target_inputs, world.duals, world.superclasses, [gate], [KeyLocking.LOCAL]
    )
    similarity = similarities(world.encodings, world.target_inputs, world.duals)
    per_layer = (
        world.encodings @ world.weight.mT
        - similarity * (world.weight @ world.target_inputs[0])
        + gate_strength(similarity, gate) * (world.weight @ world.superclasses[0])
    )
    torch.testing.assert_close(context.keys @ world.weight.mT, per_layer, rtol=0, atol=1e-10)


@pytest.mark.parametrize("concepts", [1, 3])
def test_the_exact_lock_gives_the_superclass_key(concepts: int) -> None:
    world = random_world(concepts)

    def keys(locking: KeyLocking) -> torch.Tensor:
        at_concepts = world.target_inputs.unsqueeze(0).float()
        args = (t.float() for t in (world.target_inputs, world.duals, world.superclasses))
        context = edit_context(at_concepts, *args, GATES[:concepts], [locking] * concepts)
        return context.keys[0] @ world.weight.float().mT

    expected = world.superclasses.float() @ world.weight.float().mT
    scale = expected.abs().max()
    assert ((keys(KeyLocking.EXACT) - expected).abs().max() / scale) < 1e-5
    assert ((keys(KeyLocking.LOCAL) - expected).abs().max() / scale) > 1e-2, "eq. 3's own key is some percent short"


def test_the_exact_lock_is_exact_to_the_last_digits_in_float64() -> None:
    world = random_world(3)
    args = world.target_inputs, world.duals, world.superclasses
    keys = edit_context(world.target_inputs.unsqueeze(0), *args, GATES, [KeyLocking.EXACT] * 3).keys[0]
    torch.testing.assert_close(keys, world.superclasses, rtol=0, atol=1e-10)


def test_the_gate_takes_the_values_the_paper_implies() -> None:
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
    with pytest.raises(ValueError, match="temperature is 0.0; expected a number above 0"):
        Gate(0.5, 0.0)


def test_nearly_parallel_target_inputs_stay_finite() -> None:
    world = random_world(2)
    world.target_inputs[1] = world.target_inputs[0] * (1 + 1e-12)
    output = values_of(world)
    assert torch.isfinite(output).all()
    assert output.abs().max() < 100 * (world.encodings @ world.weight.mT).abs().max()


def test_half_precision_stays_close_to_float64() -> None:
    world = random_world(3)
    exact = values_of(world)
    for dtype, bound in ((torch.float32, 1e-4), (torch.float16, 3e-2)):
        encodings = world.encodings.to(dtype).double()
        args = (t.float() for t in (world.target_inputs, world.duals, world.superclasses))
        context = edit_context(encodings.float(), *args, GATES, [KeyLocking.LOCAL] * 3)
        output = context.values.double() @ world.weight.mT + value_delta(context.gates, world.residuals)
        assert ((output - exact).abs().max() / exact.abs().max()).item() < bound


def test_gradients_equal_finite_differences() -> None:
    world = random_world(2)
    encodings = world.encodings[:1, :2].clone().requires_grad_()
    inputs = world.target_inputs.clone().requires_grad_()
    metric = torch.linalg.inv(world.covariance)

    def edit(encodings, inputs):
        lockings = [KeyLocking.LOCAL, KeyLocking.EXACT]
        context = edit_context(encodings, inputs, inputs @ metric, world.superclasses, GATES[:2], lockings)
        return context.keys, context.values, context.gates

    assert torch.autograd.gradcheck(edit, (encodings, inputs), eps=1e-6, atol=1e-6)


def test_energy_and_similarity_are_one_at_the_concept() -> None:
    world = random_world(3)
    diagonal = similarities(world.target_inputs, world.target_inputs, world.duals).diagonal()
    torch.testing.assert_close(diagonal, torch.ones(3, dtype=torch.float64))
    assert (energies(world.target_inputs, world.duals) > 0).all()


def test_an_edit_that_removes_and_adds_nothing_changes_nothing() -> None:
    world = random_world(2)
    nothing = torch.zeros(2, 7, 2, dtype=torch.float64)
    edited = edited_encodings(world.encodings, world.target_inputs, world.superclasses, nothing, nothing)
    assert torch.equal(edited, world.encodings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_adding_the_delta_in_one_pass_equals_adding_it_and_leaves_closed_rows_alone(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 7, 33, generator=generator).to(dtype)
    gates, residuals = torch.rand(2, 7, 3, generator=generator), torch.randn(3, 33, generator=generator)
    gates[0, :4] = 0
    added = add_value_delta(values, gates, residuals)
    expected = values.double() + value_delta(gates.double(), residuals.double())
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(added.double(), expected, rtol=tolerance, atol=tolerance)
    assert torch.equal(added[0, :4], values[0, :4]) and not torch.equal(added[0, 4:], values[0, 4:])


def test_the_edit_depends_on_encodings_and_never_on_positions() -> None:
    """ChenDarYen's keeps an output per token position, trained only where its templates put the word."""
    world = random_world(2)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    torch.testing.assert_close(
        values_of(world, world.encodings[:, order]), values_of(world)[:, order], rtol=0, atol=1e-12
    )
    longer = torch.cat([world.encodings] * 11, dim=1)
    torch.testing.assert_close(values_of(world, longer)[:, -7:], values_of(world), rtol=0, atol=1e-12)
