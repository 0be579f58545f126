"""What all layers read: theorems of the edited context, each against the float64 oracle in builders/reference.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from builders import reference
from builders.worlds import RandomWorld, random_world
from perfusion_ops import Gate, KeyLocking
from perfusion_ops.edit.context import edit_context
from perfusion_ops.edit.equations import coefficient_matrix, gate_strength, similarities, value_delta

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
    """One concept or several are edited as the paper edits them, not by a formula that only looks like it."""
    world = random_world(concepts)
    np.testing.assert_allclose(values_of(world).numpy(), oracle_values(world), rtol=0, atol=1e-10)


def test_the_metric_matters() -> None:
    """Negative control: projecting in the Euclidean metric, as perfusion-pytorch's QR branch does, is another edit."""
    world = random_world(2)
    euclidean = oracle_values(world, covariance=np.eye(len(world.covariance)))
    assert np.abs(values_of(world).numpy() - euclidean).max() > 0.1


def test_one_concept_equals_eq_3() -> None:
    """A single concept is drawn by the paper's equation 3."""
    world = random_world(1)
    output = world.weight @ world.superclasses[0] + world.residuals[0]
    args = world.target_inputs[0].numpy(), output.numpy(), world.covariance.numpy(), 0.75, 0.1
    expected = [
        reference.single_concept_output(world.weight.numpy(), e.numpy(), *args) for e in world.encodings.flatten(0, 1)
    ]
    np.testing.assert_allclose(values_of(world).flatten(0, 1).numpy(), np.stack(expected), rtol=0, atol=1e-10)


def test_a_sum_of_single_edits_is_not_the_joint_edit() -> None:
    """Negative control: two concepts need the joint edit; added up, each would carry a part of the other."""
    world = random_world(2)
    summed = world.encodings @ world.weight.mT
    for j in range(2):
        summed = summed + values_of(world, order=[j]) - world.encodings @ world.weight.mT
    assert (summed - values_of(world)).abs().max() > 0.1


def test_any_order_of_concepts_agrees() -> None:
    """Apply nodes may be chained in any order."""
    world = random_world(3)
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        torch.testing.assert_close(values_of(world, order=order), values_of(world), rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-4, 7.0, 1e5])
def test_the_scale_of_the_covariance_cancels(scale: float) -> None:
    """Text statistics of more captions do not make the edit stronger or weaker."""
    world = random_world(3)
    expected = values_of(world)
    world.covariance = world.covariance * scale
    torch.testing.assert_close(values_of(world), expected, rtol=0, atol=1e-10)


def test_the_shape_of_the_covariance_does_not_cancel() -> None:
    """Negative control: other text statistics are another edit, so a concept keeps its own."""
    world = random_world(1)
    expected = values_of(world)
    world.covariance = world.covariance + 0.1 * torch.eye(len(world.covariance))
    assert (values_of(world) - expected).abs().max() > 1e-3


def test_an_orthogonal_encoding_is_untouched_under_the_leak_free_gate() -> None:
    """With ``leak_free`` on, words that have nothing to do with the concept keep their look."""
    world = random_world(3)
    coefficients = coefficient_matrix(world.target_inputs, world.duals)
    orthogonal = world.encodings - world.encodings @ coefficients.mT @ world.target_inputs
    plain = orthogonal @ world.weight.mT
    leak_free = [Gate(g.bias, g.temperature, leak_free=True) for g in GATES]
    torch.testing.assert_close(values_of(world, orthogonal, leak_free), plain, rtol=0, atol=1e-10)
    assert (values_of(world, orthogonal, GATES) - plain).abs().max() > 1e-3, "the plain gate should leak"
    assert (values_of(world, gates=leak_free) - world.encodings @ world.weight.mT).abs().max() > 0.1


