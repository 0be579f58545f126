"""Hooks on projections: exact, removed whatever happens, and a region's share of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from builders.worlds import random_world
from perfusion_ops import EditTerm, JointEdit, KeyLocking, inject
from perfusion_ops.edit.regions import mask_at, regional_attention


class CrossAttention(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.to_k = nn.Linear(width, out, bias=False, dtype=torch.float64)
        self.to_v = nn.Linear(width, out, bias=False, dtype=torch.float64)

    def attend(self, query, keys, values):
        return functional.scaled_dot_product_attention(query, keys, values)

    def forward(self, query, context):
        return self.attend(query, self.to_k(context), self.to_v(context))


@pytest.fixture
def scene():
    torch.manual_seed(0)
    world = random_world(2, width=24, out=10)
    layer = CrossAttention(24, 10)
    query = torch.randn(2, 16, 10, dtype=torch.float64)
    edit = JointEdit.of([EditTerm(world.concept(j)) for j in range(2)], dtype=torch.float64)
    return world, layer, query, edit


def test_an_injected_edit_equals_the_edit_by_hand(scene) -> None:
    world, layer, query, edit = scene
    context = edit.contexts(world.encodings)
    by_hand = layer.attend(
        query, layer.to_k(context.keys), layer.to_v(context.values) + edit.value_delta("layer", context.gates)
    )
    without_residuals = layer.attend(query, layer.to_k(context.keys), layer.to_v(context.values))
    assert (by_hand - without_residuals).abs().max() > 1e-3 and (
        by_hand - layer(query, world.encodings)
    ).abs().max() > 1e-3
    with inject({"layer": (layer.to_k, layer.to_v)}) as injected:
        injected.use(context, edit.value_residuals)
        torch.testing.assert_close(layer(query, world.encodings), by_hand, rtol=0, atol=1e-12)


def test_hooks_are_gone_after_an_error_and_idle_after_clear(scene) -> None:
    world, layer, query, edit = scene
    plain = layer(query, world.encodings)
    with pytest.raises(KeyboardInterrupt), inject({"layer": (layer.to_k, layer.to_v)}) as injected:
        injected.use(edit.contexts(world.encodings), edit.value_residuals)
        assert not torch.equal(layer(query, world.encodings), plain)
        injected.clear()
        assert torch.equal(layer(query, world.encodings), plain)
        raise KeyboardInterrupt
    assert torch.equal(layer(query, world.encodings), plain)
    assert not layer.to_k._forward_pre_hooks and not layer.to_v._forward_hooks


def test_no_weight_is_written(scene) -> None:
    world, layer, query, edit = scene
    before = [p.clone() for p in layer.parameters()]
    with inject({"layer": (layer.to_k, layer.to_v)}) as injected:
        injected.use(edit.contexts(world.encodings), edit.value_residuals)
        layer(query, world.encodings)
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))


def test_trained_keys_add_their_residual(scene) -> None:
    world, layer, query, _ = scene
    concept = world.concept(0)
    trained = type(concept)(**(vars(concept) | {"key_residuals": {"layer": world.residuals[1].float()}}))
    edit = JointEdit.of([EditTerm(trained, key_locking=KeyLocking.TRAINED)], dtype=torch.float64)
    context = edit.contexts(world.encodings)
    with inject({"layer": (layer.to_k, layer.to_v)}) as injected:
        injected.use(context, edit.value_residuals, edit.key_residuals)
        difference = layer.to_k(world.encodings) - context.keys @ layer.to_k.weight.mT
    torch.testing.assert_close(difference, context.gates * world.residuals[1].float().double())


def deltas_of(world, layer, query, edit):
    context = edit.contexts(world.encodings)
    keys, values = layer.to_k(context.keys), layer.to_v(context.values)
    columns = [context.gates[..., [j]] @ edit.value_residuals["layer"][[j]] for j in range(2)]
    return values, columns, lambda v: layer.attend(query, keys, v)


def test_region_masks_partition_the_picture(scene) -> None:
    values, deltas, attend = deltas_of(*scene)
    left = torch.arange(16) < 8
    whole = attend(values + deltas[0])
    halves = regional_attention(attend, values, [deltas[0], deltas[0]], [left, ~left])
    torch.testing.assert_close(halves, whole, rtol=0, atol=1e-12)
    both = regional_attention(attend, values, deltas, [left, ~left])
    torch.testing.assert_close(both[:, :8], attend(values + deltas[0])[:, :8], rtol=0, atol=1e-12)
    torch.testing.assert_close(both[:, 8:], attend(values + deltas[1])[:, 8:], rtol=0, atol=1e-12)
    assert (both - whole).abs().max() > 1e-2, "the second region must differ"


def test_masks_of_one_everywhere_are_the_joint_edit(scene) -> None:
    values, deltas, attend = deltas_of(*scene)
    everywhere = torch.ones(16)
    joint = attend(values + deltas[0] + deltas[1])
    torch.testing.assert_close(
        regional_attention(attend, values, deltas, [everywhere, everywhere]), joint, rtol=0, atol=1e-12
    )


def test_a_mask_is_averaged_over_each_cell() -> None:
    mask = torch.zeros(8, 8)
    mask[:, :2] = 1
    assert mask_at(mask, 2, 2).tolist() == [0.5, 0.0, 0.5, 0.0]