def test_keys_edited_in_context_space_equal_keys_edited_per_layer() -> None:
    """Keys are edited once per prompt and not in every layer and step: the same picture, sooner."""
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
    """With ``exact`` the concept is placed where its superclass would be placed."""
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
    """What the lock is short of the superclass's key is rounding alone."""
    world = random_world(3)
    args = world.target_inputs, world.duals, world.superclasses
    keys = edit_context(world.target_inputs.unsqueeze(0), *args, GATES, [KeyLocking.EXACT] * 3).keys[0]
    torch.testing.assert_close(keys, world.superclasses, rtol=0, atol=1e-10)


def test_nearly_parallel_target_inputs_stay_finite() -> None:
    """Two concepts that are nearly the same draw a picture and not a black one."""
    world = random_world(2)
    world.target_inputs[1] = world.target_inputs[0] * (1 + 1e-12)
    output = values_of(world)
    assert torch.isfinite(output).all()
    assert output.abs().max() < 100 * (world.encodings @ world.weight.mT).abs().max()


def test_half_precision_stays_close_to_float64() -> None:
    """A model in half precision draws the concept that the equations mean."""
    world = random_world(3)
    exact = values_of(world)
    for dtype, bound in ((torch.float32, 1e-4), (torch.float16, 3e-2)):
        encodings = world.encodings.to(dtype).double()
        args = (t.float() for t in (world.target_inputs, world.duals, world.superclasses))
        context = edit_context(encodings.float(), *args, GATES, [KeyLocking.LOCAL] * 3)
        output = context.values.double() @ world.weight.mT + value_delta(context.gates, world.residuals)
        assert ((output - exact).abs().max() / exact.abs().max()).item() < bound


def test_gradients_equal_finite_differences() -> None:
    """Training follows the true slope of the edit, so that steps lead to the subject."""
    world = random_world(2)
    encodings = world.encodings[:1, :2].clone().requires_grad_()
    inputs = world.target_inputs.clone().requires_grad_()
    metric = torch.linalg.inv(world.covariance)

    def edit(encodings, inputs):
        lockings = [KeyLocking.LOCAL, KeyLocking.EXACT]
        context = edit_context(encodings, inputs, inputs @ metric, world.superclasses, GATES[:2], lockings)
        return context.keys, context.values, context.gates

    assert torch.autograd.gradcheck(edit, (encodings, inputs), eps=1e-6, atol=1e-6)


def test_the_edit_depends_on_encodings_and_never_on_positions() -> None:
    """The concept word works anywhere in a prompt. ChenDarYen's keeps an output per token position, trained only there.
    The concept word works anywhere in a prompt. ChenDarYen's keeps an output per token position, trained only there.
    """
    world = random_world(2)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    torch.testing.assert_close(
        values_of(world, world.encodings[:, order]), values_of(world)[:, order], rtol=0, atol=1e-12
    )
    longer = torch.cat([world.encodings] * 11, dim=1)
    torch.testing.assert_close(values_of(world, longer)[:, -7:], values_of(world), rtol=0, atol=1e-12)


@pytest.mark.parametrize("locking", [KeyLocking.GLOBAL_GATED, KeyLocking.GLOBAL_PURE])
def test_global_locking_takes_the_keys_from_the_superclass_prompt(locking: KeyLocking) -> None:
    """With a global locking the picture is laid out as the superclass prompt lays it out; gated, after eq. 3."""
    world = random_world(1)
    superclass_prompt = world.encodings.flip(0)
    args = world.target_inputs, world.duals, world.superclasses, GATES[:1]
    found = edit_context(world.encodings, *args, [locking], superclass_prompt)
    local = edit_context(superclass_prompt, *args, [KeyLocking.LOCAL])
    own = edit_context(world.encodings, *args, [KeyLocking.LOCAL])
    expected = superclass_prompt if locking is KeyLocking.GLOBAL_PURE else local.keys
    torch.testing.assert_close(found.keys, expected, rtol=0, atol=1e-12)
    assert torch.equal(found.values, own.values), "the look is the prompt's own"
    assert (found.keys - own.keys).abs().max() > 1e-3
